"""Memory that a process can take."""

from __future__ import annotations

from pathlib import Path


def available_memory(meminfo: Path = Path("/proc/meminfo"), group: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that programs can take: of what the system has, and of what the control group allows.

    Args:
        meminfo: As Linux writes it.
        group: Folder of a control group, version 2 or 1. What it holds in the page cache and has not used lately can
            be taken.
    """
    found = [_numbers(meminfo)["MemAvailable:"] * 1024]
    for most, used, statistics, idle in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        (
            "memory/memory.limit_in_bytes",
            "memory/memory.usage_in_bytes",
            "memory/memory.stat",
            "total_inactive_file",
        ),
    ):
        try:
            limit = int((group / most).read_text(encoding="ascii"))
            taken = int((group / used).read_text(encoding="ascii"))
            found.append(limit - taken + _numbers(group / statistics).get(idle, 0))
        except (OSError, ValueError):  # another version, or "max"
            continue
    return min(found)


def _numbers(file: Path) -> dict[str, int]:
    """First word of each line → second."""
    lines = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {line[0]: int(line[1]) for line in lines}
