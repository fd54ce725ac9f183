"""Which features a model predicts: one, or one for each of its outputs. Imports no TensorFlow."""

from __future__ import annotations

import json
from collections.abc import Mapping

# The feature, or output → feature of a model with several outputs; empty if there are no labels.
Label = str | Mapping[str, str]

# In place of a feature: the model is to give what it gets, as an autoencoder does.
SAME_AS_INPUT = "<input>"


def features_of(label: Label) -> list[str]:
    """The features, sorted by name."""
    if label == SAME_AS_INPUT:
        return []
    return [label] if isinstance(label, str) else sorted(set(label.values()))


def places(label: Label) -> dict[tuple[str, ...], str]:
    """Path below `data.label` in a config → feature: the empty path, or the name of the output."""
    if label == SAME_AS_INPUT:
        return {}
    return {(): label} if isinstance(label, str) else {(output,): name for output, name in label.items()}


def as_parameter(label: Label) -> str:
    """A label as the execution property of a node: a name, or JSON with sorted keys."""
    return label if isinstance(label, str) else json.dumps(dict(label), sort_keys=True)


def from_parameter(text: str) -> Label:
    """The argument of `as_parameter`."""
    return json.loads(text) if text.startswith("{") else text
