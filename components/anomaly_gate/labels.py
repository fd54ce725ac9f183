"""Labels that a model cannot be trained on or judged by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.anomaly_gate import statistics as tfdv_statistics
from components.anomaly_gate.data import Data, listed
from components.anomaly_gate.finding import Finding, allowance
from components.anomaly_gate.params import Labels
from components.anomaly_gate.statistics import EVAL, TRAIN

# Whole numbers beyond this are not searched for absent classes.
_MOST_CLASSES = 10_000
# Classes in the text that says how to write them.
_LISTED = 20


def find(data: Data) -> Iterator[Finding]:
    """Labels that are missing; values that are not classes; and classes that only one split has.

    Args:
        data: The splits. If labels may be amounts, only text and whole numbers that train does not have are
            reported.
    """
    for name in data.labels.features:
        for split in (TRAIN, EVAL):
            feature = tfdv_statistics.features_of(data.statistics[split]).get(name)
            counts = tfdv_statistics.common(feature) if feature is not None else None
            if counts is not None and counts.num_missing:
                total = int(counts.num_missing + counts.num_non_missing)
                text = f"{int(counts.num_missing):,} of {total:,} examples have no label"
                share = counts.num_missing / total
                yield Finding(split, name, "missing", text, share, 0, allowance(name, "missing"))
        values = {split: _finite(data.contents[split].labels.get(name)) for split in (TRAIN, EVAL)}
        for split, found in values.items():
            yield from _blank(name, split, found)
        if data.labels.classes and all(values.values()):
            yield from _classes(name, values, data.labels.perhaps_amounts, data.labels.names)
            yield from _lacking(name, values[TRAIN] + values[EVAL], data.labels)


def find_leaks(data: Data) -> Iterator[Finding]:
    """Features of train that are the label, or go with it one to one: a model would learn nothing else."""
    for label, pairings in sorted(data.contents[TRAIN].pairings.items()):
        for leak in pairings.leaks():
            at = "" if leak.position is None else f"at position {leak.position}, "
            what = (
                f"it is equal to label {label!r}"
                if leak.equal
                else f"each of its {leak.labels:,} values goes with one value of label {label!r} and no other"
            )
            text = f"{at}{what} in all {pairings.examples:,} examples, so it gives the label away"
            yield Finding(TRAIN, leak.feature, "leak", text, option=allowance(leak.feature, "leak"))


def _blank(name: str, split: str, counts: Counter[Any]) -> Iterator[Finding]:
    """Blank text, which would be a class like any other."""
    blank = sum(count for value, count in counts.items() if isinstance(value, bytes) and not value.strip())
    if blank:
        total = sum(counts.values())
        text = f"{blank:,} of {total:,} labels are empty or blank text"
        yield Finding(split, name, "missing", text, blank / total, 0, allowance(name, "missing"))


def _lacking(name: str, values: Counter[Any], labels: Labels) -> Iterator[Finding]:
    """Classes of the config without any example; classes that only eval has are reported as unseen.

    Training refuses names for numbers. If a preprocessing_fn may make the classes of other values, only values that
    already are classes are compared.
    """
    if not all(isinstance(value, bytes) for value in values):
        return
    names = {class_name.encode(): class_name for class_name in labels.names}
    if labels.perhaps_amounts and not set(values) <= set(names):
        return
    lacking = [class_name for value, class_name in names.items() if value not in values]
    if lacking:
        text = f"data.classes lists classes without an example in train: {listed(lacking)}"
        yield Finding(TRAIN, name, "absent", text, len(lacking), 0, allowance(name, "absent"))


def _finite(counts: Counter[Any] | None) -> Counter[Any]:
    """The counts without NaN and infinities, which TFDV finds."""
    kept = {v: c for v, c in (counts or {}).items() if isinstance(v, bytes) or math.isfinite(v)}
    return Counter(kept)


def _classes(
    name: str, values: Mapping[str, Counter[Any]], perhaps_amounts: bool, names: Sequence[str]
) -> Iterator[Finding]:
    fractions = {split: [v for v in counts if _is_fraction(v)] for split, counts in values.items()}
    if not perhaps_amounts and not names:
        for split, counts in values.items():
            negative = [value for value in counts if not isinstance(value, bytes) and value < 0]
            yield from _no_class(name, split, counts, "fraction", fractions[split], "not whole")
            yield from _no_class(name, split, counts, "negative", negative, "below 0")
    if any(fractions.values()):  # amounts, of which each example has its own
        return
    unseen = [value for value in values[EVAL] if value not in values[TRAIN]]
    if unseen:
        total, count = sum(values[EVAL].values()), sum(values[EVAL][value] for value in unseen)
        text = (
            f"{count:,} of {total:,} labels are classes that train does not have: {listed(sorted(unseen))}"
        )
        yield Finding(EVAL, name, "unseen", text, count / total, 0, allowance(name, "unseen"))
    known = [value for value in values[TRAIN] if not isinstance(value, bytes) and value >= 0]
    if perhaps_amounts or names or not known or max(known) >= _MOST_CLASSES:
        return
    absent = sorted(set(range(int(max(known)))) - set(known) - set(unseen))
    if absent:
        text = f"there are classes up to {int(max(known))}, but no example of {listed(absent)}"
        if len(known) <= _LISTED:
            there = ", ".join(f"{int(value)}" for value in sorted(known))
            text += f"; if these are all classes, write data.classes: [{there}]"
        yield Finding(TRAIN, name, "absent", text, len(absent), 0, allowance(name, "absent"))


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _no_class(
    name: str, split: str, counts: Counter[Any], kind: str, values: list[Any], what: str
) -> Iterator[Finding]:
    if values:
        count, total = sum(counts[value] for value in values), sum(counts.values())
        text = (
            f"{count:,} of {total:,} labels are {what}, so they are not classes: {listed(sorted(values))}"
        )
        yield Finding(split, name, kind, text, count / total, 0, allowance(name, kind))
