"""``musterd token``: who may do what with the API."""

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.options import OPTIONS, SERVER_OPTIONS, seconds_of
from musterd.errors import UsageError

if TYPE_CHECKING:
    from musterd.client.values import TokenInfo

app = App(name="token", help="Make tokens of the API, list and revoke them.")

_SCOPE = Parameter(negative=(), help='read, write:ZONE, "write:*" or admin; may be repeated.')


@app.command
def create(
    name: Annotated[str, Parameter(help="Whom it is for: registrant of what it registers.")],
    /,
    *,
    scope: Annotated[list[str] | None, _SCOPE] = None,
    expires: Annotated[str, Parameter(help="After this time, as 12h or 30d; default: never.")] = "",
    options: OutputOptions = OPTIONS,
) -> None:
    """Make a token and print it, this once: musterd token create ci --scope read > ci.token."""
    from musterd.cli import output
    from musterd.client.text import moment

    scopes = _scopes(scope)
    end = time.time() + seconds_of("--expires", expires) if expires else None
    with options.client() as client:
        token = client.create_token(name, scopes, end)
    if options.json:
        output.as_object(token)
        return
    until = f"until {moment(token['expires'])}" if token["expires"] else "without end"
    print(f"{name}: {' '.join(token['scopes'])}, {until}; id {token['id']}", file=sys.stderr)
    print("It is shown this once: keep it in a file that only you can read.", file=sys.stderr)
    print(token["token"])


def _scopes(given: list[str] | None) -> list[str]:
    if not given:
        raise UsageError('--scope says what it may do: read, write:ZONE, "write:*" or admin')
    for scope in given:
        if not re.fullmatch(r"read|admin|write:\S+", scope):
            raise UsageError(f'--scope: got "{scope}", expected read, write:ZONE, write:* or admin')
    return given


@app.command(name="list")
def list_(*, options: OutputOptions = OPTIONS) -> None:
    """List the tokens, which can't be shown again themselves."""
    from musterd.cli import output
    from musterd.client.text import moment

    with options.client() as client:
        tokens = client.tokens()
    if options.json:
        output.as_lines(tokens)
        return
    rows = (
        (*_main(one), moment(one["created"]), moment(one["expires"]) or "never") for one in tokens
    )
    output.table(("id", "name", "scopes", "created", "expires"), rows)


def _main(token: "TokenInfo") -> tuple[str, str, str]:
    return token["id"], token["name"], " ".join(token["scopes"])


@app.command
def revoke(
    token: Annotated[str, Parameter(help="Its id, as token list prints it.")],
    /,
    *,
    reach: ServerOptions = SERVER_OPTIONS,
) -> None:
    """End a token."""
    if token.startswith("mst_"):
        raise UsageError("that is a token itself: musterd token list prints the id of each")
    with reach.client() as client:
        client.revoke_token(token)
    print(f"{token}: revoked")
