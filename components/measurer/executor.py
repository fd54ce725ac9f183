"""Measures one candidate beside the baseline: size, latency, accuracy, what is served."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes, json_file, progress
from components.common.base.errors import reason_of
from components.common.base.interruption import Interrupted
from components.common.base.label import from_parameter
from components.common.base.load_options import LoadOptions
from components.common.base.npu_options import Npu
from components.common.base.runtime import LITERT, LITERT_JS, NAMES, TFLITE_MICRO, Runtime
from components.common.base.runtime import from_parameter as runtime_of
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_files import StepRecord
from components.common.steps.step_executor import examples_of, set_properties
from components.common.tflite import runtimes
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.litert_batch import Logits
from components.measurer import (
    accuracy,
    agreement,
    anomaly,
    device,
    latency,
    packed_comparison,
    paired_comparison,
    served_skew,
    size,
    train_slices,
)
from components.measurer.machine import this_machine
from components.measurer.measured import SIDES, Device, Latency, Side, Skew, Slice, UnjudgedSlices
from components.measurer.measurement import (
    LATENCY_FILE,
    MEASUREMENT_FILE,
    Measurement,
    MetricValues,
    SliceValues,
    Unmeasured,
    UnmeasuredKind,
)
from components.measurer.paired_comparison import Comparison
from components.measurer.params import MeasureOptions, Metric
from components.measurer.served_load import ServedLoad
from components.predictor.baseline import read_baseline
from components.predictor.prediction import predict
from components.predictor.predictions import Predictions

Result = TypeVar("Result")

_NOT_LOADED: dict[Side, UnmeasuredKind] = {
    accuracy.CANDIDATE: "candidate_not_loaded",
    accuracy.BASELINE: "baseline_not_loaded",
}


def measure(
    candidate: str,
    baseline: str,
    predictions: str,
    examples: Examples,
    options: MeasureOptions,
    output: str,
    seed: int,
    beam_args: list[str],
    raw_examples: Examples | None = None,
    runtime: Runtime = LITERT,
    npu: Npu | None = None,
    load: LoadOptions | None = None,
) -> Measurement:
    """Measures a candidate and the baseline.

    Args:
        candidate: Folder of its `Model` artifact.
        baseline: Folder of the baseline's, converted to float32.
        predictions: Folder of what the baseline predicts: `components.predictor.baseline`.
        examples: Whose `eval` split accuracy is measured on.
        options: What to measure.
        output: Folder for the files that `components.measurer.measurement` lists.
        seed: Seed of the bootstrap.
        beam_args: Beam pipeline options for TFMA.
        raw_examples: The same before Transform, if `examples` went through it.
        runtime: What accuracy is measured on, and in a browser latency, which otherwise is on LiteRT.
        npu: What the candidate is compiled for, too; None for nothing.
        load: How both are asked on a model server; None for not.

    Returns:
        The measurement, also written to measurement.json. What fails is one of its failures, never an exception.

    Raises:
        ChangedFile: If a model's file changes meanwhile.
    """
    folders = dict(zip(SIDES, (candidate, baseline), strict=True))
    files = {side: file_hashes.model_digests(folder) for side, folder in folders.items()}
    with runtimes.closed_afterwards(runtime):
        found = _Measuring(
            *(folders, files, predictions, examples, options, output, seed, beam_args),
            *(raw_examples, runtime, npu, load),
        ).measurement()
    for side, folder in folders.items():
        again = file_hashes.model_digests(folder)
        file_hashes.refuse_change(folder, files[side], again, "it changed while it was measured; run again")
    found.write(os.path.join(output, MEASUREMENT_FILE))
    return found


@dataclass
class _Measuring:
    """The measuring of one candidate, and what failed."""

    _folders: dict[Side, str]
    _digests: dict[Side, dict[str, str]]
    _predictions: str
    _examples: Examples
    _options: MeasureOptions
    _output: str
    _seed: int
    _beam_args: list[str]
    _raw_examples: Examples | None
    _runtime: Runtime
    _npu: Npu | None
    _load: LoadOptions | None
    # By candidate and baseline, in the order of the examples' files.
    _predicted: tuple[Predictions, Predictions] | None = None
    _failures: list[Unmeasured] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._files = {side: model_files.tflite_file(folder) for side, folder in self._folders.items()}

    def measurement(self) -> Measurement:
        """Everything that can be measured."""
        logits = self._logits()
        for side, path in self._files.items():
            self._attempt(f"loading the {side}", partial(LiteRTModel, path), _NOT_LOADED[side])
            if self._runtime != LITERT:
                load = partial(runtimes.load, path, self._runtime)
                self._attempt(f"loading the {side}", load, _NOT_LOADED[side])
        loads = not self._failures
        sizes = {
            side: self._attempt(f"sizing the {side}", partial(size.measure, path, self._runtime))
            for side, path in self._files.items()
        }
        times = self._attempt("measuring latency", self._latency) if loads else None
        metrics = self._attempt("measuring accuracy", partial(self._metrics, logits)) if loads else None
        taken = None
        if self._runtime != LITERT and loads:
            taken = self._attempt("measuring on the target", partial(self._device, logits))
        served_load = None
        if self._load is not None and loads:
            served_load = self._attempt("measuring a server", partial(self._served_load, self._load))
        transformed = self._examples.transform_uri is not None
        served = (
            self._attempt("comparing with the served model", self._served)
            if loads and transformed
            else None
        )
        return Measurement(
            machine=this_machine(),
            files=self._digests,
            failures=tuple(self._failures),
            sizes={side: found for side, found in sizes.items() if found},
            latency=times,
            metrics=metrics or (),
            logits=logits,
            transformed=transformed,
            served=served,
            device=taken,
            load=served_load,
        )

    def _attempt(
        self, what: str, work: Callable[[], Result], kind: UnmeasuredKind = "measurement_failed"
    ) -> Result | None:
        """Measures; None and a failure if it raises."""
        try:
            return work()
        except Interrupted:
            raise
        except Exception as error:  # whatever goes wrong has to end in a verdict, not in a crash
            logging.getLogger(__name__).exception("%s failed", what)
            self._failures.append(Unmeasured(kind, f"{what} failed: {reason_of(error)}"))
            return None

    def _logits(self) -> dict[Side, dict[str, str]]:
        """Side → output whose values are logits → its activation."""
        records = {
            side: self._attempt(f"reading the {side}'s record", partial(StepRecord.read, folder))
            for side, folder in self._folders.items()
        }
        return {side: record.logits for side, record in records.items() if record and record.logits}

    def _latency(self) -> Latency:
        progress.report("measuring latency")
        inputs = LiteRTModel(self._files[accuracy.BASELINE]).inputs
        examples = self._examples.load("eval", inputs)
        how = self._options.latency
        files = self._files[accuracy.CANDIDATE], self._files[accuracy.BASELINE]
        example = {name: values[0] for name, values in examples.features.items()}
        last = how.repetitions, how.warmup, self._seed
        if self._runtime == LITERT_JS:
            timed = latency.measure_in_browser(*files, example, how.percentile, *last)
        else:
            timed = latency.measure(*files, example, how.percentile, how.threads, *last)
        json_file.write(os.path.join(self._output, LATENCY_FILE), timed.samples())
        return timed.figures

    def _metrics(self, logits: dict[Side, dict[str, str]]) -> tuple[MetricValues, ...]:
        """Every metric's values, candidate and baseline."""
        progress.report("measuring accuracy")
        metrics = self._options.metrics
        activations = {str(side): outputs for side, outputs in logits.items()}
        of_labels = [metric for metric in metrics if metric.of_tfma]
        baseline = read_baseline(self._predictions, self._digests[accuracy.BASELINE])
        on_arrays = accuracy.on_arrays(self._beam_args, self._examples.label) or self._runtime != LITERT
        if baseline is None and self._runtime != LITERT:
            raise ValueError(
                f"{NAMES[self._runtime]} needs labels of as many values in each example, and some examples have more"
            )
        both = None
        if baseline is not None and (on_arrays or len(of_labels) < len(metrics)):
            candidate = self._predict(activations, self._runtime)
            self._predicted = candidate, baseline
            both = candidate.beside(baseline).in_order()
        if of_labels:
            accuracy.analyze(
                self._examples,
                self._files,
                accuracy.eval_config(of_labels, self._examples.label),
                self._output,
                self._beam_args,
                self._raw_examples,
                activations,
                both if on_arrays else None,
            )
        known = both or (baseline.in_order() if baseline is not None else None)
        return tuple(
            self._values(metric, known) if metric.of_tfma else self._of_predictions(metric, both)
            for metric in metrics
        )

    def _predict(self, logits: Logits, runtime: Runtime) -> Predictions:
        """The candidate's predictions, in the order of the examples' files."""
        files = {str(accuracy.CANDIDATE): self._files[accuracy.CANDIDATE]}
        return predict(self._examples, files, (), self._raw_examples, logits, runtime)

    def _device(self, logits: dict[Side, dict[str, str]]) -> Device:
        """Memory and flash of both files on a microcontroller, and the share of the candidate's predictions on the
        target that equal those on LiteRT."""
        if self._runtime == TFLITE_MICRO:
            folder = self._folders[accuracy.CANDIDATE]
            found, failures = packed_comparison.deployed(self._files, folder, self._examples)
            self._failures += failures
        else:
            found = Device(runtimes.name(self._runtime))
        if self._npu is not None:
            compiled = partial(device.compiled, self._files[accuracy.CANDIDATE], self._npu)
            found = replace(found, npu=self._attempt("compiling for the NPU", compiled))
        if self._predicted is None:
            return found
        progress.report("comparing with LiteRT")
        activations = {str(side): outputs for side, outputs in logits.items()}
        predicted, baseline = self._predicted

        def compared() -> float:
            litert = self._predict(activations, LITERT)
            kinds = baseline.outputs[accuracy.BASELINE]
            return device.share_of_same(predicted, litert, accuracy.CANDIDATE, kinds)

        same = self._attempt("comparing with LiteRT", compared)
        return replace(found, same_prediction=same, examples=len(predicted))

    def _served_load(self, options: LoadOptions) -> ServedLoad:
        # Only the measurement of a server depends on its code: code_version.IF_ASKED.
        from components.measurer import server_load

        progress.report("measuring a server")
        return server_load.measure(self._files, self._examples, options, self._seed)

    def _of_predictions(self, metric: Metric, predictions: Predictions | None) -> MetricValues:
        if predictions is None:
            raise ValueError(f"{metric.title()} needs labels of as many values in each example")
        if metric.anomaly is not None:
            return anomaly.measure(predictions, metric, metric.anomaly)
        found = agreement.measure(predictions, metric, self._seed)
        return replace(found, train_only=self._train_only(metric, [one.slice for one in found.values]))

    def _train_only(self, metric: Metric, judged: Iterable[Slice]) -> tuple[UnjudgedSlices, ...]:
        """Slices that train has and eval does not."""
        known = [slice_ for slice_ in judged if slice_]
        find = partial(train_slices.unjudged, metric, known, self._examples, self._raw_examples)
        return self._attempt("looking for slices that only train has", find) or ()

    def _values(self, metric: Metric, predictions: Predictions | None) -> MetricValues:
        candidate, baseline = (
            accuracy.read_metrics(self._output, side, metric)
            for side in (accuracy.CANDIDATE, accuracy.BASELINE)
        )
        if candidate.get((), (None, 0))[0] is None:
            raise ValueError(f"TFMA gave no value for {metric.title()}")
        compare = partial(self._compared, metric, predictions, baseline.get((), (None, 0))[0])
        compared = self._attempt(f"comparing {metric.title()} with the baseline's", compare) or Comparison()
        uncertainty = {accuracy.slice_values(key): found for key, found in compared.uncertainty.items()}
        values = [
            (accuracy.slice_values(key), value, baseline.get(key, (None, 0))[0], count)
            for key, (value, count) in sorted(candidate.items(), key=_all_examples_first)
        ]
        return MetricValues(
            metric.title(),
            tuple(SliceValues(*one, uncertainty=uncertainty.get(one[0])) for one in values),
            self._train_only(metric, [accuracy.slice_values(key) for key in candidate]),
            compared.not_resampled,
            compared.chance,
            compared.classes,
        )

    def _compared(self, metric: Metric, predictions: Predictions | None, value: float | None) -> Comparison:
        """Candidate and baseline example by example; `value` is the baseline's metric."""
        if predictions is None:
            return Comparison(not_resampled="some examples have more labels than others")
        if value is None or not math.isfinite(value):
            return Comparison(not_resampled=f"{metric.name()} is not defined for the baseline")
        classes = self._examples.vocabulary()
        return paired_comparison.compare(
            predictions,
            metric,
            self._examples.label,
            value,
            self._seed,
            classes.names if classes else (),
            thorough=metric.title() in self._options.resampled,
        )

    def _served(self) -> Skew:
        """The served predictions, from raw features on, compared with those that accuracy was measured on."""
        progress.report("comparing with the served model")
        if self._raw_examples is None:
            raise ValueError("the examples went through Transform, and the raw ones were not given")
        return served_skew.measure(self._folders[accuracy.CANDIDATE], self._raw_examples, self._examples)


def _all_examples_first(item: tuple[accuracy.SliceKey, object]) -> tuple[bool, str]:
    return bool(item[0]), str(item[0])


class Executor(base_beam_executor.BaseBeamExecutor):
    """Runs `measure`."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Measures the candidate.

        Args:
            input_dict: `model` and `baseline` (Model), `predictions` (BaselinePredictions), `examples` (Examples),
                `schema` (Schema) and, if the data were transformed, `transform_graph` (TransformGraph) and
                `raw_examples` (Examples), those before.
            output_dict: `measurement` (ModelMeasurement).
            exec_properties: `measures` (JSON of a `MeasureOptions`), `label`, `label_options` (JSON), `seed`,
                `runtime` (JSON), if predictions are not made on LiteRT, `npu` (JSON), if the target has one, and
                `load` (JSON), if it is a server.
        """
        made = artifact_utils.get_single_instance(output_dict["measurement"])
        label = exec_properties["label"]
        raw = input_dict.get("raw_examples")
        schema = artifact_utils.get_single_uri(input_dict["schema"])
        found = measure(
            candidate=artifact_utils.get_single_uri(input_dict["model"]),
            baseline=artifact_utils.get_single_uri(input_dict["baseline"]),
            predictions=artifact_utils.get_single_uri(input_dict["predictions"]),
            examples=examples_of(input_dict, label, exec_properties["label_options"]),
            options=MeasureOptions.model_validate_json(exec_properties["measures"]),
            output=made.uri,
            seed=int(exec_properties["seed"]),
            beam_args=list(self._beam_pipeline_args or []),
            raw_examples=(
                Examples(artifact_utils.get_single_uri(raw), schema, None, from_parameter(label))
                if raw
                else None
            ),
            runtime=runtime_of(exec_properties.get("runtime")),
            npu=Npu.of_parameter(exec_properties.get("npu")),
            load=LoadOptions.of_parameter(exec_properties.get("load")),
        )
        set_properties(made, found.properties())
