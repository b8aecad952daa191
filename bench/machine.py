"""Describes the machine of a run."""

import os
import platform
from pathlib import Path


def describe() -> dict[str, str | int | float]:
    """Return CPU, cores, memory, kernel, distribution, and the load at the start."""
    return {
        "cpu": _field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count() or 1,
        "memory_mib": int(_field("/proc/meminfo", "MemTotal").split()[0] or 0) // 1024,
        "virtual": "hypervisor" in _field("/proc/cpuinfo", "flags").split(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "system": _release(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def busy() -> bool:
    """Return whether other work on the machine makes times unreliable."""
    return os.getloadavg()[0] > 0.5


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "0"


def _release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "Linux")
    except OSError:
        return "Linux"
