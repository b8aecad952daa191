"""``musterd token``: tokens of the API."""

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.options import OPTIONS, OutputOptions, seconds_of
from musterd.errors import UsageError

if TYPE_CHECKING:
    from musterd.client.api import ApiClient
    from musterd.client.values import TokenInfo

app = App(name="token", help="Create, list and revoke tokens of the API.")

_SHOWN = 10
"""Zones that a warning lists."""
_SCOPE = Parameter(negative=(), help='read, write:ZONE, "write:*" or admin; may be repeated.')


@app.command
def create(
    name: Annotated[str, Parameter(help="Name of the token: the registrant of its records.")],
    /,
    *,
    scope: Annotated[list[str] | None, _SCOPE] = None,
    expires: Annotated[
        str, Parameter(help="Time until it expires, for example 12h or 30d; default: never.")
    ] = "",
    options: OutputOptions = OPTIONS,
) -> None:
    """Create a token and print it: musterd token create ci --scope read > ci.token."""
    from musterd.cli import output
    from musterd.client.text import moment

    scopes = _scopes(scope)
    end = time.time() + seconds_of("--expires", expires) if expires else None
    with options.client() as client:
        token = client.create_token(name, scopes, end)
        warnings = _warnings(client, token["scopes"])
    if options.json:
        output.as_object({**token, "warnings": warnings})
        return
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    until = f"expires {moment(token['expires'])}" if token["expires"] else "never expires"
    print(f"{name}: {' '.join(token['scopes'])}, {until}; id {token['id']}", file=sys.stderr)
    print("It can't be shown again: keep it in a file that only you can read.", file=sys.stderr)
    print(token["token"])


def _warnings(client: "ApiClient", scopes: list[str]) -> list[str]:
    """Return what is wrong with scopes that are valid: zones that the server does not serve."""
    from musterd.client.names import zone_part
    from musterd.client.problems import ApiError

    names = [scope.partition(":")[2] for scope in scopes if scope.startswith("write:")]
    if not set(names) - {"*"}:
        return []
    try:
        served = {zone_part(zone["name"]) for zone in client.zones()}
    except ApiError:
        # Another server may list its zones only to other tokens.
        return []
    there = ", ".join(sorted(served)[:_SHOWN]) + (", …" if len(served) > _SHOWN else "")
    return [
        f"write:{name}: the server has no zone {name}; it has {there or 'none'}"
        for name in names
        if name != "*" and zone_part(name) not in served
    ]


def _scopes(given: list[str] | None) -> list[str]:
    if not given:
        raise UsageError('--scope is required: read, write:ZONE, "write:*" or admin')
    for scope in given:
        if not re.fullmatch(r"read|admin|write:\S+", scope):
            raise UsageError(f'--scope: got "{scope}", expected read, write:ZONE, write:* or admin')
    return given


@app.command(name="list")
def list_(*, options: OutputOptions = OPTIONS) -> None:
    """List the tokens without their secrets."""
    from musterd.cli import output
    from musterd.client.text import moment

    with options.client() as client:
        tokens = client.tokens()
    if options.json:
        output.as_lines(tokens)
        return
    rows = (
        (*_main(token), moment(token["created"]), moment(token["expires"]) or "never")
        for token in tokens
    )
    columns = ("id", "name", "scopes", "created", "expires")
    output.table(columns, rows, spare=("created", "expires"), text=("scopes",))


def _main(token: "TokenInfo") -> tuple[str, str, str]:
    return token["id"], token["name"], " ".join(token["scopes"])


@app.command
def revoke(
    token: Annotated[str, Parameter(help="Id or name of the token, as printed by token list.")],
    /,
    *,
    options: OutputOptions = OPTIONS,
) -> None:
    """Revoke a token."""
    from musterd.cli import output

    if token.startswith("mst_"):
        raise UsageError(
            "expected the id or name of a token, got its secret: musterd token list prints both"
        )
    with options.client() as client:
        # Names are unique, and could look like an id.
        tokens = client.tokens()
        found = [each["id"] for each in tokens if each["id"] == token] or [
            each["id"] for each in tokens if each["name"] == token
        ]
        ident = found[0] if found else token
        client.revoke_token(ident)
    if options.json:
        output.as_object({"id": ident})
    else:
        print(f"{token}: revoked")
