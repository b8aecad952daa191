"""Options that the commands share, and their parsers."""

import re
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from musterd.durations import parse_seconds
from musterd.errors import UsageError

if TYPE_CHECKING:
    from musterd.client.api import ApiClient

SEVERAL_FIELDS = frozenset(
    {"AFSDB", "CAA", "DNSKEY", "DS", "HTTPS", "KX", "LOC", "MX", "NAPTR", "PX", "RP", "RT", "SRV"}
    | {"SSHFP", "SVCB", "TLSA", "URI"}
)
"""Types whose data has several fields, separated by spaces."""

Flag = Parameter(negative=(), show_default=False)
"""Parameter of an option without a value."""
AsJson = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
"""Option of a command that calls no server."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The server and its token; defaults come from the environment, then from client.toml."""

    server: str | None = None
    """URL of the API, for example http://127.0.0.1:8053 (environment: MUSTERD_SERVER)."""
    token_file: Path | None = None
    """File with the token (environment: MUSTERD_TOKEN_FILE, or MUSTERD_TOKEN itself)."""
    timeout: str = "60s"
    """Give up if the server has not answered after this time."""

    def client(self) -> "ApiClient":
        """Return a client of the server. Raises UsageError."""
        from musterd.client.api import ApiClient
        from musterd.client.endpoint import find

        timeout = seconds_of("--timeout", self.timeout)
        if not timeout:
            raise UsageError("--timeout: expected at least a second")
        return ApiClient(replace(find(self.server, self.token_file), timeout=timeout))


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class OutputOptions(ServerOptions):
    """The server and its token, and the format of the output."""

    json: Annotated[bool, Flag] = False
    """Print JSON; a list has one object per line."""


SERVER_OPTIONS = ServerOptions()
OPTIONS = OutputOptions()

NameArg = Annotated[str, Parameter(help="An absolute name, with or without its final dot.")]
TypeArg = Annotated[
    str, Parameter(name="TYPE", help="Record type, for example A, SRV or TYPE65280.")
]
ZoneArg = Annotated[str, Parameter(help="A declared zone.")]
Labels = Annotated[
    list[str] | None, Parameter(name="--label", negative=(), help="KEY=VALUE; may be repeated.")
]


def type_of(text: str) -> str:
    """Return a record type in upper case. Raises UsageError."""
    if not re.fullmatch("[A-Za-z][A-Za-z0-9-]{0,15}", text):
        raise UsageError(
            f'"{text}" is not a record type: expected for example A, SRV or TYPE65280'
            f"{_remedy(text)}"
        )
    return text.upper()


def _remedy(text: str) -> str:
    """Return a hint if an address is in the place of the type."""
    try:
        kind = "A" if isinstance(ip_address(text), IPv4Address) else "AAAA"
    except ValueError:
        return ""
    return f"; the type stands before the data: {kind} {text}"


def labels_of(given: list[str] | None) -> dict[str, str]:
    """Parse labels from their ``KEY=VALUE`` form. Raises UsageError."""
    labels = {}
    for text in given or []:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f'--label: got "{text}", expected KEY=VALUE')
        labels[key] = value
    return labels


def seconds_of(option: str, text: str) -> int:
    """Parse a duration such as ``45``, ``90s`` or ``1h30m``. Raises UsageError."""
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise UsageError(f'{option}: got "{text}", {error}') from None
