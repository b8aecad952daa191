"""``musterd store``: where a registry is kept."""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from musterd.cli.etcd import NO_LOGIN, EtcdLoginOptions, without_login
from musterd.cli.extra import server_side
from musterd.cli.options import Flag
from musterd.errors import UsageError

if TYPE_CHECKING:
    from musterd.kv import Store
    from musterd.store.copy import Copied

app = App(name="store", help="Copy a registry from one store to another.")

_ETCD = "etcd://"
_EVERY = 10_000
"""Keys between two lines about how far it is, where these are not for a terminal."""

_WHERE = "Path of a store.db, or etcd://HOST:PORT,HOST:PORT/PREFIX."


@app.command
def copy(
    from_: Annotated[str, Parameter(name="FROM", help=_WHERE)],
    to: Annotated[str, Parameter(name="TO", help=_WHERE)],
    /,
    *,
    overwrite: Annotated[bool, Flag] = False,
    json: Annotated[bool, Flag] = False,
    login: EtcdLoginOptions = NO_LOGIN,
) -> None:
    """Copy all of a registry, with its tokens and leases; no server may use either meanwhile.

    What is in the target already is left, so that a copy that was stopped goes on where it was.

    Args:
        from_: The source.
        to: The target.
        overwrite: Replace what differs in the target, and remove what the source has not.
        json: Print JSON.
        login: How the etcds are asked.
    """
    with server_side("musterd store copy"):
        import asyncio

        from musterd.store.copy import copy as copy_store

    for place in (from_, to):
        without_login(place)
        if "://" in place and not place.startswith(_ETCD):
            raise UsageError(
                f"{place}: expected the path of a store.db, or etcd://HOST:PORT (--ca or --cert"
                " turn TLS on)"
            )
    if _ETCD not in from_ and not Path(from_).is_file():
        raise UsageError(f"{from_}: there is no such store.db")
    if from_ == to or (Path(to).exists() and Path(from_).resolve() == Path(to).resolve()):
        raise UsageError(f"{from_} and {to} are the same store")

    async def run() -> "Copied":
        async with _opened(from_, login) as source, _opened(to, login) as target:
            with _progress() as tell:
                return await copy_store(source, target, tell, overwrite=overwrite)

    _say(asyncio.run(run()), to, json=json)


@asynccontextmanager
async def _opened(where: str, login: EtcdLoginOptions) -> AsyncIterator["Store"]:
    from musterd.server.store import open_etcd, open_file
    from musterd.store.embedded import EmbeddedOptions

    store: Store
    if where.startswith(_ETCD):
        endpoints, _, prefix = where.removeprefix(_ETCD).partition("/")
        store = await open_etcd(login.store(endpoints, "/" + prefix))
    else:
        # Nobody else writes to it, so what is read may stay open for as long as that takes.
        store = await open_file(Path(where), EmbeddedOptions(scan_time=86_400.0))
    try:
        yield store
    finally:
        await store.close()


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is, on standard error."""
    if not sys.stderr.isatty():
        yield _tell_line
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("keys", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell_line(done: int, total: int) -> None:
    if done % _EVERY == 0:
        print(f"{done} of {total} keys", file=sys.stderr)


def _say(copied: "Copied", to: str, *, json: bool) -> None:
    from musterd.cli import output

    written = copied.missing + copied.different - copied.expired
    if json:
        output.as_object(
            {
                "written": written,
                "same": copied.same,
                "removed": copied.extra,
                "expired": copied.expired,
                "leases": len(copied.leases),
            }
        )
        return
    print(f"{to}: {written} keys written, {copied.same} were there, {copied.extra} removed")
    if copied.expired:
        print(f"{copied.expired} keys were not copied, as their lease had ended")
