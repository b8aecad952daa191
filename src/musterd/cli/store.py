"""``musterd store``: the store of a registry."""

import re
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.etcd import NO_LOGIN, EtcdLoginOptions, without_login
from musterd.cli.extra import server_side
from musterd.cli.options import AsJson, Flag
from musterd.errors import MusterdError, UsageError

if TYPE_CHECKING:
    from musterd.kv import Store
    from musterd.store.copy import Copied

app = App(name="store", help="Copy a registry from one store to another.")

_SCHEMES = {"etcd", "http", "https"}
_LOCATION = re.compile(r"((?:\w+://|[^/])*)(/.*)?", re.DOTALL)
_HOST_AND_PORT = re.compile(r"[^/]*:[0-9]+([,/].*)?")
"""An endpoint of etcd without its scheme, or several, perhaps with a prefix."""
_PROGRESS_KEYS = 10_000
"""Keys between two progress lines if standard error is not a terminal."""

_WHERE = "Path of a store.db, or etcd://HOST:PORT,HOST:PORT/PREFIX (https:// for TLS)."


@app.command
def copy(
    from_: Annotated[str, Parameter(name="FROM", help=_WHERE)],
    to: Annotated[str, Parameter(name="TO", help=_WHERE)],
    /,
    *,
    overwrite: Annotated[bool, Flag] = False,
    as_json: AsJson = False,
    login: EtcdLoginOptions = NO_LOGIN,
) -> None:
    """Copy a registry with its tokens and leases; stop all servers that use either store first.

    Existing keys of the target are kept, so an interrupted copy can be run again.

    Args:
        from_: The source.
        to: The target.
        overwrite: Replace keys of the target that differ, and delete keys the source lacks.
        as_json: Print JSON.
        login: TLS and login for etcd.
    """
    with server_side("musterd store copy"):
        import asyncio

        import structlog

        from musterd import log as logs
        from musterd.registry.keys import RECORDS, ROOT
        from musterd.settings.model import Log
        from musterd.store.copy import Keys
        from musterd.store.copy import copy as copy_store

    # Otherwise log events of the store would appear among the results.
    if not structlog.is_configured():
        logs.setup(Log(format="json" if as_json else "text"))
    for where in (from_, to):
        _check_place(without_login(where))
    if "://" not in from_ and not Path(from_).is_file():
        raise MusterdError(f"{from_}: no such file")
    if from_ == to or (Path(to).exists() and Path(from_).resolve() == Path(to).resolve()):
        raise UsageError(f"{from_} and {to} are the same store")

    opened = partial(_opened, login=login, as_json=as_json)

    async def run() -> "Copied":
        async with opened(from_) as source, opened(to) as target:
            with _progress(quiet=as_json) as progress:
                keys = Keys(ROOT, RECORDS)
                return await copy_store(source, target, progress, keys, overwrite=overwrite)

    _print_result(asyncio.run(run()), to, as_json=as_json)


def _check_place(where: str) -> None:
    """Raise UsageError unless a text is the path of a store or the URL of an etcd."""
    scheme, separator, _ = where.partition("://")
    if separator and scheme not in _SCHEMES:
        raise UsageError(
            f"{where}: expected the path of a store.db, or etcd://HOST:PORT or https://HOST:PORT"
        )
    if not separator and _HOST_AND_PORT.fullmatch(where) and not Path(where).exists():
        raise UsageError(
            f"{where}: no such file; write an etcd as etcd://{where}, and a new file as ./{where}"
        )


@asynccontextmanager
async def _opened(where: str, *, login: EtcdLoginOptions, as_json: bool) -> AsyncIterator["Store"]:
    from musterd.server.store import open_etcd, open_file
    from musterd.store.embedded import EmbeddedOptions

    store: Store
    if "://" in where:
        url, prefix = split_location(where)
        store = await open_etcd(login.store(url, prefix, as_json=as_json))
    else:
        # There are no other writers, so a read transaction may stay open for long.
        store = await open_file(Path(where), EmbeddedOptions(scan_time=86_400.0))
    try:
        yield store
    finally:
        await store.close()


def split_location(location: str) -> tuple[str, str]:
    """Return the URL and the prefix of ``etcd://HOST:PORT,HOST:PORT/PREFIX``."""
    found = _LOCATION.fullmatch(location)
    assert found is not None  # noqa: S101 - every text matches
    return found[1], found[2] or "/"


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show the progress on standard error, where JSON for programs may be expected."""
    if quiet:
        yield lambda done, total: None
        return
    if not sys.stderr.isatty():
        yield _print_progress
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("keys", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print_progress(done: int, total: int) -> None:
    if done % _PROGRESS_KEYS == 0:
        print(f"{done} of {total} keys", file=sys.stderr)


def _print_result(copied: "Copied", to: str, *, as_json: bool) -> None:
    from musterd.cli import output

    records, others = copied.all
    if as_json:
        output.as_object(
            {
                "written": records.written,
                "same": records.same,
                "removed": records.extra,
                "expired": records.expired,
                "others": others.written,
                "leases": len(copied.leases),
            }
        )
        return
    more = f"; tokens and other keys: {others.written} written" if others.written else ""
    print(
        f"{to}: {records.written} records written, {records.same} unchanged,"
        f" {records.extra} removed{more}"
    )
    if records.expired:
        print(f"{records.expired} records were not copied: their lease had expired")
