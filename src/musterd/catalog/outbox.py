"""What the core is still to be told of a change, in the order in which tables find it."""

from musterd.catalog.zone import Row, Zone
from musterd.rr.rrset import Record


class Pending:
    """What the core is still to be told."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.batch: list[Row] = []
        """RRsets of names that are new, in which there is nothing to compare."""
        self.zones: set[Zone] = set()
        """Zones that have dirty names."""
        self.addresses: list[tuple[Zone, Record]] = []
        """New addresses in zones that give PTR records."""
