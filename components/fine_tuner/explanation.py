"""What the `fine_tune` step will do to a model."""

from __future__ import annotations

from components.common.explanation import Explanation, Outlook
from components.fine_tuner.params import FineTuneOptions


def explain(outlook: Outlook, options: FineTuneOptions) -> Explanation:
    """Says what is kept; see components.common.explanation."""
    effects = {}
    for name, asked in sorted(outlook.record.layers.items()):
        kept = ["zeros"] if asked.has_zeros() else []
        kept += ["values"] if asked.clusters is not None else []
        effects[name] = f"keeps its {' and '.join(kept)}"
    return Explanation(effects, [], outlook.after(options.technique, options.model_dump(mode="json")))
