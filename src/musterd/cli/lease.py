"""``musterd lease``: leases of records."""

from typing import Annotated

from cyclopts import App, Parameter

from musterd.cli.options import OPTIONS, OutputOptions

app = App(name="lease", help="Renew or revoke the lease of records.")

LeaseArg = Annotated[str, Parameter(help="Lease id, as printed by record set and record show.")]


@app.command
def renew(lease: LeaseArg, /, *, options: OutputOptions = OPTIONS) -> None:
    """Renew a lease for its full time."""
    from musterd.cli import output
    from musterd.client.text import span

    with options.client() as client:
        renewed = client.renew(lease)
    if options.json:
        output.as_object(renewed)
    else:
        print(f"{lease}: renewed for {span(renewed['ttl'])}")


@app.command
def revoke(lease: LeaseArg, /, *, options: OutputOptions = OPTIONS) -> None:
    """Revoke a lease and delete its records."""
    from musterd.cli import output

    with options.client() as client:
        client.revoke_lease(lease)
    if options.json:
        output.as_object({"id": lease})
    else:
        print(f"{lease}: revoked, its records are deleted")
