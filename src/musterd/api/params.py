"""Parameters shared by several routes."""

from typing import Annotated

from fastapi import Header, Path

from musterd.registry import keys, leases
from musterd.registry.names import MAX_TEXT

ZoneName = Annotated[
    str, Path(description="name of a declared zone", min_length=1, max_length=MAX_TEXT)
]
Owner = Annotated[
    str,
    Path(
        description='relative to the zone, or absolute with a final dot; "@" is the apex',
        min_length=1,
        max_length=MAX_TEXT,
    ),
]
Type = Annotated[str, Path(description="for example A or TYPE65280", min_length=1, max_length=20)]
Id = Annotated[str, Path(pattern=f"^{keys.ID}$")]
LeasePath = Annotated[str, Path(pattern=f"^{leases.ID}$")]
IfMatch = Annotated[
    str | None,
    Header(description='expected revision, for example "12"; * for any', max_length=1000),
]
IfNoneMatch = Annotated[
    str | None, Header(description="* if nothing may exist yet", max_length=1000)
]
MAX_REVISION = 2**62
