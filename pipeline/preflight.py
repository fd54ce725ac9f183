"""Checks that need TensorFlow, made before a run begins, so that hours of training do not end in a typo."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from components.common import user_module
from components.common.examples import ExamplesError, match_features
from components.common.user_module import UserModuleError, describe
from components.distiller.params import DistillOptions
from components.pruner.params import PruneOptions
from pipeline.checks import split_files
from pipeline.config_file import ConfigFile, Location, Problem
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
    if EXAMPLE_GEN not in cached:
        checks.check_records()
    if not {node.id for node in plan.nodes if node.trains} <= cached:
        checks.check_models()
    if any(node.id.endswith("-evaluate") and node.id not in cached for node in plan.nodes):
        checks.check_metric()
    return checks.problems


class _Checks:
    def __init__(self, file: ConfigFile, plan: Plan):
        self.file = file
        self.config = file.config
        self.transforms = any(node.id == TRANSFORM for node in plan.nodes)
        self.problems: list[Problem] = []
        self.features: set[str] | None = None
        self.models: dict[str, Any] = {}

    def _add(self, location: Location, message: str) -> None:
        self.problems.append(self.file.problem(location, message))

    def check_records(self) -> None:
        """Reads every file to its end, checksums included, and the first record's features."""
        data = self.config.data
        for split in ("train", "eval"):
            where: Location = ("data", "splits", split)
            first = None
            for path in split_files(data.path, getattr(data.splits, split)):
                try:
                    count, example = read_through(str(path))
                except (tf.errors.OpError, ValueError) as error:
                    self._add(where, f"{path} is damaged: {describe(error)}; fetch or write it again")
                    continue
                if count == 0:
                    self._add(where, f"{path} has no records; write some, or exclude it by the pattern")
                    continue
                first = first or example
            if first is not None:
                self._check_label(first, split)

    def _check_label(self, example: tf.train.Example, split: str) -> None:
        features = set(example.features.feature)
        label = self.config.data.label
        if not features:
            self._add(("data", "splits", split), "the first record is no tf.Example with features")
        elif label not in features and not self.transforms and split == "train":
            self._add(
                ("data", "label"), f"{label!r} is no feature of the data, which has {sorted(features)}"
            )
        if split == "train":
            self.features = features

    def check_models(self) -> None:
        """Builds the model and the students as training will, and lets each step look at them."""
        model = self._build("build_model", True, ("model", "module"))
        if model is not None:
            self._check_inputs(model, ("model", "module"))
        for name, chain in self.config.candidates.items():
            trained: Any = model
            for index, options in enumerate(chain.steps()):
                where: Location = ("candidates", name, index, options.technique)
                if isinstance(options, DistillOptions):
                    trained = self._build(options.student, False, (*where, "student"))
                elif isinstance(options, PruneOptions) and trained is not None:
                    self._check_patterns(trained, options, where)

    def _build(self, function: str, compiled: bool, where: Location) -> Any:
        """The model that a function builds, None and a problem where it does not; built once."""
        if function not in self.models:
            section = self.config.model
            try:
                model = user_module.build(section.module, function, section.hparams, compiled)
            except UserModuleError as error:
                self._add(where, str(error))
                model = None
            self.models[function] = model
        return self.models[function]

    def _check_inputs(self, model: Any, where: Location) -> None:
        if self.transforms or self.features is None or self.config.data.label not in self.features:
            return
        try:
            match_features(list(model.input_names), sorted(self.features), self.config.data.label)
        except ExamplesError as error:
            self._add(where, str(error))

    def _check_patterns(self, model: Any, options: PruneOptions, where: Location) -> None:
        from components.pruner.executor import LayerSelectionError, select_layers

        try:
            select_layers(model, options.include, options.exclude)
        except LayerSelectionError as error:
            self._add(where, str(error))

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


def read_through(path: str) -> tuple[int, tf.train.Example]:
    """Reads a TFRecord file to its end.

    Returns:
        The number of records, and the first one (empty where there is none).

    Raises:
        tf.errors.OpError: Where the file is truncated or a checksum is wrong.
        ValueError: Where the first record is no tf.Example.
    """
    compression = "GZIP" if path.endswith(".gz") else ""
    records = tf.data.TFRecordDataset(path, compression_type=compression)
    count = int(records.batch(1024).reduce(0, lambda n, batch: n + tf.shape(batch)[0]).numpy())
    example = tf.train.Example()
    for record in records.take(1):
        try:
            example.ParseFromString(record.numpy())
        except Exception as error:  # protobuf's DecodeError, whose class differs between versions
            raise ValueError(f"its first record is no tf.Example ({error})") from error
    return count, example
