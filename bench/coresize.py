"""``python -m bench.coresize FILE``: memory of the core alone for a zone file's records."""

import json
import sys
from pathlib import Path

from bench.zone import TTL, ZONE


def main() -> None:
    """Read the file, then apply: the rows stay allocated, so the growth is the core's."""
    from musterd._core import Core, read_zone  # noqa: PLC0415  # --help needs no core

    apex = b"".join(bytes([len(x)]) + x.encode() for x in ZONE.split(".")) + b"\0"
    rows = sorted(read_zone(sys.argv[1], apex, TTL).rrsets)
    batch = [(apex, owner, rtype, packed) for owner, rtype, packed in rows]
    core = Core()
    core.set_zone(apex)
    before = _resident()
    refused = core.apply(batch)
    growth = _resident() - before
    size = next(size for name, _, _, size in core.zones() if name == apex)
    figures = {"records": len(batch) - len(refused), "bytes": size, "growth": growth}
    sys.stdout.write(json.dumps(figures) + "\n")


def _resident() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    main()
