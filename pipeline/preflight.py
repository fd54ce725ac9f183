"""Checks that need TensorFlow, made before a run begins, so that hours of training do not end in a typo."""

from __future__ import annotations

import functools
import gzip
import json
import math
import zlib
from typing import Any

import tensorflow as tf

from components.common.examples import ExamplesError, match_features
from components.common.user_module import UserModuleError, describe
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.explanation import reason
from pipeline.checks import split_files
from pipeline.config_file import ConfigFile, Location, Problem, nearest
from pipeline.explain import Candidate, Explainer
from pipeline.plan import EXAMPLE_GEN, TRANSFORM, Plan


def check(file: ConfigFile, plan: Plan, cached: set[str]) -> list[Problem]:
    """Checks data, models, metric and layer patterns. Writes nothing.

    Args:
        file: The config.
        plan: Made from it.
        cached: Ids of nodes that will not run; what only they depend on was checked when they ran.

    Returns:
        A problem for each mistake.
    """
    checks = _Checks(file, plan)
    if file.config.run.beam_args:
        checks.check_beam()
    checks.check_records(whole=EXAMPLE_GEN not in cached)
    new = [name for name, node in plan.models.items() if node not in cached]
    if new:
        checks.check_models(new)
    if any(node.id.endswith("-evaluate") and node.id not in cached for node in plan.nodes):
        checks.check_metric()
    return checks.problems


def explain(file: ConfigFile, plan: Plan) -> tuple[list[Candidate], list[Problem]]:
    """Looks at data and models as `check` does, and says what each step will do.

    Args:
        file: The config.
        plan: Made from it.

    Returns:
        An explanation for each candidate, none where the model itself cannot be used; and a problem for
        each mistake.
    """
    checks = _Checks(file, plan)
    checks.check_records(whole=True)
    return checks.check_models(list(file.config.candidates)), checks.problems


class _Checks:
    def __init__(self, file: ConfigFile, plan: Plan):
        self.file = file
        self.config = file.config
        self.transforms = any(node.id == TRANSFORM for node in plan.nodes)
        self.problems: list[Problem] = []
        # Feature → number of values in the first training record.
        self.features: dict[str, int] | None = None
        self.examples: int | None = None
        # What has been checked once, and is the same mistake wherever it stands.
        self.told: set[tuple[str, str]] = set()

    @functools.cached_property
    def explainer(self) -> Explainer:
        """Made when the examples have been counted."""
        return Explainer(self.config, self.examples)

    def _add(self, location: Location, message: str) -> None:
        self.problems.append(self.file.problem(location, message))

    def check_beam(self) -> None:
        """Lets Beam make the runner that beam_args ask for."""
        from apache_beam import runners
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

        try:
            name = PipelineOptions(self.config.run.beam_args).view_as(StandardOptions).runner
            runners.create_runner(name or "DirectRunner")
        except (ValueError, ImportError, AttributeError, SystemExit) as error:
            self._add(("run", "beam_args"), f"Apache Beam refuses them: {describe(error)}")

    def check_records(self, whole: bool) -> None:
        """Reads files to their ends, checksums included, where `whole`; the first record's features always."""
        data = self.config.data
        for split in ("train", "eval"):
            where: Location = ("data", "splits", split)
            first, total = None, 0
            for path in split_files(data.path, getattr(data.splits, split)):
                try:
                    count, example = read_through(str(path), whole)
                except (tf.errors.OpError, ValueError) as error:
                    if not whole:  # what nobody will read need not be whole
                        continue
                    self._add(where, f"{path} is damaged: {describe(error)}; fetch or write it again")
                    continue
                if count == 0:
                    self._add(where, f"{path} has no records; write some, or exclude it by the pattern")
                    continue
                first = first or example
                total += count
            if split == "train" and whole:
                self.examples = total or None
            if first is not None:
                self._check_label(first, split)

    def _check_label(self, example: tf.train.Example, split: str) -> None:
        features = {
            name: len(getattr(value, kind).value) if (kind := value.WhichOneof("kind")) else 0
            for name, value in example.features.feature.items()
        }
        label = self.config.data.label
        if not features:
            self._add(("data", "splits", split), "the first record is no tf.Example with features")
        elif label not in features and not self.transforms and split == "train":
            self._add(
                ("data", "label"), f"{label!r} is no feature of the data, which has {sorted(features)}"
            )
        if split == "train":
            self.features = features
            self._check_slices(features)

    def _check_slices(self, features: dict[str, int]) -> None:
        for index, limits in enumerate(self.config.gate.accuracy.slices):
            for feature in limits.features():
                if feature not in features and not self.transforms:
                    known = sorted(features)
                    self._add(
                        ("gate", "accuracy", "slices", index, "by"),
                        f"{feature!r} is no feature of the data{nearest(feature, known)}; it has {known}",
                    )

    def check_models(self, candidates: list[str]) -> list[Candidate]:
        """Builds the model and the students as training will, and lets each step look at them."""
        model = self._build()
        if model is None or not self._check_baseline(model):
            return []
        return [self._check_candidate(name) for name in candidates]

    def _check_candidate(self, name: str) -> Candidate:
        """Lets each step of a candidate look at the model that it will get."""
        candidate = self.explainer.candidate(name)
        for index, step in enumerate(candidate.steps):
            technique = step.options.technique
            for refusal in step.explanation.refusals:
                if (technique, str(refusal)) in self.told:
                    continue
                self.told.add((technique, str(refusal)))
                within = (refusal.option,) if refusal.option else ()
                self._add(("candidates", name, index, technique, *within), str(refusal))
        return candidate

    def _build(self) -> Any:
        """The baseline, untrained; None and a problem where the user's module does not build it."""
        try:
            return self.explainer.workshop.build("build_model", True)
        except UserModuleError as error:
            self._add(("model", "module"), str(error))
            return None

    def _check_inputs(self, model: Any, where: Location) -> None:
        if self.transforms or self.features is None or self.config.data.label not in self.features:
            return
        try:
            fed = match_features(list(model.input_names), sorted(self.features), self.config.data.label)
        except ExamplesError as error:
            self._add(where, str(error))
            return
        for name, tensor in zip(model.input_names, model.inputs, strict=True):
            shape, count = tuple(tensor.shape[1:]), self.features[fed[name]]
            free = sum(size is None for size in shape)
            if free > 1 or (not free and count and math.prod(shape) != count):
                self._add(
                    where,
                    f"feature {fed[name]!r} has {count} values in the first record, which do not fit the "
                    f"model's input {name!r} of shape {shape}",
                )

    def _check_baseline(self, model: Any) -> bool:
        """Whether the baseline can be trained, converted and judged at all."""
        where: Location = ("model", "module")
        before = len(self.problems)
        self._check_inputs(model, where)
        if len(model.outputs) != 1:
            self._add(
                where,
                f"build_model returned a model with {len(model.outputs)} outputs, and there is one label; "
                "build it with one output",
            )
        try:
            self.explainer.workshop.float_file(model)
        except ConversionError as error:
            self._add(where, f"TFLite cannot hold the model that build_model returns: {reason(error)}")
        return len(self.problems) == before

    def check_metric(self) -> None:
        """Lets TFMA build the metric."""
        from tensorflow_model_analysis.metrics import metric_specs

        from components.evaluator import accuracy

        gate = self.config.gate.accuracy.model_dump()
        try:
            config = accuracy.eval_config(gate, self.config.data.label)
            metric_specs.to_computations(config.metrics_specs, eval_config=config)
        except Exception as error:  # the metric's constructor may raise anything
            self._add(
                ("gate", "accuracy", "metric"),
                f"TFMA cannot build {gate['metric']}({json.dumps(gate['config'])}): {describe(error)}",
            )


def read_through(path: str, whole: bool = True) -> tuple[int, tf.train.Example]:
    """Reads a TFRecord file to its end, or its first record only.

    Returns:
        The number of records read, and the first one (empty where there is none).

    Raises:
        tf.errors.OpError: Where the file is truncated or a checksum is wrong.
        ValueError: Where the gzip stream is cut off or damaged, or the first record is no tf.Example.
    """
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression)
    if not whole:
        records = records.take(1)
    if compression and whole:
        _refuse_truncated(path)
    count = int(records.batch(1024).reduce(0, lambda n, batch: n + tf.shape(batch)[0]).numpy())
    example = tf.train.Example()
    for record in records.take(1):
        try:
            example.ParseFromString(record.numpy())
        except Exception as error:  # protobuf's DecodeError, whose class differs between versions
            raise ValueError(f"its first record is no tf.Example ({error})") from error
    return count, example


def _refuse_truncated(path: str) -> None:
    """Raises a ValueError where a gzip file is not whole.

    TensorFlow takes one that was cut off between two records for a shorter one.
    """
    try:
        with gzip.open(path) as file:
            while file.read(2**20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"its gzip stream is not whole ({error})") from error
