"""Verdicts of version 1, which had no version: their figures' names are the only place that says what they are on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from components.common.base.document import required
from components.evaluator.judgement import (
    Failure,
    FailureKind,
    Figure,
    Kind,
    accuracy_figure,
    latency_figure,
    size_figure,
)
from components.measurer.measured import Slice, SliceValue

_FAILED = {
    "loading the candidate failed": FailureKind.CANDIDATE_NOT_LOADED,
    "loading the baseline failed": FailureKind.BASELINE_NOT_LOADED,
    "no limit was judged": FailureKind.NOTHING_JUDGED,
}
_SERVED = {
    "served features": "features",
    "served prediction of the file": "file",
    "served prediction of the SavedModel": "model",
}
_INVARIANTS = ("sparsity", "m_by_n", "clusters")


def from_version_1(values: dict[str, Any]) -> dict[str, Any]:
    """A verdict of version 1 as one of version 2.

    Raises:
        ValueError: If a part is missing, or a figure has a name that version 1 did not give.
    """
    required(values, "blessed", "reasons", "judgements", "measured")
    measured = values["measured"]
    if not isinstance(measured, dict):
        raise ValueError("measured is not an object")
    measured = dict(measured)
    if "accuracy" in measured:
        measured["accuracy"] = _accuracy(measured["accuracy"])
    if "accuracies" in measured:
        measured["accuracies"] = [_accuracy(one) for one in measured["accuracies"]]
    metrics = measured.get("accuracies") or [measured.get("accuracy") or {}]
    judgements = [_judgement(one, metrics) for one in values["judgements"]]
    said = {one["reason"] for one in judgements if not one["met"]}
    failures = [_failure(reason) for reason in values["reasons"] if reason not in said]
    return {**values, "judgements": judgements, "measured": measured, "failures": failures}


def _accuracy(metric: dict[str, Any]) -> dict[str, Any]:
    slices = [
        {**one, "values": [asdict(v) for v in slice_values(one["slice"])]}
        for one in metric.get("slices", [])
    ]
    return {**metric, "slices": slices}


def slice_values(text: str) -> Slice:
    """The features of a slice as version 1 wrote it: `label=3`, `a=1,b=x, y`, or `a×b` if it is not there."""
    if "=" not in text:
        return tuple(SliceValue(feature, None) for feature in text.split("×"))
    pairs = (part.partition("=") for part in re.split(r",(?=[^=,]+=)", text))
    return tuple(SliceValue(feature, value) for feature, _, value in pairs)


def _failure(reason: str) -> dict[str, Any]:
    kinds = (kind for start, kind in _FAILED.items() if reason.startswith(start))
    return asdict(Failure(next(kinds, FailureKind.MEASUREMENT_FAILED), reason))


def _judgement(values: dict[str, Any], metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
    required(values, "figure", "bound", "met", "reason")
    figure, section = _figure(values["figure"], metrics)
    values = {"limit": None, "value": None, **values, **asdict(figure)}
    if section:
        values["key"] = f"{section}.{values['bound']}"
    if not values["met"]:
        if values["bound"] == "type":
            values["failure"] = FailureKind.WRONG_TYPE
        elif values["value"] is None:
            values["failure"] = FailureKind.NOT_MEASURED
        else:
            values["failure"] = FailureKind.BEYOND_LIMIT
    return values


def _figure(name: str, metrics: Sequence[dict[str, Any]]) -> tuple[Figure, str]:
    """The kind of a figure of version 1, and the config section of its limits as far as its name says."""
    head, bracket, inside = name.partition("[")
    inside = inside.removesuffix("]")
    if name in ("size", "gzip size"):
        return size_figure("file" if name == "size" else "gzip"), "gate.size"
    if match := re.fullmatch(r"p(\d+) latency", name):
        return latency_figure(int(match[1])), "gate.latency"
    if name in _SERVED:
        return Figure(name, Kind.SERVED, aspect=_SERVED[name]), ""
    if head in _INVARIANTS and bracket:
        return Figure(name, Kind.INVARIANT, aspect=head, layer=inside), ""
    if head == "weights" and bracket:
        return Figure(name, Kind.TYPE, aspect=head, layer=inside), ""
    if head in ("input", "output") and bracket:
        return Figure(name, Kind.TYPE, aspect=head, tensor=inside), ""
    if name in ("activations", "operators"):
        return Figure(name, Kind.TYPE, aspect=name), ""
    if name == "accuracy" or name.startswith("accuracy["):
        (metric,) = metrics[:1] or ({},)
        return _metric(metric, inside, several=False), _section("gate.accuracy", inside)
    for index, metric in enumerate(metrics):
        title = f"accuracy/{metric.get('figure')}"
        if name == title or name.startswith(f"{title}["):
            inside = name[len(title) + 1 : -1]
            return _metric(metric, inside, several=True), _section(f"gate.accuracy.{index}", inside)
    raise ValueError(f"{name!r} is not a figure of schema version 1")


def _metric(metric: dict[str, Any], inside: str, several: bool) -> Figure:
    output = metric.get("output")
    title = metric.get("figure") or metric.get("metric") or "accuracy"
    if output:
        title = title.removesuffix(f" of {output}")
    return accuracy_figure(title, output, slice_values(inside) if inside else (), several)


def _section(section: str, inside: str) -> str:
    # Which of several lists of slices has the limit cannot be read from version 1.
    return f"{section}.slices" if inside else section
