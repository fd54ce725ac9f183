"""How eval differs from train, beyond what chance makes of samples of their sizes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

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

Pair = tuple[Any, Any]


def find(data: Data, max_skew: float) -> Iterator[Finding]:
    """Features that are there more or less often, with more or fewer values, or with other numbers.

    Text is TFDV's: `components.anomaly_gate.statistics`. For numbers, TFDV has the Jensen–Shannon divergence
    of two histograms of ten bins each; on random halves of the Chicago taxi trips (7,501 examples each) it
    comes to 0.19 with quantiles, as whole numbers and coordinates share bins, and to 0.71 with bins of equal
    width, as the largest fare decides on those. Kolmogorov–Smirnov, on the values themselves, stays below
    0.02, and what chance makes of it is known for every distribution and size.

    Args:
        data: The splits.
        max_skew: The largest distance that passes, where chance alone could not exceed it.
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
            told = f"the number of values differs from train's: {_told(distance, limit)}"
            yield Finding(EVAL, name, "length", told, distance, limit, allowance(name, "length"))
        classes = train.labels.get(name), evaluation.labels.get(name)
        numbers = train.numbers.get(name), evaluation.numbers.get(name)
        if data.labels.classes and all(classes):
            yield from _class_shares(name, classes, present, max_skew)
        # Of amounts that differ in every example, no share says anything.
        if all(numbers) and (data.labels.perhaps_amounts or not (data.labels.classes and all(classes))):
            yield from _values(name, numbers, present, max_skew)


def _presence(name: str, present: Pair, examples: Pair, max_skew: float) -> Iterator[Finding]:
    shares = present[0] / examples[0], present[1] / examples[1]
    distance, limit = abs(shares[0] - shares[1]), max(max_skew, chance(*examples))
    if distance > limit:
        told = (
            f"{shares[1]:.1%} of the examples have a value, and {shares[0]:.1%} of train's; a difference of "
            f"{limit:.3g} passes"
        )
        yield Finding(EVAL, name, "presence", told, distance, limit, allowance(name, "presence"))


def _repeated(lengths: Mapping[int, int]) -> np.ndarray:
    """Each length as often as it was counted, but 0."""
    found = sorted(length for length in lengths if length)
    return np.repeat(found, [lengths[length] for length in found])


def _class_shares(name: str, classes: Pair, present: Pair, max_skew: float) -> Iterator[Finding]:
    first, second = (Counter(found) for found in classes)
    distance = largest_difference(first, second)
    limit = max(max_skew, chance(*present, comparisons=len({*first, *second})))
    if distance > limit:
        told = f"the share of a class differs from train's by {distance:.3g}, at most {limit:.3g} passes"
        yield Finding(EVAL, name, "skew", told, distance, limit, allowance(name, "skew"))


def _values(
    name: str, numbers: tuple[Numbers, Numbers], present: Pair, max_skew: float
) -> Iterator[Finding]:
    columns = [found.columns() for found in numbers]
    if columns[0].shape[1] != columns[1].shape[1]:
        columns = [np.asarray(found.sampled).reshape(-1, 1) for found in numbers]
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
        told = f"the values{at} are distributed otherwise than train's: {_told(distances[worst], limit)}"
        yield Finding(EVAL, name, "skew", told, distances[worst], limit, allowance(name, "skew"))


def _told(distance: float, limit: float) -> str:
    return f"Kolmogorov–Smirnov {distance:.3g}, at most {limit:.3g} passes"


def find_twins(data: Data, max_duplicates: float) -> Iterator[Finding]:
    """Eval examples that the model was trained on.

    Args:
        data: The splits.
        max_duplicates: The largest share that passes, where chance alone could not exceed it.
    """
    train, evaluation = data.contents[TRAIN], data.contents[EVAL]
    count = sum(number for twin, number in evaluation.twins.items() if twin in train.twins)
    share, own = count / evaluation.examples, train.twin_share()
    limit = max(max_duplicates, chance_of_twins(own, train.examples, evaluation.examples))
    if share > limit:
        told = (
            f"{count:,} of {evaluation.examples:,} have the features of a train example ({share:.1%}; within "
            f"train it is {own:.1%}), at most {limit:.3g} of them pass: accuracy on trained examples says nothing"
        )
        option = f"max_duplicates: {math.ceil(share * 100) / 100:g}"
        yield Finding(EVAL, "", "duplicates", told, share, limit, option)
