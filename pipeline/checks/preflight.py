"""Checks that need TensorFlow, made before a run begins, so that hours of training do not end in a typo."""

from __future__ import annotations

import functools
import json
import math
from typing import Any

from components.common.base.label import features_of
from components.common.data import class_weights, vocabulary
from components.common.data.class_weights import ClassWeightsError
from components.common.data.examples import ExamplesError, match_features, refuse_changed_names
from components.common.data.vocabulary import VocabularyError
from components.common.models.pretrained import PretrainedError
from components.common.models.user_module import UserModuleError, describe
from components.tflite_converter.conversion_error import ConversionError
from components.tflite_converter.explanation import reason
from components.trainer import stages
from pipeline.checks import distribution_checks, output_preflight
from pipeline.checks.data_preflight import DataFacts, check_data
from pipeline.checks.gate_figures import accuracy_gates
from pipeline.config.config_file import ConfigFile
from pipeline.config.pretrained_options import PretrainedOptions
from pipeline.config.problem import Location, Problem
from pipeline.explain.explanation import Candidate, Explainer
from pipeline.plan import data_files, image_folders
from pipeline.plan.node import TRANSFORM
from pipeline.plan.plan import Plan


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
    checks.check_data(whole=plan.example_gen not in cached)
    if any(node.trains and node.id not in cached for node in plan.nodes):
        checks.check_machine()
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
    checks.check_data(whole=True)
    return checks.check_models(list(file.config.candidates)), checks.problems


class _Checks:
    def __init__(self, file: ConfigFile, plan: Plan):
        self.file = file
        self.config = file.config
        self.source = plan.source
        # What the baseline comes from.
        self.origin: Location = ("model", "import" if self.config.model.imported else "module")
        self.transforms = any(node.id == TRANSFORM for node in plan.nodes)
        self.problems: list[Problem] = []
        self.data = DataFacts()
        # What has been checked once, and is the same mistake wherever it stands.
        self.told: set[tuple[str, str]] = set()

    @functools.cached_property
    def explainer(self) -> Explainer:
        """Made when the examples have been counted."""
        return Explainer(self.config, self.data.examples, self.source)

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

    def check_data(self, whole: bool) -> None:
        """Reads files to their ends, checksums included, where `whole`; the first record's features always."""
        self.data, mistakes = check_data(self.config, self.transforms, whole)
        for location, message in mistakes:
            self._add(location, message)

    def check_machine(self) -> None:
        """Whether the devices are there that training is to be distributed among."""
        for location, message in distribution_checks.check_machine(self.config):
            self._add(location, message)

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
            model = self.explainer.baseline()
            self._check_trunk(model)
            return model
        except PretrainedError as error:
            self._add(self._place_of(error.option), str(error))
            return None
        except UserModuleError as error:
            self._add(self.origin, str(error))
            return None

    def _check_trunk(self, model: Any) -> None:
        """Freezes and unfreezes the pretrained layers as training will.

        Raises:
            PretrainedError: Where that does not go.
        """
        trunk = self.explainer.definition.trunk_of(model)
        if trunk is None:
            return
        try:
            stages.check(trunk, self.config.model.train.model_dump(mode="json"))
        finally:
            trunk.release()

    def _place_of(self, option: str) -> Location:
        """Where in the config an option of a pretrained model stands."""
        if not option:
            return ("model", "module")
        if option not in PretrainedOptions.model_fields:
            train = self.config.model.train
            return ("model", "train", "stages") if train.stages else ("model", "train", option)
        return ("model", "pretrained", option)

    def _check_lengths(self, model: Any, where: Location) -> None:
        """Whether each input has its sizes: a file has memory for tensors of fixed sizes."""
        pretrained = self.config.model.pretrained
        for name, tensor in zip(model.input_names, model.inputs, strict=True):
            shape = tuple(tensor.shape[1:])
            if None not in shape:
                continue
            count = (self.data.features or {}).get(name) if not self.transforms else None
            known = math.prod(size for size in shape if size)
            whole = shape.count(None) == 1 and count and known and count % known == 0
            filled = ", ".join(
                str(count // known if whole else "N") if s is None else str(s) for s in shape
            )
            fixed = f"({filled},)" if len(shape) == 1 else f"({filled})"
            how = f"write tf_keras.Input({fixed}, name={name!r}), and fill shorter examples up to that"
            if self.config.model.imported:
                how = f"save the model with an input of shape {fixed}"
            elif pretrained is not None and pretrained.application:
                how = "write input_shape in model.pretrained.options"
            elif pretrained is not None:
                how = f"save the pretrained model with an input of shape {fixed}"
            self._add(
                where,
                f"the model's input {name!r} has shape {shape}, whose None leaves open how many values an example "
                f"has, and TFLite files take a fixed number; {how}",
            )

    def _check_inputs(self, model: Any, where: Location) -> None:
        if (
            self.transforms
            or self.data.features is None
            or not set(features_of(self.config.data.label)) <= set(self.data.features)
        ):
            return
        try:
            fed = match_features(
                list(model.input_names), sorted(self.data.features), self.config.data.label
            )
        except ExamplesError as error:
            self._add(where, self._unfed(model) if self.config.model.imported else str(error))
            return
        for name in sorted(set(fed.values()) & set(self.data.missing)):
            self._add(
                where,
                f"the model's input {name!r} has {self.data.missing[name]}; models take a value in every "
                "example, so fill them in, or write a preprocessing_fn(inputs) that does",
            )
        for name, tensor in zip(model.input_names, model.inputs, strict=True):
            shape, count = tuple(tensor.shape[1:]), self.data.features[fed[name]]
            if count and math.prod(shape) != count:
                self._add(
                    where,
                    f"feature {fed[name]!r} has {count} values in the first record, which do not fit the "
                    f"model's input {name!r} of shape {shape}",
                )

    def _unfed(self, model: Any) -> str:
        """What to write where inputs of an imported model are no features."""
        features = sorted(set(self.data.features or ()) - set(features_of(self.config.data.label)))
        named = {new: name for name, new in self.config.model.imported.inputs.items()}
        missing = [named.get(name, name) for name in model.input_names if name not in features]
        return (
            f"the model's inputs are {[named.get(name, name) for name in model.input_names]} and the features of "
            f"the data {features}; write which feature feeds each: "
            f"inputs: {{{', '.join(f'{name}: …' for name in missing)}}}"
        )

    def _check_label(self, model: Any, where: Location) -> None:
        """Whether the model has an output for each class, and its loss takes class weights."""
        data = self.config.data
        if len(model.outputs) != 1:  # for which classes and weights of classes are refused
            return
        names: list[str] = list(data.classes or ())
        if data.format == "images":
            names = image_folders.classes(data, data_files.trained_files(data))
        try:
            if names:
                vocabulary.refuse_other_outputs(names, model.output_shape)
        except VocabularyError as error:
            self._add(where, str(error))
        try:
            if data.class_weights is not None:
                class_weights.refuse_other_tasks(model)
        except ClassWeightsError as error:
            self._add(("data", "class_weights"), str(error))

    def _label_widths(self) -> dict[str, int]:
        """Label → number of its values in an example, as far as that is known before the run."""
        if self.transforms or self.data.features is None:
            return {}
        labels = features_of(self.config.data.label)
        return {name: self.data.features[name] for name in labels if self.data.features.get(name)}

    def _check_baseline(self, model: Any) -> bool:
        """Whether the baseline can be trained, converted and judged at all."""
        where = self.origin
        made = "the imported model is one" if self.config.model.imported else "build_model returned a model"
        before = len(self.problems)
        try:
            refuse_changed_names(model.input_names)
        except ExamplesError as error:
            self._add(where, str(error))
            return False
        self._check_lengths(model, where)
        if len(self.problems) > before:
            return False  # what TFLite says would be about the same mistake
        self._check_inputs(model, where)
        self._check_label(model, where)
        for location, message in output_preflight.mistakes(
            self.config, model, self._label_widths(), where, made
        ):
            self._add(location, message)
        try:
            self.explainer.workshop.float_file(model)
        except ConversionError as error:
            what = "imported model" if self.config.model.imported else "model that build_model returns"
            self._add(where, f"TFLite cannot hold the {what}: {reason(error)}")
        return len(self.problems) == before

    def check_metric(self) -> None:
        """Lets TFMA build the metric."""
        from tensorflow_model_analysis.metrics import metric_specs

        from components.evaluator import accuracy

        for at, gate in accuracy_gates(self.config.gate):
            try:
                config = accuracy.eval_config([gate], self.config.data.label)
                metric_specs.to_computations(config.metrics_specs, eval_config=config)
            except Exception as error:  # the metric's constructor may raise anything
                self._add(
                    (*at, "metric"),
                    f"TFMA cannot build {gate.metric}({json.dumps(gate.config)}): {describe(error)}",
                )
