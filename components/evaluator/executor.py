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

from components.common import file_types, invariants, json_file, model_files, progress, tflite_file
from components.common.blessing import bless
from components.common.examples import Examples
from components.common.file_types import TypeCheck
from components.common.interruption import Interrupted
from components.common.litert import LiteRTModel
from components.common.model_files import Facts, StepRecord
from components.common.step_executor import examples_of, set_properties
from components.common.tflite_file import TFLiteFile
from components.common.tflite_kernel import Kernel
from components.common.user_module import describe
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
    ) -> None:
        self._judgements += judge_figure(
            figure, limits.bounds(), candidate, baseline, ascending, ratio, unit
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
            found = tflite_file.layer_kernels(file, self._record.layers)
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
        gate = self._gate.accuracy
        metrics = self._attempt("measuring accuracy", self._analyze) if loads else None
        candidate, baseline = metrics or ({}, {})
        self._measured["accuracy"] = {
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
        self._judge_metric("accuracy", gate, gate, (), candidate, baseline)
        for limits in gate.slices:
            features = tuple(sorted(limits.features()))
            keys = [k for k in candidate if k and tuple(sorted(n for n, _ in k)) == features]
            missing = [] if keys else [features]
            if limits.values:
                there = {str(key[0][1]): key for key in keys}
                keys = [there[str(v)] for v in limits.values if str(v) in there]
                missing = [(f"{features[0]}={v}",) for v in limits.values if str(v) not in there]
            for names in missing:
                reason = f"accuracy by {'×'.join(names)} was not measured: there is no such slice"
                for bound, limit in limits.bounds().items():
                    self._judgements.append(
                        Judgement(f"accuracy[{'×'.join(names)}]", bound, limit, None, False, reason)
                    )
            for key in sorted(keys, key=str):
                name = f"accuracy[{accuracy.slice_name(key)}]"
                self._judge_metric(name, limits, gate, key, candidate, baseline)

    def _judge_metric(
        self,
        figure: str,
        limits: Limits,
        gate: AccuracyGate,
        key: accuracy.SliceKey,
        candidate: dict[accuracy.SliceKey, tuple[float | None, int]],
        baseline: dict[accuracy.SliceKey, tuple[float | None, int]],
    ) -> None:
        value, reference = candidate.get(key, (None, 0))[0], baseline.get(key, (None, 0))[0]
        if value is not None and not math.isfinite(value):
            self._failures.append(
                f"{figure} is {value}: {gate.metric} is not defined for these predictions"
            )
        self._judge(figure, limits, value, reference, ascending=gate.ascending())

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

    def _analyze(self) -> tuple[dict, dict]:
        progress.report("measuring accuracy")
        gate = self._gate.accuracy.model_dump()
        accuracy.analyze(
            self._examples,
            self._files,
            accuracy.eval_config(gate, self._examples.label),
            self._output,
            self._beam_args,
            self._raw_examples,
        )
        name = gate["metric"]
        results = tuple(
            accuracy.read_metrics(self._output, model, name)
            for model in (accuracy.CANDIDATE, accuracy.BASELINE)
        )
        if results[0].get((), (None, 0))[0] is None:
            raise ValueError(f"TFMA gave no value for {name}")
        return results


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
            raw_examples=Examples(artifact_utils.get_single_uri(raw), schema, None, label) if raw else None,
        )
        set_properties(evaluation, headline(verdict))
        bless(blessing, verdict.blessed)
