"""Advice if a run did not push, computed from its measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass

from components.common.base.limit_bounds import LOWER_BOUNDS
from components.common.base.quantities import exact_bytes_text, number_text
from components.common.steps.technique import Chain, Goal
from components.evaluator.judgement import (
    IN_BYTES,
    RATIOS,
    Failure,
    FailureKind,
    Judgement,
    Kind,
)
from components.evaluator.params import JudgedGate
from components.measurer.served_load import PROTOCOLS
from components.registry import TECHNIQUES, invariants
from pipeline.plan.node import EXAMPLE_GENS
from pipeline.report.data import Candidate, Figure, ReportData
from pipeline.report.pareto import allowed
from pipeline.store.records import FailureCause
from pipeline.store.state import State

# Closer than this, a ratio of latencies misses its limit by its interval, and not by the model.
_FINE_TUNE = 1e-3
# If a limit is missed by more than this many times itself, loosening it is not a sensible advice.
_FAR = 2
_OF_GATE = (
    *(Kind.ACCURACY, Kind.LATENCY, Kind.SIZE, Kind.GZIP_SIZE),
    *(Kind.MEMORY, Kind.FLASH, Kind.SAME_PREDICTION),
    *(Kind.NPU_CYCLES, Kind.NPU_SRAM, Kind.NPU_FLASH, Kind.NPU_CPU_OPERATORS),
    *(Kind.TRAFFIC, Kind.EPSILON, Kind.WORST_CLIENT),
)
_LESS_MEMORY = (
    "convert with quantization: int8 and io: int8, or add prune_channels or distill to shrink activations"
)
_NPU_ADVICE = {
    Kind.NPU_CYCLES: "add prune or cluster, whose weights Vela compresses, or prune_channels; convert with io: int8",
    Kind.NPU_FLASH: "add prune or cluster, whose weights Vela compresses, or prune_channels",
    Kind.NPU_SRAM: "add prune_channels or distill to shrink activations",
    Kind.NPU_CPU_OPERATORS: "convert with io: int8, or build the model of layers that the NPU runs",
}
# Of the baseline's training, which no step of a candidate changes.
_FEDERATED_ADVICE = {
    Kind.TRAFFIC: "train in fewer rounds, with fewer clients_per_round, or with updates: {compress: int8}",
    Kind.EPSILON: "raise privacy.noise, train in fewer rounds, or with fewer clients_per_round of more clients",
    Kind.WORST_CLIENT: "train in more rounds, or with strategy: fedprox, which holds clients near to each other",
}
_MORE_ALIKE = (
    "compare on more eval examples, or convert to another quantization, whose kernels round differently"
)


@dataclass(frozen=True)
class Advice:
    """The distance of a candidate from the limits, and what to change.

    Attributes:
        name: Name of the candidate.
        misses: The limits that it does not meet, the worst one first.
        failures: What could not be measured or loaded.
        sentences: What to try; the nearest thing first.
    """

    name: str
    misses: tuple[Judgement, ...]
    failures: tuple[Failure, ...]
    sentences: tuple[str, ...]

    @property
    def distance(self) -> float:
        """The worst miss in relation to its limit; infinite if something could not be measured."""
        return math.inf if self.failures else max((share(miss) for miss in self.misses), default=math.inf)


def off_by(miss: Judgement) -> float | None:
    """How far off the value is, in its own unit; None if it was not measured."""
    return abs(miss.value - miss.limit) if miss.value is not None and miss.limit is not None else None


def share(miss: Judgement) -> float:
    """How far off the value is in relation to the limit; infinite if that is not known."""
    by = off_by(miss)
    return math.inf if by is None or not miss.limit else by / abs(miss.limit)


def loosen(limit: float, value: float, bound: str) -> float:
    """The nearest round limit that a value meets.

    Rounded to a tenth or less of what was missed, so that the new limit is hardly wider than needed.

    Args:
        limit: The limit that is not met.
        value: What was measured.
        bound: which one; of `LOWER_BOUNDS` or an upper bound.
    """
    miss = abs(value - limit)
    if miss == 0:
        return limit
    exponent = math.floor(math.log10(miss))
    if miss / 10**exponent < 2:
        exponent -= 1
    # In whole steps, as 0.1 has no exact binary value and 0.3 / 0.1 is less than 3.
    steps = round(value / 10.0**exponent, 6)
    whole = math.floor(steps) if bound in LOWER_BOUNDS else math.ceil(steps)
    return round(whole * 10.0**exponent, max(0, -exponent))


def advise(data: ReportData) -> tuple[Advice, ...]:
    """Advice for every candidate that did not pass, the nearest one first."""
    found = [_advise(c, data) for c in data.candidates if not c.passed]
    return tuple(sorted(found, key=lambda advice: (advice.distance, len(advice.misses), advice.name)))


def _advise(candidate: Candidate, data: ReportData) -> Advice:
    misses = tuple(sorted(candidate.verdict.missed, key=lambda miss: -share(miss)))
    sentences = [_after(failure) for failure in candidate.verdict.failures]
    said: set[str] = set()
    for miss in _worst_of_each(misses):
        sentence, change = _sentence(candidate, miss, data)
        sentences.append(sentence if not change or change in said else f"{sentence}, or {change}")
        said.add(change)
    return Advice(candidate.name, misses, candidate.verdict.failures, tuple(dict.fromkeys(sentences)))


def _worst_of_each(misses: tuple[Judgement, ...]) -> list[Judgement]:
    """One miss of each limit: of twenty slices, the worst one."""
    worst: dict[tuple[str | None, ...], Judgement] = {}
    for miss in misses:
        # What is not a limit of the gate has no key; each kind of it is one limit.
        worst.setdefault((miss.key,) if miss.key else (miss.kind.value, miss.aspect), miss)
    return list(worst.values())


def _sentence(candidate: Candidate, miss: Judgement, data: ReportData) -> tuple[str, str]:
    """The limit that would have to be loosened, and what to change in the chain instead."""
    if miss.kind not in _OF_GATE:
        change = _served(miss) if miss.kind is Kind.SERVED else _unkept(candidate, miss)
        return f"{miss.reason or miss.figure + ' is not met'}: {change}", ""
    by = off_by(miss)
    if by is None or miss.limit is None or miss.value is None:
        return f"{miss.reason}; a figure that is not measured never passes", ""
    where = miss.key.removeprefix("gate.")
    there = f" at {miss.slice_text}" if miss.slice else ""

    def text_of(value: float) -> str:
        return _as_written(miss, value)

    missed = f"{candidate.name} missed {where} {text_of(miss.limit)} by {text_of(by)}{there}"
    change = _change(candidate, miss, data)
    if miss.limit and by > _FAR * abs(miss.limit):
        change = change or "leave this candidate out"
        return f"{missed}, which is too far for a looser limit: {change}", ""
    verb = "lower" if miss.bound in LOWER_BOUNDS else "raise"
    text = f"{missed}: {verb} it to {text_of(loosen(miss.limit, miss.value, miss.bound))}"
    if miss.confidence is not None:
        text += ", or add eval examples: the limit applies to the unfavourable end of an interval"
    return text, change


def _as_written(miss: Judgement, value: float) -> str:
    """A figure as a config has it: sizes with their unit, all else as a number."""
    in_bytes = miss.kind in IN_BYTES and miss.bound not in RATIOS
    return exact_bytes_text(value).replace(",", "") if in_bytes else number_text(value)


def _change(candidate: Candidate, miss: Judgement, data: ReportData) -> str:
    """Techniques' advice for a figure of the chain."""
    if miss.kind is Kind.LATENCY:
        return _more_repetitions(candidate, miss) or _offered(candidate, "latency", data)
    if miss.kind in (Kind.THROUGHPUT, Kind.P99):
        return _offered(candidate, "latency", data)
    if miss.kind is Kind.GZIP_SIZE:
        return _offered(candidate, "gzip_size", data)
    if miss.kind is Kind.ACCURACY:
        return _offered(candidate, "accuracy", data)
    if miss.kind is Kind.MEMORY:
        return _LESS_MEMORY
    if miss.kind is Kind.SAME_PREDICTION:
        return _MORE_ALIKE
    if miss.kind in _NPU_ADVICE:
        return _NPU_ADVICE[miss.kind]
    if miss.kind in _FEDERATED_ADVICE:
        return _FEDERATED_ADVICE[miss.kind]
    if miss.kind is Kind.FLASH:
        return _offered(candidate, "size", data)
    text, ratio = _offered(candidate, "size", data), candidate.size_ratio("gzip")
    if ratio is None:
        return text
    return f"{text}; or judge size: {{of: gzip}}, which is {ratio:.3f} × the baseline's now"


def _offered(candidate: Candidate, goal: Goal, data: ReportData) -> str:
    """Advice of the techniques of lowest rank for a goal."""
    steps = candidate.measured.by_technique
    quantization = next((step["quantization"] for step in steps.values() if "quantization" in step), "")
    aware = any(TECHNIQUES[name].options.quantization_aware for name in steps if name in TECHNIQUES)
    found: dict[int, list[str]] = {}
    for technique in TECHNIQUES.values():
        chain = Chain(steps.get(technique.name), quantization, aware)
        for advice in technique.advice:
            text = advice.text(chain) if advice.goal == goal else ""
            if text:
                shown = _evidence(candidate, data, technique.name) if advice.shown else ""
                found.setdefault(advice.rank, []).append(text + shown)
    return " or ".join(found[min(found)]) if found else ""


def _evidence(candidate: Candidate, data: ReportData, technique: str) -> str:
    """The figure that another candidate of this run reached with the technique, if one of the same model has it."""
    other_models = {name for name, known in TECHNIQUES.items() if known.builds_new_model}
    ratios = [
        (ratio, other.name)
        for other in data.candidates
        if other.name != candidate.name
        and technique in other.measured.by_technique
        and other_models.isdisjoint(other.measured.by_technique)
        and (ratio := other.size_ratio("gzip")) is not None
    ]
    return f" ({min(ratios)[1]} has {min(ratios)[0]:.3f} × in this run)" if ratios else ""


def _more_repetitions(candidate: Candidate, miss: Judgement) -> str:
    """Advice if only the interval of the ratio is beyond the limit."""
    measured = candidate.measured.latency
    if not measured or miss.bound != "max_ratio" or measured.ratio > (miss.limit or 0) + _FINE_TUNE:
        return ""
    return (
        f"raise latency.repetitions above {measured.repetitions}: the ratio itself is {measured.ratio:.3f}, "
        "and only the upper end of its interval is beyond the limit"
    )


def _served(miss: Judgement) -> str:
    """Advice if what is served are other predictions than the gate has measured."""
    if miss.aspect in PROTOCOLS:
        return (
            "the model server's predictions are not the interpreter's; look for operators whose results differ from "
            "call to call, or that keep values from one inference to the next"
        )
    if miss.aspect == "model":
        return (
            "the SavedModel that is pushed beside the file predicts differently from the file that was converted "
            "from it; look for operations of the model whose results differ from call to call"
        )
    return (
        "`preprocessing_fn` computes different features for a raw example when it is served; its result for an "
        "example must not depend on the other examples of the batch or on chance"
    )


def _unkept(candidate: Candidate, miss: Judgement) -> str:
    """Advice if a file does not have the requested types or invariants."""
    if miss.kind is Kind.TYPE:
        return (
            "remove the option of `convert` that asks for it, or the layer or operator that cannot have it"
        )
    steps = " → ".join(step["technique"] for step in candidate.measured.steps)
    kind = next((kind for kind in invariants() if kind.figure == miss.aspect), None)
    fix = kind.fix if kind else "leave the layer out"
    return f"a step of {steps} undid the effect of an earlier one; {fix}"


def _after(failure: Failure) -> str:
    """Advice about a failure."""
    if failure.kind is FailureKind.CANDIDATE_NOT_LOADED:
        hint = "Convert without sparse: true, or with another quantization: this file cannot be deployed"
    elif failure.kind is FailureKind.BASELINE_NOT_LOADED:
        hint = "No candidate can pass without a baseline: `paredown inspect` the float32 file"
    elif failure.kind is FailureKind.BASELINE_AT_CHANCE:
        hint = (
            "Train the baseline longer, check that labels and the order of classes (data.classes) fit the model, or "
            "write allow_weak_baseline: true under gate.accuracy"
        )
    elif failure.kind is FailureKind.NODE_FAILED:
        hint = "Fix it and run again: the other nodes are cached. `paredown explain` reports what a step cannot do"
    else:
        return failure.reason
    return f"{failure.reason}. {hint}"


def after_failure(data: ReportData) -> tuple[str, ...]:
    """Advice after a run that did not finish."""
    config = data.run.config_path or "CONFIG"
    finished = [step for step in data.steps if step.state in (State.RAN, State.CACHED)]
    again = f"`paredown run {config}`"
    cached = f"the {len(finished)} finished nodes are cached"
    if data.run.status in (State.INTERRUPTED, State.UNFINISHED):
        return (f"Run {again} again to continue where this run ended: {cached}.",)
    if data.run.status == State.RUNNING:
        return ("The run is still in progress; write the report again when it has ended.",)
    step = next((s for s in data.steps if s.node == data.run.failed_node), None)
    hints = {
        **dict.fromkeys(
            EXAMPLE_GENS.values(),
            f"`paredown validate {config}` checks the data files and lists every mistake.",
        ),
        "AnomalyGate": "The eval split does not fit the training split: fix the data, or use other files.",
        "Transform": "`preprocessing_fn` of the model module failed on the data: fix it.",
        "Trainer": "`build_model` or the training of the baseline failed: try the model module on a few examples.",
        "ModelImporter": f"`paredown validate {config}` and `paredown inspect` say whether the imported file is "
        f"whole.",
        "Pusher": f"Nothing but this run should write to the folder that `push` names in {config}.",
    }
    of_causes = {
        FailureCause.CHANGED_FILE: "The file that the reason names has changed since it was recorded; its node will "
        "make it again. If that happens again, look for a program that writes there, and for a failing disk.",
        FailureCause.REFUSED_WRITE: "No step is at fault: the reason names the file or folder that could not be "
        f"written. `paredown gc {config}` removes files that no run needs.",
    }
    if data.run.cause is not None:
        return of_causes[data.run.cause], f"Then run {again} again: {cached}."
    kind = step.type if step else (data.run.failed_node or "")
    hint = hints.get(
        kind,
        f"`paredown explain {config}` shows what each step would do to each layer, and reports what cannot work, "
        "without training.",
    )
    return hint, f"Fix the problem and run {again} again: {cached}."


def gate_range(data: ReportData, figure: Figure) -> tuple[float | None, float | None]:
    """The range of a figure that the gate allows, by the baseline that this run measured.

    Args:
        data: Data of the run.
        figure: Sizes and memory are in bytes; `latency` and `p99` are in relation to the baseline's;
            `npu_cycles` are limited by the target.
    """
    gate, baseline = data.gate, data.baseline(figure)
    if gate is None:
        return None, None
    if figure == "accuracy":
        return allowed(gate.accuracies()[0], baseline, data.ascending)
    if figure == "latency":
        low, high = allowed(gate.latency, baseline, ascending=False)
        return (low / baseline if low and baseline else None), (
            high / baseline if high and baseline else None
        )
    if figure == "p99":
        return gate.p99.min_ratio, gate.p99.max_ratio  # of milliseconds there is one in each mode
    if figure == "npu_cycles":
        npu = gate.npu if isinstance(gate, JudgedGate) else None
        return None, npu.max_cycles if npu else None
    limited = [limits for _, of, limits in gate.sizes() if of == figure]
    limited += [limits for _, of, limits in gate.device() if of == figure]
    return allowed(limited[0], baseline, ascending=False) if limited else (None, None)
