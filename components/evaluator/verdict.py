"""Judging measured figures by limits. Whatever is not measured is not met."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from components.common.base.json_file import finite

BOUNDS = ("min", "max", "max_drop", "max_ratio")


@dataclass(frozen=True)
class Judgement:
    """One limit: what was asked for, what was measured.

    Attributes:
        figure: `accuracy`, `latency` or `size`; of several metrics, `accuracy/AUC of digit`; for a slice,
            `accuracy[label=3]`; for an invariant,
            `sparsity[layer]`, `m_by_n[layer]`, `clusters[layer]`, or as `file_types.TypeCheck` names it.
        bound: One of BOUNDS, or `type`.
        limit: The bound's value; None for a type.
        value: The value that was held against it, or None.
        met: Whether it holds.
        reason: Why not, in words, where it does not.
    """

    figure: str
    bound: str
    limit: float | None
    value: float | None
    met: bool
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What became of a candidate.

    Attributes:
        blessed: Whether every limit is met and nothing failed.
        reasons: Why not, most telling first; empty where it is blessed.
        judgements: Every limit.
        measured: Figures by name, for the table, the report and lineage.
    """

    blessed: bool
    reasons: list[str]
    judgements: list[Judgement]
    measured: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON values; what is not a number is null."""
        return finite(asdict(self))


def judge_figure(
    figure: str,
    limits: Mapping[str, Any],
    candidate: float | None,
    baseline: float | None,
    ascending: bool,
    ratio: float | None = None,
    unit: str = "",
    shown: str = "",
) -> list[Judgement]:
    """Holds one figure against its limits.

    Args:
        figure: Its name.
        limits: Of BOUNDS; those that are None are not limits.
        candidate: The candidate's value, None where it was not measured.
        baseline: The baseline's.
        ascending: Whether higher is better, which tells what a drop is.
        ratio: Held against max_ratio in place of candidate / baseline, where that is uncertain.
        unit: For the reason's text.
        shown: The figure's name in that text, where it is another.

    Returns:
        A judgement for each limit that is set.
    """
    judgements = []
    for bound in BOUNDS:
        limit = limits.get(bound)
        if limit is None:
            continue
        value = _value(bound, candidate, baseline, ascending, ratio)
        met = value is not None and (value >= limit if bound == "min" else value <= limit)
        reason = "" if met else _reason(shown or figure, bound, limit, value, unit, candidate, baseline)
        judgements.append(Judgement(figure, bound, limit, value, met, reason))
    return judgements


def _value(
    bound: str,
    candidate: float | None,
    baseline: float | None,
    ascending: bool,
    ratio: float | None,
) -> float | None:
    """What a bound looks at; None where it cannot be told."""
    if candidate is None or not math.isfinite(candidate):
        return None
    if bound in ("min", "max"):
        return candidate
    if baseline is None or not math.isfinite(baseline):
        return None
    if bound == "max_drop":
        drop = baseline - candidate if ascending else candidate - baseline
        # Differences of metrics carry rounding of the last bits: 0.99 - 0.985 is more than 0.005.
        return round(drop, 12)
    if ratio is not None:
        return ratio if math.isfinite(ratio) else None
    return candidate / baseline if baseline > 0 else None


def _reason(
    figure: str,
    bound: str,
    limit: float,
    value: float | None,
    unit: str,
    candidate: float | None,
    baseline: float | None,
) -> str:
    if candidate is None:
        return f"{figure} was not measured"
    if not math.isfinite(candidate):
        return f"{figure} is {candidate}"
    if value is None:
        what = "was not measured" if baseline is None else f"is {baseline:g}"
        return f"{figure} cannot be compared: the baseline's {what}"
    unit = f" {unit}" if unit and bound != "max_ratio" else ""
    shown, bounded = distinct(value, limit)
    return {
        "min": f"{figure} {shown}{unit} is below {bounded}{unit}",
        "max": f"{figure} {shown}{unit} is above {bounded}{unit}",
        "max_drop": f"{figure} is {shown}{unit} worse than the baseline, {bounded}{unit} allowed",
        "max_ratio": f"{figure} is {shown} × the baseline's, {bounded} × allowed",
    }[bound]


def distinct(value: float, limit: float) -> tuple[str, str]:
    """Two different numbers as short texts that differ."""
    for digits in (4, 6, 9, 17):
        texts = f"{value:.{digits}g}", f"{limit:.{digits}g}"
        if texts[0] != texts[1]:
            return texts
    return repr(value), repr(limit)


def conclude(
    judgements: list[Judgement], measured: dict[str, Any], failures: list[str] | None = None
) -> Verdict:
    """The verdict on a candidate.

    Args:
        judgements: Every limit.
        measured: Figures by name.
        failures: What could not be done at all; any makes the candidate fail.
    """
    reasons = [*(failures or []), *(j.reason for j in judgements if not j.met)]
    blessed = not reasons and bool(judgements) and all(j.met for j in judgements)
    if not blessed and not reasons:
        reasons = ["no limit was judged"]
    return Verdict(blessed, reasons, judgements, measured)
