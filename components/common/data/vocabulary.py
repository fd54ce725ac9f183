"""The classes of a string label, in the order of the model's outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.base.class_order import in_order
from components.common.base.errors import ParedownError
from components.common.base.texts import listed

# Beside the TFLite file: one class a line, in the order of the model's outputs.
LABELS_FILE = "labels.txt"


class VocabularyError(ParedownError):
    """Labels and classes do not fit; the message names them."""


@dataclass(frozen=True)
class Vocabulary:
    """Classes of a string label.

    Attributes:
        names: In the order of the model's outputs.
    """

    names: tuple[str, ...]

    def indices(self, values: Any, label: str, split: str) -> npt.NDArray[Any]:
        """Index of each label's class.

        Args:
            values: Strings, bytes or text, or numbers, of any shape.
            label: Name of the feature, for the error.
            split: Split of the examples, for the error.

        Returns:
            int64 array of the same shape.

        Raises:
            VocabularyError: If a value is not a class.
        """
        values = np.asarray(values, dtype=object)
        known = {name.encode(): index for index, name in enumerate(self.names)}
        found, inverse = np.unique([_as_bytes(value) for value in values.ravel()], return_inverse=True)
        unseen = [value.decode(errors="replace") for value in found.tolist() if value not in known]
        if unseen:
            shown = listed([repr(value) for value in unseen], 5)
            raise VocabularyError(
                f"label {label!r} of split {split!r} has {shown}, which the classes {_listed(self.names)} do not "
                "have; fix the data, or write all classes in data.classes"
            )
        codes = np.array([known[value] for value in found.tolist()], np.int64)
        return codes[inverse].reshape(values.shape)

    def write(self, folder: str) -> None:
        """Writes `LABELS_FILE`."""
        with open(os.path.join(folder, LABELS_FILE), "w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{name}\n" for name in self.names)


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return value if isinstance(value, bytes) else str(value).encode()


def of_schema(schema: Any, label: str) -> Vocabulary:
    """The values of a label's string domain, in the order of `in_order`.

    Args:
        schema: Schema of the data as they were read, inferred from the train split.
        label: The feature.

    Raises:
        VocabularyError: If the schema has no domain for it: SchemaGen writes none of more than 100
            values, and Transform none of what it makes.
    """
    shared = {domain.name: domain for domain in schema.string_domain}
    for feature in schema.feature:
        if feature.name != label:
            continue
        kind = feature.WhichOneof("domain_info")
        domain = feature.string_domain if kind == "string_domain" else shared.get(feature.domain)
        if domain is not None and domain.value:
            _refuse_other_than_lines(domain.value, label)
            return Vocabulary(tuple(in_order(domain.value)))
    raise VocabularyError(
        f"label {label!r} is a string, and the schema of the data does not list its values (it lists 100 at "
        "most, of features that Transform did not make); write data.classes: [...] with every class, in the "
        "order of the model's outputs"
    )


def _refuse_other_than_lines(names: Iterable[str], label: str) -> None:
    wrong = sorted(name for name in names if not name.strip() or len(name.splitlines()) != 1)
    if wrong:
        raise VocabularyError(
            f"label {label!r} has {_listed(wrong)}, which cannot be names of classes: each is one line of text "
            f"in {LABELS_FILE}; fix the data"
        )


def refuse_other_outputs(names: Sequence[str], output_shape: Any) -> None:
    """Refuses a model that has not one output for each class.

    Args:
        names: The classes.
        output_shape: As Keras has it, with the batch dimension: (None, units).

    Raises:
        VocabularyError: If the number of units differs; one unit is right for two classes.
    """
    if isinstance(output_shape, list | dict):
        raise VocabularyError(
            "the model has several outputs, but a string label needs a single one; write labels as numbers"
        )
    units = output_shape[-1]
    if units == len(names) or (units == 1 and len(names) == 2):
        return
    raise VocabularyError(
        f"the model has {units} outputs, and the label {len(names)} classes: {_listed(names)}; give the last "
        f"layer {len(names)} units, or fix data.classes"
    )


def _listed(names: Sequence[str]) -> str:
    return f"[{listed([repr(name) for name in names], 10)}]"
