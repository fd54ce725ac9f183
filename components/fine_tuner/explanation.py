"""The effect of the `fine_tune` step on a model."""

from __future__ import annotations

from components.common.models.invariants import kept
from components.common.steps.explanation import Explanation, Outlook
from components.fine_tuner.params import FineTuneOptions


def explain(outlook: Outlook, options: FineTuneOptions) -> Explanation:
    """Says what is kept; see components.common.steps.explanation."""
    layers = sorted(outlook.record.layers.items())
    effects = {name: f"keeps its {kept(asked)}" for name, asked in layers if asked}
    return Explanation(effects, [], outlook.after(options))
