"""Judging Vela's estimates by the limits of an NPU."""

from __future__ import annotations

from components.common.base.npu_options import NpuOptions
from components.common.tflite.npu_figures import NpuFigures
from components.evaluator.judgement import FailureKind, Figure, Judgement, Kind
from components.evaluator.judging import judge_figure

CYCLES = Figure("NPU cycles (Vela)", Kind.NPU_CYCLES)
SRAM = Figure("NPU SRAM (Vela)", Kind.NPU_SRAM)
FLASH = Figure("NPU flash (Vela)", Kind.NPU_FLASH)
CPU_OPERATORS = Figure("operators on the CPU (Vela)", Kind.NPU_CPU_OPERATORS)
_SECTION = "target.npu"


def judge(found: NpuFigures | None, asked: NpuOptions | None) -> list[Judgement]:
    """A judgement for each limit.

    Cycles are not known of a candidate with operators on the CPU: Vela estimates those of the NPU alone.

    Args:
        found: The candidate's figures; None if it was not compiled.
        asked: The limits; None if the target has no NPU.
    """
    if asked is None:
        return []
    judgements = [
        one
        for figure, limit, value, option in (
            (SRAM, asked.max_sram, found.sram if found else None, "max_sram"),
            (FLASH, asked.max_flash, found.flash if found else None, "max_flash"),
            (CYCLES, asked.max_cycles, found.cycles if found and not found.on_cpu else None, "max_cycles"),
        )
        for one in _most(figure, limit, value, option, found)
    ]
    if asked.cpu_operators == "refuse":
        value = found.on_cpu if found else None
        failure = FailureKind.NOT_MEASURED if found is None else FailureKind.BEYOND_LIMIT if value else None
        reason = (
            f"Vela leaves {found.cpu_text} on the CPU" if found else "the file was not compiled for the NPU"
        )
        judgements.append(
            Judgement.on(CPU_OPERATORS, "max", 0, value, reason, failure, f"{_SECTION}.cpu_operators")
        )
    return judgements


def _most(
    figure: Figure, limit: float | None, value: float | None, option: str, found: NpuFigures | None
) -> list[Judgement]:
    if limit is None:
        return []
    key = f"{_SECTION}.{option}"
    if figure is CYCLES and found is not None and found.on_cpu:
        reason = (
            f"{figure.figure} are not known: {found.cpu_text} would run on the CPU, whose cycles Vela does not "
            "estimate"
        )
        return [Judgement.on(figure, "max", limit, None, reason, FailureKind.NOT_MEASURED, key)]
    (judgement,) = judge_figure(figure, {"max": limit}, value, None, ascending=False)
    return [Judgement.on(figure, "max", limit, judgement.value, judgement.reason, judgement.failure, key)]
