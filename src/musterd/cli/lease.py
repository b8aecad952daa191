"""``musterd lease``: what keeps records alive."""

from typing import Annotated

from cyclopts import App, Parameter

from musterd.cli.options import OPTIONS, SERVER_OPTIONS

app = App(name="lease", help="Renew the lease of records, or end it.")

Lease = Annotated[str, Parameter(help="Its id, as record set --lease and record show print it.")]


@app.command
def renew(lease: Lease, /, *, options: OutputOptions = OPTIONS) -> None:
    """Give a lease its whole time again."""
    from musterd.cli import output
    from musterd.client.text import span

    with options.client() as client:
        renewed = client.renew(lease)
    if options.json:
        output.as_object(renewed)
    else:
        print(f"{lease}: renewed for {span(renewed['ttl'])}")


@app.command
def revoke(lease: Lease, /, *, reach: ServerOptions = SERVER_OPTIONS) -> None:
    """End a lease now, and delete the records that hang on it."""
    with reach.client() as client:
        client.revoke_lease(lease)
    print(f"{lease}: ended, its records are deleted")
