"""Labels and models' predictions of the eval split, as arrays: in order, and as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.common.data.arrays import content_digests

PREDICTIONS_FILE = "predictions.npz"

# Values of one output, or output → its values; the first axis is the examples, as in TFMA.
Values = NDArray[Any] | dict[str, NDArray[Any]]
Row = tuple[str | int | float, ...]


@dataclass(frozen=True)
class Column:
    """A feature that slices are named by.

    Attributes:
        rows: Distinct values of it. An example may have several at once, or none.
        codes: (examples,) index in `rows`; -1 if the example does not have the feature.
    """

    rows: tuple[Row, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Predictions:
    """Labels, predictions and slices of the eval split.

    Attributes:
        labels: (examples, …), or output → such an array; empty if there are none.
        outputs: Model → the same of its predictions.
        columns: Feature → its values, of the features that slices are named by.
    """

    labels: Values
    outputs: Mapping[str, Values]
    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(_first(next(iter(self.outputs.values()))))

    def beside(self, other: Predictions) -> Predictions:
        """The same, with the outputs of another model too.

        Args:
            other: Predictions of the same examples in the same order.

        Raises:
            ValueError: If labels differ, so that it cannot be the same examples.
        """
        own, others = _flat("labels", self.labels), _flat("labels", other.labels)
        same = own.keys() == others.keys() and all(_equal(own[name], others[name]) for name in own)
        if not same or len(self) != len(other):
            raise ValueError("the baseline's predictions are of other examples; run again")
        return Predictions(
            self.labels, {**other.outputs, **self.outputs}, {**other.columns, **self.columns}
        )

    def in_order(self) -> Predictions:
        """The same in an order that depends on nothing else: ExampleGen shuffles differently each time."""
        labels, outputs = _laid_out(self.labels, dict(self.outputs))
        content = {**_flat("labels", labels), **{name: c.codes for name, c in self.columns.items()}}
        for model, values in outputs.items():
            content |= _flat(f"outputs/{model}", values)
        digests = content_digests(content)
        order = np.array(sorted(range(len(digests)), key=digests.__getitem__), np.int64)
        return Predictions(
            _taken(labels, order),
            {model: _taken(values, order) for model, values in outputs.items()},
            {name: Column(column.rows, column.codes[order]) for name, column in self.columns.items()},
        )

    def write(self, folder: str) -> None:
        """Writes `PREDICTIONS_FILE`."""
        columns = {name: [list(row) for row in column.rows] for name, column in self.columns.items()}
        arrays = {"columns": np.array(json.dumps(columns, sort_keys=True))}
        arrays |= {f"codes/{name}": column.codes for name, column in self.columns.items()}
        arrays |= _flat("labels", self.labels)
        for model, values in self.outputs.items():
            arrays |= _flat(f"outputs/{model}", values)
        np.savez(os.path.join(folder, PREDICTIONS_FILE), **arrays)

    @classmethod
    def read(cls, folder: str) -> Predictions:
        """Reads what `write` wrote."""
        with np.load(os.path.join(folder, PREDICTIONS_FILE), allow_pickle=False) as file:
            arrays = dict(file)
        columns = json.loads(str(arrays["columns"]))
        models = sorted({name.split("/")[1] for name in arrays if name.startswith("outputs/")})
        return cls(
            _nested("labels", arrays),
            {model: _nested(f"outputs/{model}", arrays) for model in models},
            {
                name: Column(tuple(map(tuple, rows)), arrays[f"codes/{name}"])
                for name, rows in columns.items()
            },
        )


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" and other.dtype.kind == "f")


def _flat(name: str, values: Values) -> dict[str, NDArray[Any]]:
    if isinstance(values, dict):
        return {f"{name}/{output}": array for output, array in values.items()}
    return {name: values}


def _nested(name: str, arrays: Mapping[str, NDArray[Any]]) -> Values:
    if name in arrays:
        return arrays[name]
    return {key[len(name) + 1 :]: array for key, array in arrays.items() if key.startswith(f"{name}/")}


def _first(values: Values) -> NDArray[Any]:
    return next(iter(values.values())) if isinstance(values, dict) else values


def _taken(values: Values, order: NDArray[np.int64]) -> Values:
    if isinstance(values, dict):
        return {name: array[order] for name, array in values.items()}
    return values[order]


def _laid_out(labels: Values, outputs: dict[str, Values]) -> tuple[Values, dict[str, Values]]:
    """Labels and outputs of several axes in the layout that metrics compare.

    If they have as many values, as those of an autoencoder, both are (examples, values). If labels have as many as an
    output has places, each is the index of a class: (examples, …) for an output of (examples, …, classes).
    """
    if not isinstance(labels, dict):
        if any(isinstance(values, dict) for values in outputs.values()):
            return labels, outputs
        given, made = _alike(labels, {model: _first(values) for model, values in outputs.items()})
        return given, dict(made)
    laid, named = dict(labels), {n: dict(v) for n, v in outputs.items() if isinstance(v, dict)}
    for output in labels:
        if all(output in values for values in named.values()):
            laid[output], made = _alike(labels[output], {n: values[output] for n, values in named.items()})
            for model, values in made.items():
                named[model][output] = values
    return laid, {**outputs, **named}


def _alike(
    labels: NDArray[Any], outputs: dict[str, NDArray[Any]]
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """The same of one output: model → its values."""
    shapes = {array.shape[1:] for array in outputs.values()}
    if len(shapes) != 1 or max(labels.ndim, *(array.ndim for array in outputs.values())) < 3:
        return labels, outputs
    (shape,) = shapes
    width = int(np.prod(labels.shape[1:]))
    if width == np.prod(shape):
        return labels.reshape(len(labels), -1), {n: a.reshape(len(a), -1) for n, a in outputs.items()}
    if width == np.prod(shape[:-1]):
        return labels.reshape(len(labels), *shape[:-1]), outputs
    return labels, outputs
