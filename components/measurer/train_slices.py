"""Slices of train that eval does not have: the gate cannot judge them, and says so."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.common.base import json_file
from components.common.data import decoded, shared_folder
from components.common.data.examples import Examples
from components.common.data.transform_graph import TransformGraph
from components.measurer.measured import Slice, SliceValue, UnjudgedSlices, slice_text
from components.measurer.params import Metric

# Values in a verdict; the number of all of them is there, too.
LISTED = 20

_TOGETHER = 4096


def unjudged(
    metric: Metric, judged: Collection[Slice], examples: Examples, raw_examples: Examples | None = None
) -> tuple[UnjudgedSlices, ...]:
    """The slices of train that eval does not have, for each entry of `slices`.

    Args:
        metric: The metric with its slices.
        judged: The slices that were measured on eval.
        examples: What the model takes.
        raw_examples: The same before Transform, if they went through it.

    Returns:
        One entry for each entry of `metric.slices` that has such slices.
    """
    known = {frozenset(slice_) for slice_ in judged}
    by = dict.fromkeys(tuple(sorted(slicing.features())) for slicing in metric.slices)
    found = ((features, count_slices(features, examples, raw_examples)) for features in by)
    lacking = (
        (features, {slice_: count for slice_, count in counts.items() if frozenset(slice_) not in known})
        for features, counts in found
    )
    return tuple(
        UnjudgedSlices(
            features=features,
            slices=len(counts),
            examples=sum(counts.values()),
            most_frequent=tuple(
                slice_
                for slice_, _ in sorted(counts.items(), key=lambda item: (-item[1], slice_text(item[0])))
            )[:LISTED],
        )
        for features, counts in lacking
        if counts
    )


def count_slices(
    features: Sequence[str], examples: Examples, raw_examples: Examples | None = None, split: str = "train"
) -> Counter[Slice]:
    """Slices by these features → number of examples of a split that are in them.

    As in TFMA, a transformed feature is preferred to a raw one of its name, an example with several values of a
    feature is in several slices, and one without a value is in none. The measurements of a run count once.
    """
    kept = _kept(features, examples, raw_examples, split)
    if kept is not None and kept.is_file():
        rows = json.loads(kept.read_text(encoding="utf-8"))
    else:
        rows = _counted(features, examples, raw_examples, split)
        if kept is not None:
            json_file.write(str(kept), rows)
    return Counter(
        {
            tuple(SliceValue(name, text) for name, text in zip(features, texts, strict=True)): count
            for texts, count in rows
        }
    )


def _kept(
    features: Sequence[str], examples: Examples, raw_examples: Examples | None, split: str
) -> Path | None:
    """The folder in which the measurements of a run keep these counts; None without a run around them."""
    files = [*examples.files(split), *(raw_examples.files(split) if raw_examples else ())]
    folder = shared_folder.of(files[0]) if files else None
    if folder is None:
        return None
    read = {"slices": [*features], "schema": examples.schema_uri, "graph": examples.transform_uri}
    return folder / f"slices-{decoded.key_of(files, read)}.json"


def _counted(
    features: Sequence[str], examples: Examples, raw_examples: Examples | None, split: str
) -> list[tuple[list[str], int]]:
    """The values of each slice, as texts, and its number of examples."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for columns in _columns(features, examples, raw_examples, split):
        for values in zip(*columns, strict=True):
            for combination in itertools.product(*values):
                counts[combination] += 1
    return [([_text(value) for value in values], count) for values, count in counts.items()]


def _columns(
    features: Sequence[str], examples: Examples, raw_examples: Examples | None, split: str
) -> Iterator[list[list[list[Any]]]]:
    """For each batch of examples and each feature, the distinct values of every example."""
    made = examples.feature_spec()
    # Only features of both kinds together need the graph: the files of either have one order, and not the other's.
    alone = raw_examples is None or all(name in made for name in features)
    source = examples if alone else raw_examples
    assert source is not None
    spec = {
        name: tf.io.VarLenFeature(kind.dtype)
        for name, kind in source.feature_spec().items()
        if name in features
    }
    mixed = not alone and any(name in made for name in features)
    graph = TransformGraph(examples.transform_uri) if mixed and examples.transform_uri else None
    records = list(source.records(split))
    for start in range(0, len(records), _TOGETHER):
        batch = records[start : start + _TOGETHER]
        values: dict[str, Any] = dict(tf.io.parse_example(batch, spec)) if spec else {}
        if graph is not None:
            values.update({name: v for name, v in graph.transform_all(batch).items() if name in features})
        if all(
            name in values for name in features
        ):  # else there are no such slices, which the gate reports
            yield [_distinct(values[name], len(batch)) for name in features]


def _distinct(values: Any, examples: int) -> list[list[Any]]:
    """The distinct values of each example, of a (batch, …) tensor or a sparse one."""
    if isinstance(values, tf.sparse.SparseTensor):
        counts = np.bincount(values.indices.numpy()[:, 0], minlength=examples)
        return [_unique(part) for part in np.split(values.values.numpy(), np.cumsum(counts)[:-1])]
    return [_unique(row) for row in values.numpy().reshape(examples, -1)]


def _unique(values: npt.NDArray[Any]) -> list[Any]:
    return values.tolist() if len(values) == 1 else list(dict.fromkeys(values.tolist()))


def _text(value: Any) -> str:
    """A value as TFMA's slice keys have it."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
