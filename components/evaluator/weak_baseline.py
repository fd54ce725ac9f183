"""Baselines that have learnt nothing: whatever a candidate does, it is hardly worse."""

from __future__ import annotations

from components.evaluator.judgement import Failure, FailureKind
from components.evaluator.params import AccuracyGate
from components.measurer.comparison import Chance


def find(gate: AccuracyGate, value: float, chance: Chance | None) -> Failure | None:
    """Why limits on a drop judge nothing.

    Args:
        gate: A metric with its limits.
        value: The baseline's value.
        chance: What the metric is without knowledge of an example; None if that is not known.

    Returns:
        None if the baseline is better than a constant prediction, if no limit is on a drop or a ratio, if another
        limit refuses a constant prediction, or if the gate allows weak baselines.
    """
    sections = (gate, *gate.slices)
    relative = any({"max_drop", "max_ratio", "min_ratio"} & one.bounds().keys() for one in sections)
    if chance is None or not relative or gate.allow_weak_baseline:
        return None
    if gate.ascending():
        refused = gate.min is not None and gate.min > chance.constant
    else:
        refused = gate.max is not None and gate.max < chance.constant
    if refused or not chance.skill(value) < chance.margin:
        return None
    return Failure(
        FailureKind.BASELINE_AT_CHANCE,
        f"the baseline has learnt nothing, so nothing can drop from it: its {gate.title()} is {value:.4g}, and a "
        f"constant prediction has {chance.constant:.4g} ({chance.margin:.1%} of the way to a perfect one may be luck)",
    )
