"""Columns of what is measured on a model server."""

from __future__ import annotations

from collections.abc import Sequence

from components.common.base.quantities import time_text
from components.measurer.measured import Measured
from components.measurer.served_load import MODES, PROTOCOLS, Mode, ServedLoad
from pipeline.run.column import Column


def columns(first: Measured, found: Sequence[Measured]) -> list[Column]:
    """For each mode requests a second and the 99th percentile, and whether all answers were right."""
    loads = [measured.load for measured in found]
    if not any(loads):
        return []
    shown = [column for mode in MODES for column in _of_mode(mode, first.load, loads)]
    return [*shown, Column("answers right", "", tuple(_right(load) for load in loads))]


def _of_mode(mode: Mode, first: ServedLoad | None, loads: Sequence[ServedLoad | None]) -> list[Column]:
    head = mode.title.replace(",", "")
    baseline = first.mode(mode.key) if first else None
    found = [load.mode(mode.key) if load else None for load in loads]
    return [
        Column(
            head,
            f"{baseline.baseline.throughput:,.0f}/s" if baseline else "",
            tuple(
                f"{one.candidate.throughput:,.0f}/s, {one.throughput_ratio:.2f} ×" if one else "–"
                for one in found
            ),
        ),
        Column(
            f"{head} p99",
            time_text(baseline.baseline.p99) if baseline else "",
            tuple(
                f"{time_text(one.candidate.p99)}, {one.p99_ratio:.2f} ×" if one else "–" for one in found
            ),
            under=True,
        ),
    ]


def _right(load: ServedLoad | None) -> str:
    if load is None:
        return "–"
    compared, differing = (
        sum(count(protocol) for protocol in PROTOCOLS) for count in (load.compared, load.differing)
    )
    return f"{compared - differing:,} of {compared:,}"
