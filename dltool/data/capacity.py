"""How much memory there is to use. Imports the standard library only."""

from __future__ import annotations

import os

_UNKNOWN_BYTES = 1 << 30
_SHARE = 4
_CGROUP = "/sys/fs/cgroup"


def available_bytes() -> int:
    """Memory that can be taken without swapping: the system's, or what is left of the container's limit.

    1 GiB where the system does not say.
    """
    return min(_system_bytes(), _container_bytes())


def store_limit() -> int:
    """Bytes that decoded data may keep: a quarter of what is available."""
    return available_bytes() // _SHARE


def _system_bytes() -> int:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN_BYTES


def _container_bytes() -> int:
    """What is left below a cgroup-2 limit, page cache counted as free; unlimited without one."""
    try:
        with open(f"{_CGROUP}/memory.max", encoding="ascii") as file:
            limit = int(file.read())
        with open(f"{_CGROUP}/memory.current", encoding="ascii") as file:
            used = int(file.read())
        with open(f"{_CGROUP}/memory.stat", encoding="ascii") as file:
            cache = next((int(line.split()[1]) for line in file if line.startswith("inactive_file ")), 0)
    except (OSError, ValueError):  # no cgroup 2, or "max"
        return 1 << 62
    return max(0, limit - used + cache)
