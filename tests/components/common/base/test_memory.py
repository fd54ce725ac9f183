"""Memory that a process can take."""

from __future__ import annotations

from pathlib import Path

from components.common.base.memory import available_memory

GB = 10**9


def test_memory_is_what_the_system_has_and_the_control_group_allows(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        "MemTotal:  9000 kB\nMemFree:  1000 kB\nMemAvailable:  4000 kB\nHugePages_Total:  0\n"
    )
    group = tmp_path / "group"
    (group / "memory").mkdir(parents=True)
    assert available_memory(meminfo, group) == 4_096_000
    for name, text in (
        ("max", "max\n"),
        ("current", "700000\n"),
        ("stat", "anon 1\ninactive_file 300000\n"),
    ):
        (group / f"memory.{name}").write_text(text)
    assert available_memory(meminfo, group) == 4_096_000
    (group / "memory.max").write_text("1000000\n")
    assert available_memory(meminfo, group) == 600_000
    (group / "memory/memory.limit_in_bytes").write_text("900000\n")
    (group / "memory/memory.usage_in_bytes").write_text("800000\n")
    (group / "memory/memory.stat").write_text("total_inactive_file 1000\n")
    assert available_memory(meminfo, group) == 101_000
    assert available_memory() > GB / 10
