"""The state that the services of a running server share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from musterd._core import Core
from musterd.api.request_metrics import RequestMetrics
from musterd.catalog import Catalog
from musterd.clock import BootClock, Clock
from musterd.file_watch import FileWatch
from musterd.kv import Store
from musterd.registry.applied import Applied
from musterd.server.certificate import Certificate
from musterd.server.snapshot_files import SnapshotFiles


@dataclass(slots=True)
class ServerState:
    """The parts of a server, its addresses and its counters."""

    core: Core
    catalog: Catalog
    clock: Clock = field(default_factory=BootClock)
    files: FileWatch = field(default_factory=FileWatch)
    snapshots: SnapshotFiles | None = None
    """Files of snapshots, None without a state directory."""
    store: Store | None = None
    """The store of the registry, None without one."""
    applied: Applied | None = None
    """The revision of the store up to which its records are answered, None without a store."""
    listening: Sequence[str] = ()
    """Addresses on which DNS is answered."""
    metrics_address: str = ""
    """Address of the metrics, empty if they are off."""
    api_address: str = ""
    """Address of the API, empty if it is off."""
    certificate: Certificate | None = None
    """Certificate of the API, None without one."""
    api_requests: RequestMetrics = field(default_factory=RequestMetrics)
    reloads_ok: int = 0
    reloads_failed: int = 0

    def certificate_problems(self) -> list[str]:
        """Return the current problems of the certificate of the API."""
        return [] if self.certificate is None else self.certificate.problems

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Return whether all zones can be answered, and a report of the problems."""
        zones = self.catalog.zone_reports()
        problem = self.store and self.store.problem
        ready = bool(self.listening) and not any(
            zone.state in {"loading", "restoring"} for zone in zones
        )
        return ready, {
            "ready": ready,
            "listening": list(self.listening),
            "zones": {
                zone.name: {"state": zone.state, "since": zone.since}
                for zone in zones
                if zone.state != "live"
            },
            "sources": {
                source.name: {
                    "state": source.state, "since": source.lost, "reason": source.reason,
                    "synced": source.synced, "restored": source.restored,
                }
                for source in self.catalog.source_reports()
                if source.state != "synced"
            },
            **({"store": {"problem": problem}} if problem else {}),
        }  # fmt: skip
