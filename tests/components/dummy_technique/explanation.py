"""What the `mirror` step will do to a model."""

from __future__ import annotations

from components.common.models.layer_selection import LayerSelectionError
from components.common.steps.explanation import Explanation, Outlook, Refusal
from tests.components.dummy_technique.executor import select_layers
from tests.components.dummy_technique.invariants import Mirrored
from tests.components.dummy_technique.params import MirrorOptions


def explain(outlook: Outlook, options: MirrorOptions) -> Explanation:
    """Says which layers become symmetric."""
    after = outlook.after(options)
    try:
        layers = select_layers(outlook.model, options)
    except LayerSelectionError as error:
        return Explanation({}, [Refusal("", str(error), "include")], after)
    for name in layers:
        after.record.ask(name, Mirrored())
    return Explanation(dict.fromkeys(layers, "mirror-symmetric"), [], after)
