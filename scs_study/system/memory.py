"""How much memory there is: the machine's and its control group's."""

from __future__ import annotations

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return the bytes that this process may still use: the machine's and its control group's; None if not known."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, LookupError, ValueError):
        pass
    for limit, used, stat, cached in (
        ("memory.max", "memory.current", "memory.stat", "file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "cache"),
    ):
        try:
            numbers = dict(line.split() for line in (CGROUP / stat).read_text().splitlines())
            used_up = int((CGROUP / used).read_text()) - int(numbers[cached])  # cached files give way
            found.append(int((CGROUP / limit).read_text()) - used_up)
        except (OSError, ValueError, LookupError):  # no control groups, or "max"
            continue
    return max(0, min(found)) if found else None
