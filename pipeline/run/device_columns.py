"""Columns of what is measured on a target's own runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from components.common.base.quantities import bytes_text
from components.measurer.measured import Measured
from components.measurer.packed import Packed
from pipeline.run.column import Column, number

_IN_BYTES: tuple[Literal["memory", "flash"], ...] = ("memory", "flash")


def columns(first: Measured, found: Sequence[Measured]) -> list[Column]:
    """Measurements on a target's own runtime, if there are any."""
    if not any(measured.device for measured in found):
        return []

    def in_bytes(of: Literal["memory", "flash"]) -> Column:
        cells = tuple(bytes_text(measured.device_bytes(of)) for measured in found)
        return Column(of, bytes_text(first.device_bytes(of, "baseline")), cells)

    same = tuple(number(m.device.same_prediction if m.device else None, ".4f") for m in found)
    packed = _packed([m.device.packed if m.device else None for m in found])
    return [
        *(in_bytes(of) for of in _IN_BYTES if any(m.device_bytes(of) is not None for m in found)),
        *_brotli(first, found),
        *packed,
        Column("same as LiteRT", "", same),
        *_npu(found),
    ]


def _brotli(first: Measured, found: Sequence[Measured]) -> list[Column]:
    """What browsers download, if the target is web."""
    sizes = [measured.bytes("brotli") for measured in found]
    if not any(sizes):
        return []
    return [Column("Brotli", bytes_text(first.bytes("brotli", "baseline")), tuple(map(bytes_text, sizes)))]


def _npu(found: Sequence[Measured]) -> list[Column]:
    """Vela's estimates, if the target has an NPU."""
    estimates = [measured.device.npu if measured.device else None for measured in found]
    if not any(estimates):
        return []
    return [
        Column("Vela cycles", "", tuple(f"{one.cycles:,}" if one else "–" for one in estimates)),
        Column("Vela SRAM", "", tuple(bytes_text(one.sram if one else None) for one in estimates)),
        Column("Vela flash", "", tuple(bytes_text(one.flash if one else None) for one in estimates)),
        Column("on CPU", "", tuple(str(one.on_cpu) if one else "–" for one in estimates)),
    ]


def _packed(found: Sequence[Packed | None]) -> list[Column]:
    """What packing costs in relation to the plain file, if a candidate is packed, and how many outputs differ."""
    if not any(found):
        return []
    ratios = {
        "packed flash ratio": [one.flash_ratio if one else None for one in found],
        "packed memory ratio": [one.memory_ratio if one else None for one in found],
        "packed time ratio": [one.time_ratio if one else None for one in found],
    }
    shown = [
        Column(head, "", tuple(number(value, ".3f") for value in values), under=True)
        for head, values in ratios.items()
    ]
    exact = tuple(f"{one.examples - one.differing:,} of {one.examples:,}" if one else "–" for one in found)
    return [*shown, Column("packed bit-exact", "", exact)]
