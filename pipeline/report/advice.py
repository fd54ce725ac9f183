"""What to try when a run did not push: computed from what was measured."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from components.evaluator.params import AccuracyGate
from pipeline.plan.node import EXAMPLE_GENS
from pipeline.report.data import Candidate, ReportData
from pipeline.report.pareto import allowed

# Below this the ratio of latencies is a matter of its interval, and not of the model.
_FINE_TUNE = 1e-3


@dataclass(frozen=True)
class Miss:
    """A limit that a candidate does not meet.

    Attributes:
        figure: As the verdict names it, e.g. `accuracy[label=3]`.
        bound: `min`, `max`, `max_drop`, `max_ratio`, or `type`.
        limit: None for a type.
        value: None where it was not measured.
        reason: The verdict's.
        key: Where the config has the limit, e.g. `gate.size.max_ratio`; empty where it is no limit of the
            gate but what a step was asked for.
    """

    figure: str
    bound: str
    limit: float | None
    value: float | None
    reason: str
    key: str

    @property
    def by(self) -> float | None:
        """How far off the value is, in its own unit."""
        return abs(self.value - self.limit) if self.value is not None and self.limit is not None else None

    @property
    def share(self) -> float:
        """How far off it is in relation to the limit; infinite where that cannot be told."""
        if self.by is None:
            return math.inf
        return self.by / abs(self.limit) if self.limit else math.inf

    @property
    def loosened(self) -> float | None:
        """A round limit that the value would meet."""
        if self.value is None or self.limit is None or not self.key:
            return None
        return loosen(self.limit, self.value, self.bound)


@dataclass(frozen=True)
class Advice:
    """How near a candidate came, and what to change.

    Attributes:
        name: Of the candidate.
        misses: The worst one first.
        failures: What could not be done at all.
        sentences: What to try, in words; the nearest thing first.
    """

    name: str
    misses: tuple[Miss, ...]
    failures: tuple[str, ...]
    sentences: tuple[str, ...]

    @property
    def distance(self) -> float:
        """The worst miss in relation to its limit; infinite where something could not be measured."""
        return math.inf if self.failures else max((miss.share for miss in self.misses), default=math.inf)


def loosen(limit: float, value: float, bound: str) -> float:
    """The nearest round limit that a value meets.

    Rounded to a tenth or less of what was missed, so that the new limit is hardly wider than needed.

    Args:
        limit: The limit that is not met.
        value: What was measured.
        bound: `min`, or one that is an upper bound.
    """
    miss = abs(value - limit)
    if miss == 0:
        return limit
    exponent = math.floor(math.log10(miss))
    if miss / 10**exponent < 2:
        exponent -= 1
    # In whole steps, as 0.1 has no exact binary value and 0.3 / 0.1 is less than 3.
    steps = round(value / 10.0**exponent, 6)
    whole = math.floor(steps) if bound == "min" else math.ceil(steps)
    return round(whole * 10.0**exponent, max(0, -exponent))


def misses(candidate: Candidate, gate: dict[str, Any]) -> tuple[Miss, ...]:
    """The limits that a candidate does not meet, the worst one first."""
    found = [
        Miss(
            j["figure"],
            j["bound"],
            j["limit"],
            j["value"],
            j["reason"],
            _key(j["figure"], j["bound"], gate),
        )
        for j in candidate.verdict["judgements"]
        if not j["met"]
    ]
    return tuple(sorted(found, key=lambda miss: -miss.share))


def _key(figure: str, bound: str, gate: dict[str, Any]) -> str:
    """Where the config has the limit on a figure."""
    section = gate.get("accuracy", {})
    if isinstance(section, list):
        for index, one in enumerate(section):
            name = f"accuracy/{AccuracyGate.model_validate(one).title()}"
            if figure == name or figure.startswith(f"{name}["):
                key = _key(f"accuracy{figure.removeprefix(name)}", bound, {"accuracy": one})
                return key.replace("gate.accuracy", f"gate.accuracy.{index}", 1)
    if figure == "accuracy":
        return f"gate.accuracy.{bound}"
    if figure in ("size", "gzip size"):
        return f"gate.size.{bound}"
    if figure.endswith(" latency"):
        return f"gate.latency.{bound}"
    if figure.startswith("accuracy["):
        features = sorted(re.findall(r"(?:^|[\[,×] ?)([^=,\[\]×]+)=", figure))
        slices = gate.get("accuracy", {}).get("slices") or []
        for index, limits in enumerate(slices):
            by = [limits["by"]] if isinstance(limits["by"], str) else list(limits["by"])
            if sorted(by) == features:
                return f"gate.accuracy.slices.{index}.{bound}"
        return f"gate.accuracy.slices.0.{bound}" if len(slices) == 1 else ""
    return ""


def advise(data: ReportData) -> tuple[Advice, ...]:
    """What to try for every candidate that did not pass; the one that came nearest first."""
    found = [_advise(c, data) for c in data.candidates if not c.passed]
    return tuple(sorted(found, key=lambda advice: (advice.distance, len(advice.misses), advice.name)))


def _advise(candidate: Candidate, data: ReportData) -> Advice:
    missed = misses(candidate, data.gate)
    said = {miss.reason for miss in missed}
    failures = tuple(r for r in candidate.verdict["reasons"] if r not in said)
    sentences: list[str] = []
    if failures:
        sentences += [_mend(text) for text in failures]
    said_changes: set[str] = set()
    for miss in _worst_of_each(missed):
        sentence, change = _sentence(candidate, miss, data)
        sentences.append(sentence if not change or change in said_changes else f"{sentence}, or {change}")
        said_changes.add(change)
    return Advice(candidate.name, missed, failures, tuple(dict.fromkeys(sentences)))


def _worst_of_each(missed: tuple[Miss, ...]) -> list[Miss]:
    """One miss of each limit: of twenty slices, the worst one."""
    worst: dict[str, Miss] = {}
    for miss in missed:
        worst.setdefault(miss.key or miss.figure.partition("[")[0], miss)
    return list(worst.values())


def _sentence(candidate: Candidate, miss: Miss, data: ReportData) -> tuple[str, str]:
    """Which limit would have to be loosened, and what to change in the chain instead."""
    if miss.figure.startswith("served "):  # components.evaluator.served_skew
        return f"{miss.reason or miss.figure + ' is not met'}: {_served(miss)}", ""
    if not miss.key:
        return f"{miss.reason or miss.figure + ' is not met'}: {_unkept(candidate, miss)}", ""
    if miss.value is None:
        return f"{miss.reason}; a figure that is not measured never passes", ""
    where = miss.key.removeprefix("gate.")
    which = re.search(r"\[(.*)\]", miss.figure)
    there = f" at {which.group(1)}" if which else ""
    verb = "lower" if miss.bound == "min" else "raise"
    text = (
        f"{candidate.name} missed {where} {number(miss.limit)} by {number(miss.by)}{there}: "
        f"{verb} it to {number(miss.loosened)}"
    )
    return text, _change(candidate, miss, data)


def number(value: float | None) -> str:
    """A figure of the config as short as it can be told apart."""
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _change(candidate: Candidate, miss: Miss, data: ReportData) -> str:
    """What to change in the chain for a figure."""
    steps = {step["technique"]: step for step in candidate.measured.get("steps", [])}
    if miss.key.startswith("gate.size"):
        return _smaller(candidate, steps, data)
    if miss.key.startswith("gate.latency"):
        return _faster(candidate, steps, miss)
    return _better(steps)


def _smaller(candidate: Candidate, steps: dict[str, dict[str, Any]], data: ReportData) -> str:
    quantization = steps.get("convert", {}).get("quantization")
    if quantization in ("float32", "float16"):
        return f"convert with quantization int8 in place of {quantization}"
    if data.gate.get("size", {}).get("of", "file") == "gzip":
        if "prune" not in steps:
            return f"add prune before{_evidence(candidate, data, 'prune')}"
        if "cluster" not in steps:
            return f"add cluster after prune{_evidence(candidate, data, 'cluster')}"
        return "ask for more sparsity, fewer clusters, or distill a smaller student first"
    if "distill" in steps:
        return "distill a smaller student"
    text = "distill a smaller student, as zeros and shared values only make the compressed file smaller"
    ratio = candidate.size_ratio("gzip")
    if ratio is None:
        return text
    return f"{text}; or judge size: {{of: gzip}}, which is {ratio:.3f} × the baseline's now"


def _evidence(candidate: Candidate, data: ReportData, technique: str) -> str:
    """What the technique came to in this run, where another candidate shows it."""
    ratios = [
        (ratio, other.name)
        for other in data.candidates
        if other.name != candidate.name
        and technique in [step["technique"] for step in other.measured.get("steps", [])]
        and "distill" not in [step["technique"] for step in other.measured.get("steps", [])]
        and (ratio := other.size_ratio("gzip")) is not None
    ]
    return f" ({min(ratios)[1]} has {min(ratios)[0]:.3f} × in this run)" if ratios else ""


def _faster(candidate: Candidate, steps: dict[str, dict[str, Any]], miss: Miss) -> str:
    measured = candidate.measured.get("latency", {})
    ratio = measured.get("ratio")
    if miss.bound == "max_ratio" and ratio is not None and ratio <= miss.limit + _FINE_TUNE:
        return (
            f"raise latency.repetitions above {measured.get('repetitions')}: the ratio itself is {ratio:.3f}, "
            "and only the upper end of its interval is beyond the limit"
        )
    convert = steps.get("convert", {})
    if convert.get("sparse"):
        return "leave out sparse: true, as the runtime unpacks such weights"
    if convert.get("quantization") in ("float32", "float16", "int16x8"):
        return f"convert with quantization int8 or dynamic in place of {convert['quantization']}"
    return "distill a smaller student"


def _better(steps: dict[str, dict[str, Any]]) -> str:
    if "distill" in steps:
        return f"give the student more layers or units, or distill for more than {steps['distill']['epochs']} epochs"
    prune, cluster = steps.get("prune", {}), steps.get("cluster", {})
    if prune.get("sparsity"):
        return f"prune less than {prune['sparsity']:.0%}, or for more than {prune['epochs']} epochs"
    if cluster.get("clusters"):
        return f"use more than {cluster['clusters']} clusters"
    if steps.get("convert", {}).get("quantization") in ("int8", "dynamic") and "qat" not in steps:
        return "add qat before convert"
    for technique in ("qat", "fine_tune"):
        if technique in steps:
            return f"train `{technique}` for more than {steps[technique]['epochs']} epochs"
    return ""


def _served(miss: Miss) -> str:
    """What to look at where raw examples lead to other predictions than the gate has measured."""
    if miss.figure.endswith("SavedModel"):
        return (
            "the SavedModel that is pushed beside the file predicts otherwise than the file that was converted from "
            "it; look for operations of the model whose results differ from call to call"
        )
    return (
        "`preprocessing_fn` gives a raw example other features when it is served; what it makes of an example may "
        "depend neither on the others of its batch nor on chance"
    )


def _unkept(candidate: Candidate, miss: Miss) -> str:
    """What to look at where a file is not what its steps were asked for."""
    if miss.bound == "type":
        return "leave the option of `convert` out that asks for it, or the layer or operator that cannot have it"
    steps = [step["technique"] for step in candidate.measured.get("steps", [])]
    return f"a step of {' → '.join(steps)} lost what an earlier one had achieved; leave the layer out with `exclude`"


def _mend(failure: str) -> str:
    if failure.startswith("loading the candidate failed"):
        return f"{failure}. Convert without sparse: true, or with another quantization: this file cannot be deployed"
    if failure.startswith("loading the baseline failed"):
        return f"{failure}. No candidate can pass without a baseline: `paredown inspect` the float32 file"
    return failure


def after_failure(data: ReportData) -> tuple[str, ...]:
    """What to try after a run that did not come to its end."""
    config = data.run.config_path or "CONFIG"
    finished = [step for step in data.steps if step.state in ("ran", "cached")]
    again = f"`paredown run {config}`"
    cached = f"the {len(finished)} nodes that have finished are taken from the cache"
    if data.run.status in ("interrupted", "unfinished"):
        return (f"Run {again} again: it goes on where this run ended; {cached}.",)
    if data.run.status == "running":
        return ("The run goes on; make the report again when it has ended.",)
    step = next((s for s in data.steps if s.node == data.run.failed_node), None)
    hints = {
        **dict.fromkeys(
            EXAMPLE_GENS.values(),
            f"`paredown validate {config}` checks the data files and names every mistake.",
        ),
        "AnomalyGate": "The eval split does not fit the training split: mend the data, or take other files.",
        "Transform": "`preprocessing_fn` of the model module failed on the data: mend it.",
        "Trainer": "`build_model` or the training of the baseline failed: try the module on a few examples.",
        "ModelImporter": f"`paredown validate {config}` and `paredown inspect` say whether the imported file is whole.",
        "Pusher": f"Nobody but this run should write to the folder that `push` names in {config}.",
    }
    kind = step.type if step else (data.run.failed_node or "")
    hint = hints.get(
        kind,
        f"`paredown explain {config}` says what each step would do to each layer, and refuses "
        "what cannot work, without training.",
    )
    return hint, f"When it is mended, run {again} again: {cached}."


def gate_range(data: ReportData, figure: str) -> tuple[float | None, float | None]:
    """The range of a figure that the gate allows, by the baseline that this run measured.

    Args:
        data: Of the run.
        figure: `accuracy`; `file` or `gzip`, in bytes; `latency`, in relation to the baseline's.
    """
    if figure == "accuracy":
        limits, ascending = data.first_gate, data.ascending
        return allowed(limits, data.baseline("accuracy"), ascending)
    if figure == "latency":
        low, high = allowed(data.gate.get("latency", {}), data.baseline("latency"), ascending=False)
        time = data.baseline("latency")
        return (low / time if low and time else None), (high / time if high and time else None)
    limits = data.gate.get("size", {})
    if limits.get("of", "file") != figure:
        return None, None
    return allowed(limits, data.baseline(figure), ascending=False)
