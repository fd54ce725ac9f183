"""How eval differs from train, beyond what chance explains for samples of their sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.anomaly_gate.contents import Numbers
from components.anomaly_gate.data import Data
from components.anomaly_gate.distance import (
    chance,
    chance_of_twins,
    kolmogorov_smirnov,
    largest_difference,
)
from components.anomaly_gate.finding import Finding, allowance
from components.anomaly_gate.statistics import EVAL, TRAIN

Counts = tuple[int, int]
Classes = tuple[Counter[Any], Counter[Any]]


def find(data: Data, max_skew: float) -> Iterator[Finding]:
    """Features that occur more or less often, with more or fewer values, or with other numbers.

    TFDV compares text: `components.anomaly_gate.statistics`. For numbers, it has the Jensen–Shannon divergence
    of two histograms of ten bins each; on random halves of the Chicago taxi trips (7,501 examples each) it
    is 0.19 with quantiles, as whole numbers and coordinates share bins, and 0.71 with bins of equal width, as
    the largest fare decides on those. Kolmogorov–Smirnov, on the values themselves, stays below
    0.02, and how large it gets by chance is known for every distribution and size.

    Args:
        data: The splits.
        max_skew: The largest distance that is allowed, unless chance alone could exceed it.
    """
    train, evaluation = data.contents[TRAIN], data.contents[EVAL]
    for name in sorted({*train.lengths, *evaluation.lengths}):
        present = train.present(name), evaluation.present(name)
        yield from _presence(name, present, (train.examples, evaluation.examples), max_skew)
        if not all(present):
            continue
        limit = max(max_skew, chance(*present))
        distance = kolmogorov_smirnov(_repeated(train.lengths[name]), _repeated(evaluation.lengths[name]))
        if distance > limit:
            text = f"the number of values differs from train: {_compared(distance, limit)}"
            yield Finding(EVAL, name, "length", text, distance, limit, allowance(name, "length"))
        classes = train.labels.get(name, Counter()), evaluation.labels.get(name, Counter())
        are_classes = data.labels.classes and all(classes)
        if are_classes:
            yield from _class_shares(name, classes, present, max_skew)
        # For amounts that differ in every example, shares mean nothing.
        if data.labels.perhaps_amounts or not are_classes:
            one, other = train.numbers.get(name), evaluation.numbers.get(name)
            if one is not None and other is not None:
                yield from _values(name, (one, other), present, max_skew)


def _presence(name: str, present: Counts, examples: Counts, max_skew: float) -> Iterator[Finding]:
    shares = present[0] / examples[0], present[1] / examples[1]
    distance, limit = abs(shares[0] - shares[1]), max(max_skew, chance(*examples))
    if distance > limit:
        text = (
            f"{shares[1]:.1%} of the examples have a value, and {shares[0]:.1%} in train; the limit of the "
            f"difference is {limit:.3g}"
        )
        yield Finding(EVAL, name, "presence", text, distance, limit, allowance(name, "presence"))


def _repeated(lengths: Mapping[int, int]) -> npt.NDArray[np.int64]:
    """Each length except 0, as often as it was counted."""
    found = sorted(length for length in lengths if length)
    return np.repeat(found, [lengths[length] for length in found])


def _class_shares(name: str, classes: Classes, present: Counts, max_skew: float) -> Iterator[Finding]:
    first, second = classes
    distance = largest_difference(first, second)
    limit = max(max_skew, chance(*present, comparisons=len({*first, *second})))
    if distance > limit:
        text = f"the share of a class differs from train by {distance:.3g}; the limit is {limit:.3g}"
        yield Finding(EVAL, name, "skew", text, distance, limit, allowance(name, "skew"))


def _values(
    name: str, numbers: tuple[Numbers, Numbers], present: Counts, max_skew: float
) -> Iterator[Finding]:
    columns = [found.columns() for found in numbers]
    if columns[0].shape[1] != columns[1].shape[1]:
        columns = [found.samples() for found in numbers]
    width = columns[0].shape[1]
    distances = {}
    for position in range(width):
        pair = [column[:, position][np.isfinite(column[:, position])] for column in columns]
        if all(len(values) for values in pair):
            distances[position] = kolmogorov_smirnov(*pair)
    limit = max(max_skew, chance(*present, comparisons=width))
    worst = max(distances, key=distances.__getitem__, default=None)
    if worst is not None and distances[worst] > limit:
        at = f" at position {worst}" if width > 1 else ""
        text = (
            f"the distribution of the values{at} differs from train: {_compared(distances[worst], limit)}"
        )
        yield Finding(EVAL, name, "skew", text, distances[worst], limit, allowance(name, "skew"))


def _compared(distance: float, limit: float) -> str:
    return f"the Kolmogorov–Smirnov distance is {distance:.3g}, the limit {limit:.3g}"


def find_twins(data: Data, max_duplicates: float) -> Iterator[Finding]:
    """Eval examples that the model was trained on.

    Args:
        data: The splits.
        max_duplicates: The largest share that is allowed, unless chance alone could exceed it.
    """
    train, evaluation = data.contents[TRAIN], data.contents[EVAL]
    count = evaluation.twins_in(train)
    share, own = count / evaluation.examples, train.twin_share()
    limit = max(max_duplicates, chance_of_twins(own, train.examples, evaluation.examples))
    if share > limit:
        text = (
            f"{count:,} of {evaluation.examples:,} have the same features as a train example ({share:.1%}; within "
            f"train {own:.1%}); the limit is {limit:.3g}, since accuracy on trained examples means nothing"
        )
        option = f"max_duplicates: {math.ceil(share * 100) / 100:g}"
        yield Finding(EVAL, "", "duplicates", text, share, limit, option)
