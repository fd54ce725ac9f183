"""Labels that nothing can be learnt from, or judged by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from components.anomaly_gate import statistics as tfdv_statistics
from components.anomaly_gate.data import Data, Labels, listed
from components.anomaly_gate.finding import Finding, allowance
from components.anomaly_gate.statistics import EVAL, TRAIN

# Of whole numbers beyond this, no class can be said to be absent.
_MOST_CLASSES = 10_000


def find(data: Data) -> Iterator[Finding]:
    """Labels that are missing; of classes, those that are none, and those that one split alone has.

    Args:
        data: The splits. Where labels may be amounts, only text and whole numbers that train does not have
            are looked for.
    """
    for name in data.labels.features:
        for split in (TRAIN, EVAL):
            feature = tfdv_statistics.features_of(data.statistics[split]).get(name)
            counts = tfdv_statistics.common(feature) if feature is not None else None
            if counts is not None and counts.num_missing:
                total = int(counts.num_missing + counts.num_non_missing)
                told = f"{int(counts.num_missing):,} of {total:,} examples have no label"
                share = counts.num_missing / total
                yield Finding(split, name, "missing", told, share, 0, allowance(name, "missing"))
        values = {split: _finite(data.contents[split].labels.get(name)) for split in (TRAIN, EVAL)}
        for split, counts in values.items():
            yield from _blank(name, split, counts)
        if data.labels.classes and all(values.values()):
            yield from _classes(name, values, data.labels.perhaps_amounts)
            yield from _lacking(name, values[TRAIN] + values[EVAL], data.labels)


def _blank(name: str, split: str, counts: Counter[Any]) -> Iterator[Finding]:
    """Text without a letter, which would be a class of its own."""
    blank = sum(count for value, count in counts.items() if isinstance(value, bytes) and not value.strip())
    if blank:
        total = sum(counts.values())
        told = f"{blank:,} of {total:,} labels are empty texts or blanks"
        yield Finding(split, name, "missing", told, blank / total, 0, allowance(name, "missing"))


def _lacking(name: str, values: Counter[Any], labels: Labels) -> Iterator[Finding]:
    """Classes of the config that there is no example of; those of eval alone are unseen ones.

    Of numbers training says that they have no names. Where a preprocessing_fn may make the classes of other
    values, these have to be classes already.
    """
    if not all(isinstance(value, bytes) for value in values):
        return
    names = {class_name.encode(): class_name for class_name in labels.names}
    if labels.perhaps_amounts and not set(values) <= set(names):
        return
    lacking = [class_name for value, class_name in names.items() if value not in values]
    if lacking:
        told = f"data.classes has classes that train has no example of: {listed(lacking)}"
        yield Finding(TRAIN, name, "absent", told, len(lacking), 0, allowance(name, "absent"))


def _finite(counts: Counter[Any] | None) -> Counter[Any]:
    """Without NaN and infinities, which TFDV finds."""
    kept = {v: c for v, c in (counts or {}).items() if isinstance(v, bytes) or math.isfinite(v)}
    return Counter(kept)


def _classes(name: str, values: Mapping[str, Counter[Any]], perhaps_amounts: bool) -> Iterator[Finding]:
    fractions = {split: [v for v in counts if _is_fraction(v)] for split, counts in values.items()}
    if not perhaps_amounts:
        for split, counts in values.items():
            negative = [value for value in counts if not isinstance(value, bytes) and value < 0]
            yield from _no_class(name, split, counts, "fraction", fractions[split], "not whole")
            yield from _no_class(name, split, counts, "negative", negative, "below 0")
    if any(fractions.values()):  # amounts, of which each example has its own
        return
    unseen = [value for value in values[EVAL] if value not in values[TRAIN]]
    if unseen:
        total, count = sum(values[EVAL].values()), sum(values[EVAL][value] for value in unseen)
        told = (
            f"{count:,} of {total:,} labels are classes that train does not have: {listed(sorted(unseen))}"
        )
        yield Finding(EVAL, name, "unseen", told, count / total, 0, allowance(name, "unseen"))
    known = [value for value in values[TRAIN] if not isinstance(value, bytes) and value >= 0]
    if perhaps_amounts or not known or max(known) >= _MOST_CLASSES:
        return
    absent = sorted(set(range(int(max(known)))) - set(known) - set(unseen))
    if absent:
        told = f"there are classes up to {int(max(known))}, but no example of {listed(absent)}"
        yield Finding(TRAIN, name, "absent", told, len(absent), 0, allowance(name, "absent"))


def _is_fraction(value: Any) -> bool:
    return isinstance(value, float) and not value.is_integer()


def _no_class(
    name: str, split: str, counts: Counter[Any], kind: str, values: list[Any], what: str
) -> Iterator[Finding]:
    if values:
        count, total = sum(counts[value] for value in values), sum(counts.values())
        told = f"{count:,} of {total:,} labels are {what}, so no class: {listed(sorted(values))}"
        yield Finding(split, name, kind, told, count / total, 0, allowance(name, kind))
