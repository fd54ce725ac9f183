"""Judges one candidate against the baseline: accuracy, latency, size, invariants."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes, json_file, progress
from components.common.base.blessing import bless
from components.common.base.errors import describe
from components.common.base.interruption import Interrupted
from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.models import invariants, model_files
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import examples_of, set_properties
from components.common.tflite import file_types, tflite_file
from components.common.tflite.file_types import TypeCheck
from components.common.tflite.kernel import Kernel
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflite_file import TFLiteFile
from components.evaluator import accuracy, latency, served_skew, size, train_slices
from components.evaluator.judgement import (
    Failure,
    FailureKind,
    Figure,
    Judgement,
    Kind,
    accuracy_figure,
    latency_figure,
    size_figure,
)
from components.evaluator.judging import conclude, judge_figure
from components.evaluator.measured import (
    Accuracy,
    FileFacts,
    Latency,
    Measured,
    Side,
    Size,
    Sizes,
    Skew,
    Slice,
    SliceAccuracy,
    SliceValue,
    UnjudgedSlices,
    slice_text,
)
from components.evaluator.params import AccuracyGate, Gate, Limits, SliceLimits
from components.evaluator.verdict import VERDICT_FILE, Verdict

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
        raw_examples: The same before Transform, if `examples` went through it.

    Returns:
        The verdict, also written to verdict.json. A measurement that fails is a reason against the
        candidate, never an exception.
    """
    files = {folder: file_hashes.model_digests(folder) for folder in (candidate, baseline)}
    evaluation = _Evaluation(candidate, baseline, examples, gate, output, seed, beam_args, raw_examples)
    verdict = dataclasses.replace(evaluation.verdict(), judged=files[candidate])
    for folder, before in files.items():
        file_hashes.refuse_change(
            folder, before, file_hashes.model_digests(folder), "it changed while it was judged; run again"
        )
    verdict.write(os.path.join(output, VERDICT_FILE))
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
        self._files: dict[Side, str] = {
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
        self._failures: list[Failure] = []
        self._judgements: list[Judgement] = []
        read = self._attempt("reading the candidate's record", lambda: StepRecord.read(candidate))
        self._record = read or StepRecord()
        of_baseline = self._attempt("reading the baseline's record", lambda: StepRecord.read(baseline))
        records = {accuracy.CANDIDATE: self._record, accuracy.BASELINE: of_baseline or StepRecord()}
        self._logits: dict[Side, dict[str, str]] = {
            side: record.logits for side, record in records.items() if record.logits
        }

    def verdict(self) -> Verdict:
        """Measures everything that can be measured, then concludes."""
        for name, kind in (
            (accuracy.CANDIDATE, FailureKind.CANDIDATE_NOT_LOADED),
            (accuracy.BASELINE, FailureKind.BASELINE_NOT_LOADED),
        ):
            path = self._files[name]
            self._attempt(f"loading the {name}", partial(LiteRTModel, path), kind)
        loads = not self._failures
        sizes = self._judge_size()
        file, invariant = self._judge_invariants()
        times = self._judge_latency(loads)
        accuracies = self._judge_accuracy(loads)
        skew = self._judge_served(loads) if self._examples.transform_uri else None
        measured = Measured(
            steps=tuple(self._record.steps),
            size=sizes,
            file=file,
            invariants=invariant,
            latency=times,
            # The first one is the candidate's accuracy wherever there is room for one alone.
            accuracy=accuracies[0],
            accuracies=accuracies if len(accuracies) > 1 else (),
            activations=self._logits,
            served=skew,
        )
        return conclude(self._judgements, measured, self._failures)

    def _attempt(
        self,
        what: str,
        measure: Callable[[], Result],
        kind: FailureKind = FailureKind.MEASUREMENT_FAILED,
    ) -> Result | None:
        """Runs a measurement; None and a failure if it raises."""
        try:
            return measure()
        except Interrupted:
            raise
        except Exception as error:  # whatever goes wrong has to end in a verdict, not in a crash
            logging.getLogger(__name__).exception("%s failed", what)
            self._failures.append(Failure(kind, f"{what} failed: {root_cause(error)}"))
            return None

    def _judge(
        self,
        figure: Figure,
        limits: Limits,
        section: str,
        candidate: float | None,
        baseline: float | None,
        ascending: bool = False,
        ratio: float | None = None,
        unit: str = "",
        shown: str = "",
    ) -> None:
        self._judgements += judge_figure(
            figure, limits.bounds(), candidate, baseline, ascending, ratio, unit, shown, section
        )

    def _judge_size(self) -> Sizes | None:
        def value(found: Size | None) -> float | None:
            return getattr(found, self._gate.size.of) if found else None

        candidate, baseline = (
            self._attempt(f"sizing the {name}", partial(size.measure, path))
            for name, path in self._files.items()
        )
        self._judge(
            size_figure(self._gate.size.of),
            self._gate.size,
            "gate.size",
            value(candidate),
            value(baseline),
            unit="B",
        )
        return Sizes(candidate, baseline) if candidate and baseline else None

    def _judge_invariants(self) -> tuple[FileFacts | None, dict[str, int | float]]:
        """Compares the file with what each step was asked for, layer by layer, and with its types."""
        path = self._files[accuracy.CANDIDATE]
        file = self._attempt("reading the file", lambda: tflite_file.read(path))
        found: dict[str, list[Kernel]] = {}
        if file is not None:
            found = file.layer_kernels(self._record.layers)
        checks = invariants.check(found, self._record.layers)
        for check in checks:
            figure = Figure(
                f"{check.figure}[{check.layer}]", Kind.INVARIANT, aspect=check.figure, layer=check.layer
            )
            failure = FailureKind.NOT_MEASURED if check.got is None else FailureKind.BEYOND_LIMIT
            self._judgements.append(
                Judgement.on(
                    figure,
                    check.bound,
                    check.wanted,
                    check.got,
                    check.reason(" in the file"),
                    None if check.met else failure,
                )
            )
        for one in self._attempt("checking the file's types", lambda: self._types(file)) or []:
            weights = one.part == "weights"
            figure = Figure(
                one.figure,
                Kind.TYPE,
                aspect=one.part,
                layer=one.name if weights else None,
                tensor=None if weights else one.name or None,
            )
            failed = None if one.met else FailureKind.WRONG_TYPE
            self._judgements.append(Judgement.on(figure, "type", None, None, one.reason, failed))
        facts = FileFacts.of(invariants.file_facts(file, self._record.layers)) if file is not None else None
        return facts, invariants.headline(checks)

    def _types(self, file: TFLiteFile | None) -> list[TypeCheck]:
        if self._record.file is None:
            raise ValueError("the candidate's record does not say how it was converted")
        if file is None:
            return []  # which has been said
        return file_types.check(file, self._record.file, self._record.float_layers)

    def _judge_latency(self, loads: bool) -> Latency | None:
        gate = self._gate.latency

        def measure() -> latency.Measurement:
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
        figures = result.figures if result else None
        self._judge(
            latency_figure(gate.percentile),
            gate,
            "gate.latency",
            figures.at("candidate") if figures else None,
            figures.at("baseline") if figures else None,
            ratio=figures.ratio_high if figures else None,
            unit="ms",
        )
        return figures

    def _judge_accuracy(self, loads: bool) -> tuple[Accuracy, ...]:
        measured = self._attempt("measuring accuracy", self._analyze) if loads else None
        gates = self._gate.accuracies()
        return tuple(
            self._judge_accuracy_of(gate, section, *(measured[index] if measured else ({}, {})))
            for index, (gate, section) in enumerate(zip(gates, self._gate.sections(), strict=True))
        )

    def _judge_accuracy_of(
        self,
        gate: AccuracyGate,
        section: str,
        candidate: accuracy.Metrics,
        baseline: accuracy.Metrics,
    ) -> Accuracy:
        """Judges a metric and its slices."""
        self._judge_metric(gate, section, gate, (), candidate, baseline)
        for index, limits in enumerate(gate.slices):
            place = f"{section}.slices.{index}"
            features = tuple(sorted(limits.features()))
            keys = [k for k in candidate if k and tuple(sorted(n for n, _ in k)) == features]
            if limits.values:
                there = {str(key[0][1]): key for key in keys}
                keys = [there[str(v)] for v in limits.values if str(v) in there]
                for wanted in map(str, limits.values):
                    if wanted not in there:
                        self._judge_missing(gate, limits, place, (SliceValue(features[0], wanted),))
            elif not keys:
                self._judge_missing(gate, limits, place, tuple(SliceValue(n, None) for n in features))
            for key in sorted(keys, key=str):
                self._judge_metric(limits, place, gate, key, candidate, baseline)
        value, examples = candidate.get((), (None, 0))
        return Accuracy(
            metric=gate.metric,
            higher_is_better=gate.ascending(),
            candidate=value,
            baseline=baseline.get((), (None, 0))[0],
            examples=examples,
            slices=tuple(
                SliceAccuracy(
                    slice_text(accuracy.slice_values(key)),
                    value,
                    baseline.get(key, (None, 0))[0],
                    count,
                    accuracy.slice_values(key),
                )
                for key, (value, count) in sorted(candidate.items(), key=str)
                if key
            ),
            figure=gate.title() if self._several or gate.output else None,
            output=gate.output,
            unjudged=self._unjudged(gate, candidate) if candidate else (),
        )

    def _unjudged(self, gate: AccuracyGate, candidate: accuracy.Metrics) -> tuple[UnjudgedSlices, ...]:
        judged = [accuracy.slice_values(key) for key in candidate if key]
        find = partial(train_slices.unjudged, gate, judged, self._examples, self._raw_examples)
        return self._attempt("looking for slices that only train has", find) or ()

    @property
    def _several(self) -> bool:
        """Whether the gate has a list of metrics, which names its figures by their titles."""
        return isinstance(self._gate.accuracy, list)

    def _figure(self, gate: AccuracyGate, slice_: Slice = ()) -> Figure:
        return accuracy_figure(gate.name(), gate.output, slice_, self._several)

    def _shown(self, gate: AccuracyGate) -> str:
        """A metric in a reason's text: its title if there are several, or if it is an error."""
        plain = not self._several and gate.ascending() and not gate.output
        return "accuracy" if plain else gate.title()

    def _judge_missing(self, gate: AccuracyGate, limits: SliceLimits, section: str, missing: Slice) -> None:
        reason = f"{self._shown(gate)} by {slice_text(missing)} was not measured: there is no such slice"
        figure = self._figure(gate, missing)
        self._judgements += [
            Judgement.on(
                figure, bound, limit, None, reason, FailureKind.NO_SUCH_SLICE, f"{section}.{bound}"
            )
            for bound, limit in limits.bounds().items()
        ]

    def _judge_metric(
        self,
        limits: Limits,
        section: str,
        gate: AccuracyGate,
        key: accuracy.SliceKey,
        candidate: accuracy.Metrics,
        baseline: accuracy.Metrics,
    ) -> None:
        slice_ = accuracy.slice_values(key)
        shown = f"{self._shown(gate)}[{slice_text(slice_)}]" if slice_ else self._shown(gate)
        value, reference = candidate.get(key, (None, 0))[0], baseline.get(key, (None, 0))[0]
        if value is not None and not math.isfinite(value):
            self._failures.append(
                Failure(
                    FailureKind.METRIC_UNDEFINED,
                    f"{shown} is {value}: {gate.metric} is not defined for these labels and predictions",
                )
            )
            value = None  # not measured
        self._judge(
            self._figure(gate, slice_), limits, section, value, reference, gate.ascending(), shown=shown
        )

    def _judge_served(self, loads: bool) -> Skew | None:
        """Compares what is served, from raw features on, with what the gate has measured."""

        def measure() -> Skew:
            progress.report("comparing with the served model")
            if self._raw_examples is None:
                raise ValueError("the examples went through Transform, and the raw ones were not given")
            return served_skew.measure(self._candidate, self._raw_examples, self._examples)

        skew = self._attempt("comparing with the served model", measure) if loads else None
        self._judgements += served_skew.judge(skew)
        return skew

    def _analyze(self) -> list[tuple[accuracy.Metrics, accuracy.Metrics]]:
        """Of each metric of the gate, the candidate's values and the baseline's."""
        progress.report("measuring accuracy")
        gates = self._gate.accuracies()
        accuracy.analyze(
            self._examples,
            self._files,
            accuracy.eval_config(gates, self._examples.label),
            self._output,
            self._beam_args,
            self._raw_examples,
            {str(side): outputs for side, outputs in self._logits.items()},
        )
        results = [
            (
                accuracy.read_metrics(self._output, accuracy.CANDIDATE, gate),
                accuracy.read_metrics(self._output, accuracy.BASELINE, gate),
            )
            for gate in gates
        ]
        for gate, (candidate, _) in zip(gates, results, strict=True):
            if candidate.get((), (None, 0))[0] is None:
                raise ValueError(f"TFMA gave no value for {gate.title()}")
        return results


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
                if the data were transformed, `transform_graph` (TransformGraph) and `raw_examples`
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
        set_properties(evaluation, verdict.properties())
        for artifact in (evaluation, blessing):
            artifact.set_string_custom_property(file_hashes.JUDGED, file_hashes.as_property(verdict.judged))
        bless(blessing, verdict.blessed)
