"""Judges one candidate against the baseline: accuracy, latency, size, invariants."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.common.base import json_file, progress
from components.common.base.blessing import bless
from components.common.base.interruption import Interrupted
from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.models import invariants, model_files
from components.common.models.model_files import Facts, StepRecord
from components.common.models.user_module import describe
from components.common.steps.step_executor import examples_of, set_properties
from components.common.tflite import file_types, tflite_file
from components.common.tflite.file_types import TypeCheck
from components.common.tflite.kernel import Kernel
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflite_file import TFLiteFile
from components.evaluator import accuracy, latency, served_skew, size
from components.evaluator.params import AccuracyGate, Gate, Limits
from components.evaluator.verdict import Judgement, Verdict, conclude, judge_figure

VERDICT_FILE = "verdict.json"
LATENCY_FILE = "latency.json"

Result = TypeVar("Result")


def root_cause(error: BaseException) -> str:
    """An exception in one line; of what Beam wraps, the inside."""
    while error.__cause__ is not None:
        error = error.__cause__
    return describe(error)


def evaluate(
    candidate: str,
    baseline: str,
    examples: Examples,
    gate: Gate,
    output: str,
    seed: int,
    beam_args: list[str],
    raw_examples: Examples | None = None,
) -> Verdict:
    """Measures and judges a candidate.

    Args:
        candidate: Folder of its `Model` artifact.
        baseline: Folder of the baseline's, converted to float32.
        examples: Whose `eval` split accuracy is measured on.
        gate: The limits.
        output: Folder for TFMA's files, verdict.json and latency.json, which has every repetition.
        seed: Of the bootstrap.
        beam_args: Beam pipeline options for TFMA.
        raw_examples: The same before Transform, where `examples` went through it.

    Returns:
        The verdict, also written to verdict.json. A measurement that fails is a reason against the
        candidate, never an exception.
    """
    evaluation = _Evaluation(candidate, baseline, examples, gate, output, seed, beam_args, raw_examples)
    verdict = evaluation.verdict()
    json_file.write(os.path.join(output, VERDICT_FILE), verdict.to_json())
    return verdict


class _Evaluation:
    """One candidate's way through the gate."""

    def __init__(
        self,
        candidate: str,
        baseline: str,
        examples: Examples,
        gate: Gate,
        output: str,
        seed: int,
        beam_args: list[str],
        raw_examples: Examples | None = None,
    ):
        self._files = {
            accuracy.CANDIDATE: model_files.tflite_file(candidate),
            accuracy.BASELINE: model_files.tflite_file(baseline),
        }
        self._candidate = candidate
        self._examples = examples
        self._raw_examples = raw_examples
        self._gate = gate
        self._output = output
        self._seed = seed
        self._beam_args = beam_args
        self._failures: list[str] = []
        self._judgements: list[Judgement] = []
        read = self._attempt("reading the candidate's record", lambda: StepRecord.read(candidate))
        self._record = read or StepRecord()
        self._measured: dict[str, Any] = {"steps": self._record.steps}

    def verdict(self) -> Verdict:
        """Measures everything that can be measured, then concludes."""
        for name, path in self._files.items():
            self._attempt(f"loading the {name}", lambda path=path: LiteRTModel(path))
        loads = not self._failures
        self._judge_size()
        self._judge_invariants()
        self._judge_latency(loads)
        self._judge_accuracy(loads)
        if self._examples.transform_uri:
            self._judge_served(loads)
        return conclude(self._judgements, self._measured, self._failures)

    def _attempt(self, what: str, measure: Callable[[], Result]) -> Result | None:
        """Runs a measurement; None and a reason where it fails."""
        try:
            return measure()
        except Interrupted:
            raise
        except Exception as error:  # whatever goes wrong has to end in a verdict, not in a crash
            logging.getLogger(__name__).exception("%s failed", what)
            self._failures.append(f"{what} failed: {root_cause(error)}")
            return None

    def _judge(
        self,
        figure: str,
        limits: Limits,
        candidate: float | None,
        baseline: float | None,
        ascending: bool = False,
        ratio: float | None = None,
        unit: str = "",
        shown: str = "",
    ) -> None:
        self._judgements += judge_figure(
            figure, limits.bounds(), candidate, baseline, ascending, ratio, unit, shown
        )

    def _judge_size(self) -> None:
        sizes = {
            name: self._attempt(f"sizing the {name}", lambda path=path: size.measure(path))
            for name, path in self._files.items()
        }
        values = {name: getattr(s, self._gate.size.of) if s else None for name, s in sizes.items()}
        if all(sizes.values()):
            self._measured["size"] = {name: asdict(s) for name, s in sizes.items()}
        self._judge(
            "size" if self._gate.size.of == "file" else "gzip size",
            self._gate.size,
            values[accuracy.CANDIDATE],
            values[accuracy.BASELINE],
            unit="B",
        )

    def _judge_invariants(self) -> None:
        """Holds the file against what each step was asked for, layer by layer, and against its types."""
        path = self._files[accuracy.CANDIDATE]
        file = self._attempt("reading the file", lambda: tflite_file.read(path))
        found: dict[str, list[Kernel]] = {}
        if file is not None:
            found = file.layer_kernels(self._record.layers)
            self._measured["file"] = invariants.file_facts(file)
        checks = invariants.check(found, self._record.layers)
        for check in checks:
            reason = "" if check.met else check.reason(" in the file")
            name = f"{check.figure}[{check.layer}]"
            self._judgements.append(
                Judgement(name, check.bound, check.wanted, check.got, check.met, reason)
            )
        for type_check in self._attempt("checking the file's types", lambda: self._types(file)) or []:
            self._judgements.append(
                Judgement(type_check.figure, "type", None, None, type_check.met, type_check.reason)
            )
        self._measured["invariants"] = invariants.headline(checks)

    def _types(self, file: TFLiteFile | None) -> list[TypeCheck]:
        if self._record.techniques()[-1:] != ["convert"]:
            raise ValueError("the candidate's record does not end with `convert`")
        if file is None:
            return []  # which has been said
        return file_types.check(file, self._record.steps[-1], self._record.float_layers)

    def _judge_latency(self, loads: bool) -> None:
        gate = self._gate.latency

        def measure() -> latency.Latency:
            progress.report("measuring latency")
            inputs = LiteRTModel(self._files[accuracy.BASELINE]).inputs
            examples = self._examples.load("eval", inputs)
            measured = latency.measure(
                self._files[accuracy.CANDIDATE],
                self._files[accuracy.BASELINE],
                {name: values[0] for name, values in examples.features.items()},
                gate.percentile,
                gate.threads,
                gate.repetitions,
                gate.warmup,
                self._seed,
            )
            json_file.write(os.path.join(self._output, LATENCY_FILE), measured.samples())
            return measured

        result = self._attempt("measuring latency", measure) if loads else None
        if result:
            self._measured["latency"] = result.figures()
        self._judge(
            f"p{gate.percentile} latency",
            gate,
            result.candidate[gate.percentile] if result else None,
            result.baseline[gate.percentile] if result else None,
            ratio=result.ratio_high if result else None,
            unit="ms",
        )

    def _judge_accuracy(self, loads: bool) -> None:
        measured = self._attempt("measuring accuracy", self._analyze) if loads else None
        figures = self._gate.figures()
        for figure, gate in figures.items():
            candidate, baseline = (measured or {}).get(figure, ({}, {}))
            found = self._judge_accuracy_of(figure, gate, candidate, baseline)
            # The first one is the candidate's accuracy wherever there is room for one alone.
            self._measured.setdefault("accuracy", found)
            if len(figures) > 1:
                self._measured.setdefault("accuracies", []).append(found)

    def _judge_accuracy_of(
        self,
        figure: str,
        gate: AccuracyGate,
        candidate: accuracy.Metrics,
        baseline: accuracy.Metrics,
    ) -> dict[str, Any]:
        """Judges a metric and its slices; returns what was measured."""
        found = {
            **({"figure": gate.title()} if figure != "accuracy" or gate.output else {}),
            **({"output": gate.output} if gate.output else {}),
            "metric": gate.metric,
            "higher_is_better": gate.ascending(),
            "candidate": candidate.get((), (None, 0))[0],
            "baseline": baseline.get((), (None, 0))[0],
            "examples": candidate.get((), (None, 0))[1],
            "slices": [
                {
                    "slice": accuracy.slice_name(key),
                    "candidate": value,
                    "baseline": baseline.get(key, (None, 0))[0],
                    "examples": count,
                }
                for key, (value, count) in sorted(candidate.items(), key=str)
                if key
            ],
        }
        self._judge_metric(figure, gate, gate, (), candidate, baseline)
        for limits in gate.slices:
            features = tuple(sorted(limits.features()))
            keys = [k for k in candidate if k and tuple(sorted(n for n, _ in k)) == features]
            missing = [] if keys else ["×".join(features)]
            if limits.values:
                there = {str(key[0][1]): key for key in keys}
                keys = [there[str(v)] for v in limits.values if str(v) in there]
                missing = [f"{features[0]}={v}" for v in limits.values if str(v) not in there]
            for which in missing:
                reason = f"{_shown(figure, gate)} by {which} was not measured: there is no such slice"
                for bound, limit in limits.bounds().items():
                    self._judgements.append(
                        Judgement(f"{figure}[{which}]", bound, limit, None, False, reason)
                    )
            for key in sorted(keys, key=str):
                name = f"{figure}[{accuracy.slice_name(key)}]"
                self._judge_metric(name, limits, gate, key, candidate, baseline)
        return found

    def _judge_metric(
        self,
        figure: str,
        limits: Limits,
        gate: AccuracyGate,
        key: accuracy.SliceKey,
        candidate: accuracy.Metrics,
        baseline: accuracy.Metrics,
    ) -> None:
        shown = _shown(figure, gate)
        value, reference = candidate.get(key, (None, 0))[0], baseline.get(key, (None, 0))[0]
        if value is not None and not math.isfinite(value):
            self._failures.append(f"{shown} is {value}: {gate.metric} is not defined for these predictions")
        self._judge(figure, limits, value, reference, ascending=gate.ascending(), shown=shown)

    def _judge_served(self, loads: bool) -> None:
        """Holds what is served, from raw features on, against what the gate has measured."""

        def measure() -> served_skew.Skew:
            progress.report("comparing with the served model")
            if self._raw_examples is None:
                raise ValueError("the examples went through Transform, and the raw ones were not given")
            return served_skew.measure(self._candidate, self._raw_examples, self._examples)

        skew = self._attempt("comparing with the served model", measure) if loads else None
        if skew is not None:
            self._measured["served"] = asdict(skew)
        self._judgements += served_skew.judge(skew)

    def _analyze(self) -> dict[str, tuple[accuracy.Metrics, accuracy.Metrics]]:
        """Figure → the candidate's metric and the baseline's."""
        progress.report("measuring accuracy")
        figures = self._gate.figures()
        accuracy.analyze(
            self._examples,
            self._files,
            accuracy.eval_config(list(figures.values()), self._examples.label),
            self._output,
            self._beam_args,
            self._raw_examples,
        )
        results = {
            name: (
                accuracy.read_metrics(self._output, accuracy.CANDIDATE, figure),
                accuracy.read_metrics(self._output, accuracy.BASELINE, figure),
            )
            for name, figure in figures.items()
        }
        for name, (candidate, _) in results.items():
            if candidate.get((), (None, 0))[0] is None:
                raise ValueError(f"TFMA gave no value for {figures[name].title()}")
        return results


def _shown(figure: str, gate: AccuracyGate) -> str:
    """A figure in words: by the metric where there are several, and where it is an error."""
    name, bracket, slice_ = figure.partition("[") if figure.startswith("accuracy[") else (figure, "", "")
    if name == "accuracy" and gate.ascending() and not gate.output:
        return figure
    if name != "accuracy":
        return figure.removeprefix("accuracy/")
    return f"{gate.title()}{bracket}{slice_}"


def headline(verdict: Verdict) -> Facts:
    """The figures of a verdict that ML Metadata keeps as custom properties."""
    facts: Facts = {"blessed": int(verdict.blessed), "reason": "; ".join(verdict.reasons)[:500]}
    measured = verdict.measured
    values = {
        "accuracy": measured.get("accuracy", {}).get("candidate"),
        "baseline_accuracy": measured.get("accuracy", {}).get("baseline"),
        "latency_ratio": measured.get("latency", {}).get("ratio"),
        "bytes": measured.get("size", {}).get("candidate", {}).get("file"),
        "gzip_bytes": measured.get("size", {}).get("candidate", {}).get("gzip"),
    }
    facts.update({name: value for name, value in values.items() if value is not None})
    for found in measured.get("accuracies", []):
        facts.update(
            {
                name: value
                for name, value in (
                    (f"accuracy/{found['figure']}", found["candidate"]),
                    (f"baseline_accuracy/{found['figure']}", found["baseline"]),
                )
                if value is not None
            }
        )
    facts.update(measured.get("invariants", {}))
    return facts


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs `evaluate` and blesses the candidate, or does not."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges the candidate.

        Args:
            input_dict: `model` and `baseline` (Model), `examples` (Examples), `schema` (Schema) and,
                where the data were transformed, `transform_graph` (TransformGraph) and `raw_examples`
                (Examples), those before.
            output_dict: `evaluation` (ModelEvaluation): TFMA's files, verdict.json and latency.json;
                `blessing` (ModelBlessing), as TFX's Pusher reads it.
            exec_properties: `gate` (JSON), `label`, `label_options` (JSON), `seed`.
        """
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        label = exec_properties["label"]
        raw = input_dict.get("raw_examples")
        schema = artifact_utils.get_single_uri(input_dict["schema"])
        verdict = evaluate(
            candidate=artifact_utils.get_single_uri(input_dict["model"]),
            baseline=artifact_utils.get_single_uri(input_dict["baseline"]),
            examples=examples_of(input_dict, label, exec_properties["label_options"]),
            gate=Gate.model_validate_json(exec_properties["gate"]),
            output=evaluation.uri,
            seed=int(exec_properties["seed"]),
            beam_args=list(self._beam_pipeline_args or []),
            raw_examples=(
                Examples(artifact_utils.get_single_uri(raw), schema, None, from_parameter(label))
                if raw
                else None
            ),
        )
        set_properties(evaluation, headline(verdict))
        bless(blessing, verdict.blessed)
