"""``musterd man``."""

import re
from collections.abc import Iterator
from typing import Final

import musterd

_HEAD: Final = """\
.TH MUSTERD 1 "" "musterd {version}" "User Commands"
.SH NAME
musterd \\- DNS-based service discovery
.SH SYNOPSIS
.B musterd
.I COMMAND
[\\fIOPTIONS\\fR]
.SH DESCRIPTION
musterd is an authoritative DNS server that answers every query from memory. Its records come from
zone files, from etcd, and from an HTTP API. The same program registers names and explains answers.
.SH COMMANDS
"""
_FOOT: Final = """\
.SH FILES
.TP
.I /etc/musterd/musterd.toml
The configuration; \\fBmusterd config example\\fR prints every key.
.TP
.I /var/lib/musterd
The state: registered records, snapshots, and the first token.
.TP
.I ~/.config/musterd/client.toml
The server and the token of the commands that call a server.
.SH ENVIRONMENT
.TP
.B MUSTERD_SERVER, MUSTERD_TOKEN, MUSTERD_TOKEN_FILE
The server and the token of the commands that call a server.
.TP
.BI MUSTERD_ SECTION __ KEY
Overrides a key of the configuration, for example \\fBMUSTERD_DNS__WORKERS=2\\fR.
.SH EXIT STATUS
.TP
.B 0
It was done; the result of \\fBlist\\fR and \\fBexplain\\fR may be empty.
.TP
.B 1
It was not done, the named object does not exist, or a file has errors.
.TP
.B 2
The command line, client.toml or the token file is wrong; nothing was sent or changed.
.TP
.B 130
It was interrupted.
.SH SIGNALS
SIGHUP reloads the configuration of \\fBmusterd serve\\fR and reopens its logs.
SIGTERM and SIGINT stop it.
"""
_ITEM: Final = re.compile(r"\* `(?P<term>[^`]+)`(?:: (?P<text>.*))?")


def man() -> None:
    """Print the manual page in roff.

    To read it: musterd man | man -l -
    """
    from musterd.cli import app

    body = "\n".join(_page(app.generate_docs(output_format="markdown")))
    print(f"{_HEAD.format(version=musterd.__version__)}{body}\n{_FOOT}", end="")


def _page(markdown: str) -> Iterator[str]:
    """Convert the sections of the commands from Markdown to man(7)."""
    # The part before the first section is in _HEAD.
    _, *sections = re.split(r"^##+ (.*)\n", markdown, flags=re.MULTILINE)
    for title, text in zip(sections[::2], sections[1::2], strict=True):
        if title.startswith("musterd "):
            yield f".SS {_escape(title)}"
            yield from _section(text)


def _section(text: str) -> Iterator[str]:
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced:
            yield f".B {_escape(line)}"
        elif found := _ITEM.fullmatch(line):
            yield ".TP"
            yield f".B {_escape(found['term'])}"
            yield _escape(_plain(found["text"] or ""))
        elif re.fullmatch(r"\*\*.*\*\*:", line):
            yield ".PP"
            yield f".I {_escape(line.strip('*:'))}"
        elif line:
            yield _escape(_plain(line))
        else:
            yield ".PP"


def _plain(text: str) -> str:
    return text.replace("**", "").replace("`", "")


def _escape(text: str) -> str:
    """Return a text as a line of man(7)."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
