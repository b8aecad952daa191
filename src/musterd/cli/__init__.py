"""The ``musterd`` command: one module per noun, which imports what it needs when called."""

import errno
import itertools
import json
import os
import re
import sys
from collections.abc import Sequence
from typing import TextIO

from cyclopts import App, CycloptsError

import musterd
from musterd.cli import (
    completion,
    config,
    explain,
    import_,
    lease,
    man,
    record,
    serve,
    status,
    store,
    token,
    zone,
)
from musterd.errors import MusterdError, UsageError

FAILED = 1
MISUSED = 2
INTERRUPTED = 130
"""Exit code that a shell gives a command ended by SIGINT."""
_OUTPUT_FAILURES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}

_JSON = re.compile("--json(=(true|yes|y|1))?", re.IGNORECASE)
_TOKEN = re.compile("mst_[A-Za-z0-9_-]{43}")

app = App(
    name="musterd",
    help="DNS-based service discovery.",
    version=lambda: musterd.__version__,
)
for command in (
    serve.serve,
    record.app,
    lease.app,
    zone.app,
    explain.explain,
    status.status,
    token.app,
    store.app,
    config.app,
    import_.app,
    completion.completion,
    man.man,
):
    app.command(command)


def main() -> None:
    """Run the command line of this process."""
    _open_standard_files()
    sys.exit(run(sys.argv[1:]))


def _open_standard_files() -> None:
    """Open /dev/null for each standard file that is closed.

    Otherwise the next file or socket would get its number, and messages would be written to it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is used.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


def run(tokens: Sequence[str]) -> int:
    """Run a command line; return its exit code.

    0: done; 1: not done, or a named object does not exist; 2: the command line or the client's own
    settings are wrong, and nothing was done; 130: interrupted. Errors go to standard error, one
    per line, or with ``--json`` as one JSON object.
    """
    words = itertools.takewhile(lambda word: word != "--", tokens)
    as_json = any(_JSON.fullmatch(word) for word in words)
    try:
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        return _print_problems([f"musterd: {error}", _hint(tokens)], MISUSED, as_json=as_json)
    except MusterdError as error:
        code = MISUSED if isinstance(error, UsageError) else FAILED
        return _print_problems(error.problems, code, as_json=as_json)
    except BrokenPipeError:
        _abandon(sys.stdout)
        return FAILED
    except OSError as error:
        return _print_problems([_system_problem(error)], FAILED, as_json=as_json)
    except KeyboardInterrupt:
        _abandon(sys.stdout)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _system_problem(error: OSError) -> str:
    """Return the problem that an error of the system means. Raises it if that is unknown."""
    try:
        os.getcwd()
    except OSError as lost:
        return f"musterd: the current directory can't be used: {lost.strerror}; cd to another one"
    if error.errno not in _OUTPUT_FAILURES:
        raise error
    _abandon(sys.stdout)
    return f"musterd: {error.filename or 'standard output'}: {error.strerror}"


def _abandon(output: TextIO) -> None:
    """Keep the interpreter from failing once more at its last flush."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def _hint(tokens: Sequence[str]) -> str:
    """Return a hint after a command line that can't be parsed."""
    if list(tokens[:2]) == ["record", "set"]:
        return "musterd: put data with spaces in quotes, and -- before data that begins with -"
    return "musterd: try --help"


def _print_problems(problems: Sequence[str], code: int, *, as_json: bool) -> int:
    # A token passed in place of a name must not end up in a log.
    shown = [_TOKEN.sub("mst_[hidden]", problem) for problem in problems]
    if as_json:
        shown = [json.dumps({"exit_code": code, "problems": shown}, ensure_ascii=False)]
    try:
        for line in shown:
            print(line, file=sys.stderr)
    except OSError:
        _abandon(sys.stderr)
    return code
