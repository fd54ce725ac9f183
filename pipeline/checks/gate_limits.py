"""The limits of a gate: each one that no candidate could miss, or none could meet, is a mistake.

Imports neither TensorFlow nor TFX.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

from components.common.base.limit_bounds import BOUNDS
from components.common.base.metric_facts import BEST_BY_CONSTANT, METRICS, MetricFacts
from components.common.base.quantities import number_text
from components.evaluator.limits import Limits
from components.evaluator.params import AccuracyGate, Gate
from pipeline.config.problem import Location, Problem

# Bytes and milliseconds.
_COST = MetricFacts(False, high=math.inf)
# Requests a second.
_RATE = MetricFacts(True, high=math.inf)


def check(gate: Gate, figures: list[tuple[Location, AccuracyGate]]) -> Iterator[Problem]:
    """Limits of a gate that judge nothing.

    Args:
        gate: The gate.
        figures: Its metrics, each with its place in the config.
    """
    found = [problem for at, figure in figures for problem in _of_metric(at, figure)]
    yield from found or _one_sided(figures)
    yield from _check(("gate", "latency"), gate.latency, "a latency", _COST)
    yield from _check(("gate", "size"), gate.size, "a size", _COST)
    yield from _check(("gate", "gzip_size"), gate.gzip_size, "a size", _COST)
    yield from _check(("gate", "brotli_size"), gate.brotli_size, "a size", _COST)
    yield from _check(("gate", "memory"), gate.memory, "memory", _COST)
    yield from _check(("gate", "flash"), gate.flash, "flash", _COST)
    yield from _check(("gate", "p99"), gate.p99, "a time", _COST)
    yield from _check(("gate", "throughput"), gate.throughput, "a throughput", _RATE)


def _of_metric(at: Location, figure: AccuracyGate) -> Iterator[Problem]:
    facts = _facts_of(figure)
    yield from _direction(at, figure)
    yield from _check(at, figure, figure.name(), facts)
    for index, limits in enumerate(figure.slices):
        yield from _check((*at, "slices", index), limits, figure.name(), facts)


def _one_sided(figures: list[tuple[Location, AccuracyGate]]) -> Iterator[Problem]:
    """Refuses limits all of which a model meets that predicts one class for every example."""
    for output in dict.fromkeys(figure.output for _, figure in figures):
        limited = [
            (at, figure)
            for at, figure in figures
            if figure.output == output and (figure.bounds() or any(one.bounds() for one in figure.slices))
        ]
        classes = {
            None if "top_k" in figure.config else BEST_BY_CONSTANT.get(figure.metric)
            for _, figure in limited
        }
        if not limited or None in classes or len(classes) > 1:
            continue
        at, figure = limited[0]
        positive = classes == {True}
        others = "Specificity, Precision" if positive else "Recall, NPV"
        several = len(limited) > 1
        yield Problem(
            f"a model that always predicts the {'positive' if positive else 'negative'} class has the best "
            f"{figure.name()} possible, and so meets {'these limits' if several else 'any limit on it'}; add a limit "
            f"on {others}, AUC or BinaryAccuracy",
            (*at, "metric"),
        )


def _facts_of(figure: AccuracyGate) -> MetricFacts | None:
    facts = METRICS.get(figure.metric)
    if facts is None:
        return None
    if (
        str(figure.config.get("curve", "")).upper() == "PR"
    ):  # a constant's area is then the share of positives
        facts = replace(facts, constant=None)
    if facts.higher_is_better is None:
        return replace(facts, higher_is_better=figure.higher_is_better)
    return facts


def _direction(at: Location, figure: AccuracyGate) -> Iterator[Problem]:
    known = METRICS[figure.metric].higher_is_better if figure.metric in METRICS else None
    if None not in (known, figure.higher_is_better) and known != figure.higher_is_better:
        better = "higher" if known else "lower"
        yield Problem(
            f"a {better} {figure.metric} is better; remove higher_is_better", (*at, "higher_is_better")
        )


def _check(at: Location, limits: Limits, name: str, facts: MetricFacts | None) -> Iterator[Problem]:
    wrong = False
    for bound in BOUNDS:
        limit = getattr(limits, bound)
        if limit is None:
            if bound in limits.model_fields_set:
                yield Problem(
                    "has no value, so it judges nothing; write one, or remove the key", (*at, bound)
                )
            continue
        fault = None if facts is None else _fault(bound, limit, name, facts)
        if fault:
            wrong = True
            yield Problem(fault, (*at, bound))
    if facts is None or wrong:
        return
    yield from _only_backwards(at, limits, name, facts)


def _fault(bound: str, limit: float, name: str, facts: MetricFacts) -> str | None:
    """Why a limit judges nothing; None if some candidate can meet it and another can miss it."""
    within, shown = f"{name} is {_range(facts)}", number_text(limit, 6)
    bare = name.removeprefix("a ")
    if bound == "min":
        if limit > facts.high:
            return f"{within}, so no candidate could meet min: {shown}; write a value in that range"
        if limit <= facts.low:
            return (
                f"{within}, so every candidate would meet min: {shown}; write a higher value, or remove it"
            )
    if bound == "max":
        if limit < facts.low or (facts is _COST and limit <= 0):
            return f"{within}, so no candidate could meet max: {shown}; write a value in that range"
        if limit >= facts.high:
            return (
                f"{within}, so every candidate would meet max: {shown}; write a lower value, or remove it"
            )
    if bound == "max_drop":
        if limit < 0:
            return f"is {shown}, and a drop is not negative; write 0 or more, or a min or max"
        if limit >= facts.high - facts.low:
            return f"{within}, so every candidate would meet max_drop: {shown}; write a lower value"
    if bound == "max_ratio" and facts.higher_is_better:
        return f"a higher {bare} is better, so a worse candidate meets max_ratio more easily; write max_drop or min"
    if bound == "min_ratio" and facts.higher_is_better is False:
        return f"a lower {bare} is better, so a worse candidate meets min_ratio more easily; write max_ratio or max"
    return None


def _only_backwards(at: Location, limits: Limits, name: str, facts: MetricFacts) -> Iterator[Problem]:
    """Refuses limits that a candidate which has learnt nothing meets."""
    bounds = limits.bounds()
    if facts.higher_is_better is None or not bounds:
        return
    right, wrong = ("min", "max") if facts.higher_is_better else ("max", "min")
    if set(bounds) == {wrong}:
        yield Problem(
            f"only limits how good the candidate may be: a {'higher' if facts.higher_is_better else 'lower'} "
            f"{name.removeprefix('a ')} is better; write {right} or max_drop",
            (*at, wrong),
        )
    elif facts.constant is not None and "max_drop" not in bounds and right in bounds:
        limit = bounds["min" if right == "min" else "max"]
        shown = number_text(limit, 6)
        if limit <= facts.constant if facts.higher_is_better else limit >= facts.constant:
            yield Problem(
                f"a constant prediction has a {name} of {facts.constant:g}, and so meets {right}: {shown}; write "
                f"a {'higher' if facts.higher_is_better else 'lower'} value",
                (*at, right),
            )


def _range(facts: MetricFacts) -> str:
    if math.isinf(facts.high):
        return "any number" if math.isinf(facts.low) else f"{facts.low:g} or more"
    return (
        f"at most {facts.high:g}" if math.isinf(facts.low) else f"between {facts.low:g} and {facts.high:g}"
    )
