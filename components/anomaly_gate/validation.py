"""The validation of a data set: everything that is found, and which findings are allowed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from components.anomaly_gate import differences, labels
from components.anomaly_gate import statistics as tfdv_statistics
from components.anomaly_gate.data import Data, listed
from components.anomaly_gate.finding import Finding, State, allowance
from components.anomaly_gate.params import Validation
from components.anomaly_gate.statistics import EVAL, TRAIN, Anomaly
from components.common.base.errors import ParedownError
from components.common.base.near_names import nearest

_ID_EXAMPLES = 100  # fewer texts may well all differ
_ID_LENGTH = 64  # characters; longer ones are sentences or images


class AllowanceError(ParedownError):
    """`data.validation.allow` names a feature that the data do not have."""


def find(data: Data, options: Validation) -> list[Finding]:
    """Everything that is found, each with its state: refused, allowed, tolerated or a warning.

    Args:
        data: The splits.
        options: Limits, and findings to allow.

    Returns:
        At most one finding of a kind in a feature of a split.

    Raises:
        AllowanceError: If `allow` names an unknown feature.
    """
    refuse_unknown(options, data)
    empty = [
        Finding(split, "", "few", "there are no examples")
        for split in (TRAIN, EVAL)
        if not tfdv_statistics.examples_of(data.statistics[split])
    ]
    if empty:
        return empty
    every: dict[tuple[str, str, str], Finding] = {}
    for finding in _all(data, options):
        # Labels, statistics and TFDV overlap; the first of them says most.
        every.setdefault((finding.split, finding.feature, finding.kind), finding)
    judged = [
        replace(f, state="allowed") if f.state == "refused" and options.allows(f.feature, f.kind) else f
        for key, f in every.items()
        if f.kind != "presence" or not {(*key[:2], "missing"), (*key[:2], "new")} & every.keys()
    ]
    return sorted(judged, key=lambda f: (f.feature, f.split != TRAIN, f.kind))


def refuse_unknown(options: Validation, data: Data) -> None:
    """Raises an AllowanceError if `allow` names a feature that neither split has."""
    known = {name for found in data.statistics.values() for name in tfdv_statistics.features_of(found)}
    known |= {feature.name for feature in data.schema.feature}
    for index, entry in enumerate(options.allow):
        if entry.feature not in known:
            meant = nearest(entry.feature, sorted(known)) or f"; they have {', '.join(sorted(known))}"
            raise AllowanceError(
                f"data.validation.allow[{index}].feature: {entry.feature!r} is not a feature of the data{meant}"
            )


def _all(data: Data, options: Validation) -> Iterator[Finding]:
    yield from labels.find(data)
    yield from labels.find_leaks(data)
    for name, feature in tfdv_statistics.features_of(data.statistics[TRAIN]).items():
        yield from _useless(name, feature, options, name in data.labels.features)
    schema = tfdv_statistics.constrained(data.schema, data.statistics, options)
    anomalies, distances = tfdv_statistics.validate(data.statistics, schema)
    for anomaly in (*anomalies, *data.anomalies):
        yield _measured(anomaly, data, options, distances)
    if options.max_skew is not None:
        yield from differences.find(data, options.max_skew)
    yield from differences.find_twins(data, options.max_duplicates)


def _useless(name: str, feature: Any, options: Validation, is_label: bool) -> Iterator[Finding]:
    """Findings from train's statistics about a single feature."""
    if tfdv_statistics.is_constant(feature):
        text = "it is the same in every example, so nothing can be learnt from it"
        yield Finding(TRAIN, name, "constant", text, option=allowance(name, "constant"))
    counts = tfdv_statistics.common(feature)
    total = int(counts.num_non_missing + counts.num_missing)
    if counts.num_non_missing < options.min_present * total:
        share = counts.num_non_missing / total
        text = (
            f"{int(counts.num_non_missing):,} of {total:,} examples have a value; the smallest share allowed is "
            f"{options.min_present:g} (min_present)"
        )
        fix = allowance(name, "missing")
        yield Finding(TRAIN, name, "missing", text, share, options.min_present, fix)
    if is_label or not feature.HasField("string_stats"):
        return
    unique = int(feature.string_stats.unique)
    if unique == counts.tot_num_values >= _ID_EXAMPLES and feature.string_stats.avg_length <= _ID_LENGTH:
        text = f"all {unique:,} values differ, as in an identifier"
        yield Finding(TRAIN, name, "id", text, unique, state="warning")


def _measured(
    anomaly: Anomaly, data: Data, options: Validation, distances: Mapping[str, tuple[float, float]]
) -> Finding:
    """TFDV's findings, with measure and limit if there are any."""
    split, name, kind, text = anomaly.split, anomaly.feature, anomaly.kind, anomaly.text
    if kind == "few":
        count = tfdv_statistics.examples_of(data.statistics[split])
        text = f"there are {count:,} examples; at least {options.min_examples:,} are needed (min_examples)"
        return Finding(split, "", kind, text, count, options.min_examples, f"min_examples: {count}")
    if not name:
        return Finding(split, "", kind, text)
    fix = allowance(name, kind)
    feature = tfdv_statistics.features_of(data.statistics[split]).get(name)
    if feature is None:
        return Finding(split, name, kind, text, option=fix)
    counts = tfdv_statistics.common(feature)
    if kind == "shape" and counts.num_missing and _as_long_as_in_train(name, counts, data):
        # TFDV reports it again, as a wrong shape.
        kind, fix = "missing", allowance(name, "missing")
    if kind in ("nan", "infinite"):
        count = tfdv_statistics.non_finite(feature)[kind == "infinite"]
        what = "not numbers (NaN)" if kind == "nan" else "infinite"
        text = f"{count:,} of {int(counts.tot_num_values):,} values are {what}"
        return Finding(split, name, kind, text, count, 0, fix)
    if kind == "unseen":
        return _unseen(Finding(split, name, kind, text, option=fix), feature, data, options)
    if kind == "skew" and name in distances:
        distance, limit = distances[name]
        text = f"the share of a category differs from train by {distance:.3g}; the limit is {limit:.3g}"
        return Finding(split, name, kind, text, distance, limit, fix)
    if kind == "missing" and counts.num_missing:
        total = int(counts.num_missing + counts.num_non_missing)
        text = f"{int(counts.num_missing):,} of {total:,} examples have no value, and all of train have one"
        return Finding(split, name, kind, text, counts.num_non_missing / total, 1, fix)
    return Finding(split, name, kind, text, option=fix)


def _as_long_as_in_train(name: str, counts: Any, data: Data) -> bool:
    feature = tfdv_statistics.features_of(data.statistics[TRAIN]).get(name)
    known = tfdv_statistics.common(feature) if feature is not None else None
    lengths = {counts.min_num_values, counts.max_num_values}
    return known is not None and lengths == {known.min_num_values, known.max_num_values}


def _unseen(finding: Finding, feature: Any, data: Data, options: Validation) -> Finding:
    """Categories that the schema, and so train, does not have; a label may have none of them."""
    name = finding.feature
    known = tfdv_statistics.domain(data.schema, name)
    share, values = tfdv_statistics.unseen(feature, known) if known else (None, [])
    if share is None:
        return finding
    limit = 0.0 if name in data.labels.features else options.max_unseen
    text = f"{share:.2%} of the values are not in train: {listed(values)}; the limit is {limit:g}" + (
        "" if name in data.labels.features else " (max_unseen)"
    )
    state: State = "tolerated" if share <= limit else "refused"
    return replace(finding, text=text, measured=share, limit=limit, state=state)
