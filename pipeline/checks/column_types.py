"""Types of features against what the model takes: numbers or text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.common.base.label import places
from components.common.data.losses import REGRESSION
from components.common.models.output_kind import OutputKind, kinds
from pipeline.checks.data_preflight import DataFacts
from pipeline.checks.table import TEXT
from pipeline.config.data_options import Data
from pipeline.config.problem import Location, Problem

_AT: Location = ("data", "path")


def check_inputs(facts: DataFacts, model: Any, fed: Mapping[str, str]) -> Iterator[Problem]:
    """Refuses text for inputs that take numbers, and numbers for inputs that take text.

    Args:
        facts: Facts of the data.
        model: A Keras model.
        fed: Input → feature.
    """
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        feature = fed[name]
        kind = facts.kinds.get(feature)
        takes_text = tensor.dtype.name == "string"
        if kind is None or (kind == TEXT) == takes_text:
            continue
        if takes_text:
            yield Problem(
                f"feature {feature!r} holds {kind}, and the model's input {name!r} takes text; give the input a type "
                "of numbers, or convert the feature to text in preprocessing_fn(inputs)",
                _AT,
            )
        elif feature in facts.odd_cells:
            odd = facts.odd_cells[feature]
            yield Problem(
                f"feature {feature!r} has {odd.in_words()}, and the model's input {name!r} takes numbers; {odd.fix()}",
                _AT,
            )
        else:
            yield Problem(
                f"feature {feature!r} holds text, and the model's input {name!r} takes numbers; convert it to "
                "numbers in preprocessing_fn(inputs), or in the files",
                _AT,
            )


def check_labels(facts: DataFacts, data: Data, model: Any) -> Iterator[Problem]:
    """Refuses text as the label of a regression, and numbers among which a few cells are text as classes."""
    outputs = kinds(model)
    for within, label in places(data.label).items():
        at: Location = ("data", "label", *within)
        output = _output_of(outputs, within)
        if output is None or facts.kinds.get(label) != TEXT:
            continue
        odd = facts.odd_cells.get(label)
        if output.task == REGRESSION:
            what, fix = (
                (odd.in_words(), odd.label_fix()) if odd else ("text", "make numbers of it in the files")
            )
            yield Problem(
                f"{label!r} has {what}, and output {output.name!r} is a regression, compiled with {output.loss}; "
                f"{fix}",
                at,
            )
        elif odd is not None and odd.numbers > odd.texts and data.classes is None:
            yield Problem(
                f"{label!r} has {odd.in_words()}; {odd.label_fix()}. If it is a class like the numbers, write "
                "data.classes with all classes in quotes",
                at,
            )


def _output_of(outputs: list[OutputKind], within: tuple[str, ...]) -> OutputKind | None:
    if not within:
        return outputs[0] if len(outputs) == 1 else None
    return next((output for output in outputs if output.name == within[0]), None)
