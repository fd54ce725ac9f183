"""Judges one candidate against the baseline by what was measured: accuracy, latency, size, invariants."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Callable
from typing import Any, TypeVar

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes
from components.common.base.blessing import bless
from components.common.base.errors import reason_of
from components.common.base.interruption import Interrupted
from components.common.base.metric_facts import undefined_for
from components.common.models import invariants, model_files
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import set_properties
from components.common.tflite import file_types, tflite_file
from components.common.tflite.file_types import TypeCheck
from components.common.tflite.kernel import Kernel
from components.common.tflite.tflite_file import TFLiteFile
from components.evaluator import deployed_file, federated, load, npu, params, served, weak_baseline
from components.evaluator.judgement import (
    SAME_PREDICTION,
    Failure,
    FailureKind,
    Figure,
    Judgement,
    accuracy_figure,
    device_figure,
    latency_figure,
    size_figure,
)
from components.evaluator.judging import FarEnds, conclude, far_ends, judge_figure
from components.evaluator.limits import AccuracyLimits, Limits
from components.evaluator.params import AccuracyGate, Gate, SizeOf, SliceLimits
from components.evaluator.verdict import VERDICT_FILE, Verdict
from components.measurer.comparison import ClassBalance, Interval
from components.measurer.file_facts import FileFacts
from components.measurer.measured import (
    SIDES,
    Accuracy,
    Measured,
    Side,
    Size,
    Sizes,
    Slice,
    SliceAccuracy,
    SliceValue,
    slice_text,
)
from components.measurer.measurement import Measurement, MetricValues, SliceValues

Result = TypeVar("Result")


def judge(
    candidate: str, baseline: str, measurement: str, gate: Gate, output: str, trained: str = ""
) -> Verdict:
    """Judges a candidate.

    Args:
        candidate: Folder of its `Model` artifact.
        baseline: Folder of the baseline's, converted to float32.
        measurement: Folder of what was measured of both.
        gate: The limits.
        output: Folder for verdict.json.
        trained: Folder of the baseline as it was trained, if its training was federated.

    Returns:
        The verdict, also written to verdict.json. What was not measured is a reason against the candidate, never
        an exception.

    Raises:
        ChangedFile: If a model's file is not the one that was measured, or changes meanwhile.
        DocumentError: If the measurement cannot be read.
    """
    measured = Measurement.of(measurement)
    folders: dict[Side, str] = {"candidate": candidate, "baseline": baseline}
    _refuse_others(folders, measured, "another file was measured; measure again: paredown run --remeasure")
    found = _Judging(candidate, measured, gate, trained).verdict()
    _refuse_others(folders, measured, "it changed while it was judged; run again")
    verdict = dataclasses.replace(found, judged=measured.files["candidate"])
    verdict.write(os.path.join(output, VERDICT_FILE))
    return verdict


def _refuse_others(folders: dict[Side, str], measured: Measurement, advice: str) -> None:
    """Raises a ChangedFile if files in these folders are not those that were measured."""
    for side, folder in folders.items():
        file_hashes.refuse_change(
            folder, measured.files.get(side, {}), file_hashes.model_digests(folder), advice
        )


class _Judging:
    """One candidate's way through the gate."""

    def __init__(self, candidate: str, measurement: Measurement, gate: Gate, trained: str = ""):
        self._file = model_files.tflite_file(candidate)
        self._measurement = measurement
        self._gate = gate
        self._failures = [Failure(FailureKind(one.kind), one.reason) for one in measurement.failures]
        self._judgements: list[Judgement] = []
        self._federated, unread = federated.figures_of(trained)
        self._failures += unread
        read = self._attempt("reading the candidate's record", lambda: StepRecord.read(candidate))
        self._record = read or StepRecord()
        if self._federated and self._record.federated:
            self._federated = dataclasses.replace(self._federated, steps=self._record.federated)

    def verdict(self) -> Verdict:
        """Judges everything, then concludes."""
        self._judge_size()
        self._judge_device()
        self._judgements += load.judge(self._measurement.load, self._gate)
        self._judgements += federated.judge(self._federated, self._gate)
        file, invariant = self._judge_invariants()
        self._judge_latency()
        accuracies = tuple(
            self._judge_accuracy(gate, section, self._measurement.metric(gate.title()))
            for gate, section in zip(self._gate.accuracies(), self._gate.sections(), strict=True)
        )
        if self._measurement.transformed:
            self._judgements += served.judge(self._measurement.served)
        sizes = self._measurement.sizes
        measured = Measured(
            steps=tuple(self._record.steps),
            size=Sizes(sizes["candidate"], sizes["baseline"]) if len(sizes) == len(SIDES) else None,
            file=file,
            invariants=invariant,
            latency=self._measurement.latency,
            # The first one is the candidate's accuracy wherever there is room for one alone.
            accuracy=accuracies[0],
            accuracies=accuracies if len(accuracies) > 1 else (),
            activations=self._measurement.logits,
            served=self._measurement.served,
            device=self._measurement.device,
            load=self._measurement.load,
            repair=self._record.repair,
        )
        found = conclude(self._judgements, measured, self._failures)
        return dataclasses.replace(found, federated=self._federated)

    def _attempt(self, what: str, work: Callable[[], Result]) -> Result | None:
        """Does what may fail; None and a failure if it raises."""
        try:
            return work()
        except Interrupted:
            raise
        except Exception as error:  # whatever goes wrong has to end in a verdict, not in a crash
            logging.getLogger(__name__).exception("%s failed", what)
            failure = Failure(FailureKind.MEASUREMENT_FAILED, f"{what} failed: {reason_of(error)}")
            if failure not in self._failures:  # the Measurer reads the record, too
                self._failures.append(failure)
            return None

    def _judge(
        self,
        figure: Figure,
        limits: Limits,
        section: str,
        candidate: float | None,
        baseline: float | None,
        ascending: bool = False,
        ratio: Interval | None = None,
        shown: str = "",
        far: FarEnds | None = None,
    ) -> None:
        self._judgements += judge_figure(
            figure, limits.bounds(), candidate, baseline, ascending, ratio, shown, section, far
        )

    def _judge_size(self) -> None:
        def value(side: Side, of: SizeOf) -> float | None:
            found: Size | None = self._measurement.sizes.get(side)
            return getattr(found, of) if found else None

        for section, of, limits in self._gate.sizes():
            self._judge(size_figure(of), limits, section, value("candidate", of), value("baseline", of))

    def _judge_device(self) -> None:
        """Judges what the files take on their target."""
        found = self._measurement.device
        for section, of, limits in self._gate.device():
            candidate, baseline = (found.bytes(of, side) if found else None for side in SIDES)
            self._judge(device_figure(of), limits, section, candidate, baseline)
        self._judgements += judge_figure(
            SAME_PREDICTION,
            self._gate.same_prediction.bounds(),
            found.same_prediction if found else None,
            None,
            ascending=True,
            section="gate.same_prediction",
        )
        if isinstance(self._gate, params.JudgedGate):
            self._judgements += npu.judge(found.npu if found else None, self._gate.npu)

    def _judge_invariants(self) -> tuple[FileFacts | None, dict[str, int | float]]:
        """Compares the file with what each step was asked for, layer by layer, and with its types."""
        file = self._attempt("reading the file", lambda: tflite_file.read(self._file))
        found: dict[str, list[Kernel]] = {}
        if file is not None:
            found = file.layer_kernels(self._record.layers)
        checks = invariants.check(found, self._record.layers)
        self._judgements += deployed_file.judge_invariants(checks)
        types = self._attempt("checking the file's types", lambda: self._types(file))
        self._judgements += deployed_file.judge_types(types or [])
        facts = FileFacts.of(invariants.file_facts(file, self._record.layers)) if file is not None else None
        return facts, invariants.headline(checks)

    def _types(self, file: TFLiteFile | None) -> list[TypeCheck]:
        if self._record.file is None:
            raise ValueError("the candidate's record does not say how it was converted")
        # A missing file is a failure already.
        return file_types.check(file, self._record.file, self._record.float_layers) if file else []

    def _judge_latency(self) -> None:
        figures = self._measurement.latency
        self._judge(
            latency_figure(self._gate.latency.percentile),
            self._gate.latency,
            "gate.latency",
            figures.at("candidate") if figures else None,
            figures.at("baseline") if figures else None,
            ratio=Interval(figures.ratio_low, figures.ratio_high) if figures else None,
        )

    def _judge_accuracy(self, gate: AccuracyGate, section: str, found: MetricValues) -> Accuracy:
        """Judges a metric and its slices."""
        values = {one.slice: one for one in found.values}
        whole = values.get((), SliceValues((), None, None, 0))
        weak = None if whole.baseline is None else weak_baseline.find(gate, whole.baseline, found.chance)
        self._failures += [weak] if weak else []
        self._judge_metric(gate, section, gate, whole, found)
        for index, limits in enumerate(gate.slices):
            place = f"{section}.slices.{index}"
            features = tuple(sorted(limits.features()))
            slices = [one for one in found.values if one.slice and _features(one.slice) == features]
            if limits.values:
                wanted = [str(value) for value in limits.values]
                slices = [one for one in slices if one.slice[0].value in wanted]
                for value in wanted:
                    if value not in {one.slice[0].value for one in slices}:
                        self._judge_missing(gate, limits, place, (SliceValue(features[0], value),))
            elif not slices:
                self._judge_missing(gate, limits, place, tuple(SliceValue(n, None) for n in features))
            for one in slices:
                self._judge_metric(limits, place, gate, one, found)
        # If a slice lists its values, only those are to be judged.
        whole_features = {tuple(sorted(by.features())) for by in gate.slices if not by.values}
        return Accuracy(
            metric=gate.metric,
            higher_is_better=gate.ascending(),
            candidate=whole.candidate,
            baseline=whole.baseline,
            examples=whole.examples,
            slices=tuple(
                SliceAccuracy(
                    slice_text(one.slice),
                    one.candidate,
                    one.baseline,
                    one.examples,
                    one.slice,
                    one.uncertainty,
                )
                for one in found.values
                if one.slice
            ),
            figure=gate.title() if self._several or gate.output or gate.of_baseline else None,
            output=gate.output,
            unjudged=tuple(one for one in found.train_only if one.features in whole_features),
            uncertainty=whole.uncertainty,
            not_resampled=found.not_resampled or None,
            chance=found.chance,
            classes=found.classes,
            lost=found.classes.lost if found.classes and not self._looks_at_classes(found.classes) else (),
        )

    def _looks_at_classes(self, classes: ClassBalance) -> bool:
        """Whether a limit of the gate is on classes alone."""
        return any(
            "class_id" in one.config or any(classes.label in limits.features() for limits in one.slices)
            for one in self._gate.accuracies()
        )

    @property
    def _several(self) -> bool:
        """Whether the gate has a list of metrics, which names its figures by their titles."""
        return isinstance(self._gate.accuracy, list)

    def _figure(self, gate: AccuracyGate, slice_: Slice = ()) -> Figure:
        return accuracy_figure(gate.name(), gate.output, slice_, self._several)

    def _shown(self, gate: AccuracyGate) -> str:
        """A metric in a reason's text: its title if there are several, or if it is an error."""
        plain = not self._several and gate.ascending() and not gate.output and not gate.of_baseline
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
        limits: AccuracyLimits,
        section: str,
        gate: AccuracyGate,
        found: SliceValues,
        metric: MetricValues,
    ) -> None:
        shown = self._shown(gate)
        if found.slice:
            shown = f"{shown}[{slice_text(found.slice)}]"
        value = found.candidate
        if value is not None and not math.isfinite(value):
            why = undefined_for(gate.metric)
            self._failures.append(
                Failure(
                    FailureKind.METRIC_UNDEFINED,
                    f"{shown} is {value}: {gate.metric} is not defined for these labels and predictions"
                    + (f": {why}" if why else ""),
                )
            )
            value = None  # not measured
        ascending = gate.ascending()
        far = None
        if limits.confidence is not None:
            far = far_ends(limits.confidence, found.uncertainty, ascending, metric.not_resampled)
        self._judge(
            self._figure(gate, found.slice),
            limits,
            section,
            value,
            found.baseline,
            ascending,
            shown=shown,
            far=far,
        )


def _features(slice_: Slice) -> tuple[str, ...]:
    return tuple(sorted(one.feature for one in slice_))


class Executor(base_executor.BaseExecutor):
    """Runs `judge` and blesses the candidate, or does not."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Judges the candidate.

        Args:
            input_dict: `model` and `baseline` (Model), and `measurement` (ModelMeasurement) of both;
                `trained` (Model), the baseline as the Trainer made it, if that was federated.
            output_dict: `evaluation` (ModelEvaluation): verdict.json; `blessing` (ModelBlessing), as TFX's Pusher
                reads it.
            exec_properties: `gate` (JSON).
        """
        evaluation = artifact_utils.get_single_instance(output_dict["evaluation"])
        blessing = artifact_utils.get_single_instance(output_dict["blessing"])
        verdict = judge(
            candidate=artifact_utils.get_single_uri(input_dict["model"]),
            baseline=artifact_utils.get_single_uri(input_dict["baseline"]),
            measurement=artifact_utils.get_single_uri(input_dict["measurement"]),
            gate=params.JudgedGate.model_validate_json(exec_properties["gate"]),
            output=evaluation.uri,
            trained=artifact_utils.get_single_uri(input_dict["trained"])
            if input_dict.get("trained")
            else "",
        )
        set_properties(evaluation, verdict.properties())
        for artifact in (evaluation, blessing):
            artifact.set_string_custom_property(file_hashes.JUDGED, file_hashes.as_property(verdict.judged))
        bless(blessing, verdict.blessed)
