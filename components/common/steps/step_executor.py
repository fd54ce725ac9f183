"""Shared code of the executors of all steps."""

from __future__ import annotations

import abc
import json
import math
import os
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar

import tf_keras
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes
from components.common.base.distribution_options import is_chief, role
from components.common.base.label import from_parameter
from components.common.base.step_options import StepOptions, distribution_of
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import Facts
from components.common.training import seeding

AnyOptions = TypeVar("AnyOptions", bound=StepOptions)


@dataclass(frozen=True)
class StepJob(Generic[AnyOptions]):
    """The work of a step.

    Attributes:
        base_model: Folder of the `Model` artifact to begin with.
        output: Folder of the `Model` artifact to write.
        options: The step's options.
        examples: The examples, `train` and `eval` splits.
        definition: Where the config's models come from.
        seed: Seed of everything random: the step's own, or that of the run.
        teacher: Folder of the `Model` artifact of the baseline, if the base model is another one.
        federated: How clients train it, as JSON of components.federated_trainer.params.OfSteps; empty if they do not.
    """

    base_model: str
    output: str
    options: AnyOptions
    examples: Examples
    definition: ModelDefinition
    seed: int
    teacher: str = ""
    federated: str = ""

    def load_base_model(self) -> Any:
        """The model to begin with, freshly loaded."""
        return self._load(self.base_model)

    def baseline(self) -> str:
        """Folder of the baseline's `Model` artifact, if the step has a teacher or is the first of its chain."""
        return self.teacher or self.base_model

    def load_baseline(self) -> Any:
        """The baseline, freshly loaded."""
        return self._load(self.baseline())

    def _load(self, uri: str) -> Any:
        """Loads the Keras model of an artifact.

        The user's module comes first: if this process has not built the model itself, nothing has
        registered its custom layers.
        """
        with tf_keras.utils.custom_object_scope(self.definition.custom_objects()):
            return model_files.load(uri)

    def reference_model(self) -> Any:
        """The user's model, freshly built; training uses its loss, metrics and optimizer."""
        return self.definition.build()


class StepExecutor(base_executor.BaseExecutor, abc.ABC, Generic[AnyOptions]):
    """Turns TFX's dictionaries into a `StepJob`, and a step's facts into custom properties.

    Attributes:
        OPTIONS: The model that the node's `params` are read by.
    """

    OPTIONS: ClassVar[type[StepOptions]]

    @abc.abstractmethod
    def run(self, job: StepJob[AnyOptions]) -> Facts:
        """Does the step's work and returns facts about the model that it wrote."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Runs the step.

        Args:
            input_dict: `base_model` (Model), `examples` (Examples), `schema` (Schema) and, if the
                data were transformed, `transform_graph` (TransformGraph); `teacher` (Model), the baseline, if the
                step learns from it and begins with another model.
            output_dict: `model` (Model); its custom properties are set to the facts, and `files` to the
                SHA-256 of each of the model's files.
            exec_properties: As `StepSpec.PARAMETERS`.
        """
        output = artifact_utils.get_single_instance(output_dict["model"])
        options = self.OPTIONS.from_canonical(exec_properties["params"])
        seed = seeding.seed_of(options, exec_properties["seed"])
        seeding.seed_everything(seed)
        job = StepJob(
            base_model=artifact_utils.get_single_uri(input_dict["base_model"]),
            output=output.uri,
            options=options,
            examples=examples_of(input_dict, exec_properties["label"], exec_properties["label_options"]),
            definition=ModelDefinition(
                module=exec_properties["model_module"],
                hparams=json.loads(exec_properties["hparams"]),
                source=json.loads(exec_properties["model_source"]),
            ),
            seed=seed,
            teacher=artifact_utils.get_single_uri(input_dict["teacher"]) if "teacher" in input_dict else "",
            federated=exec_properties.get("federated") or "",
        )
        asked = distribution_of(options)
        if asked.alone():
            facts = _run(self, job)
        else:
            # Here, so that a change of distributed training does not rerun other steps: plan.code_version.
            from components.common.training import distributed

            arguments = {"executor": type(self), "job": job, "output": job.output}
            facts = distributed.perform(asked, _run_in_process, arguments, written=("output",))
            if asked.processes() and not is_chief(os.environ):
                set_properties(output, {**facts, "cluster_task": role(os.environ)})
                return
        digests = file_hashes.model_digests(output.uri)
        set_properties(output, {**facts, file_hashes.FILES: file_hashes.as_property(digests)})


def _run(executor: StepExecutor[Any], job: StepJob[Any]) -> Facts:
    # Layers are made again from their configs, which may name what the user's module defines.
    with tf_keras.utils.custom_object_scope(job.definition.custom_objects()):
        return executor.run(job)


def _run_in_process(executor: type[StepExecutor[Any]], job: StepJob[Any], output: str) -> Facts:
    """Runs a step in what may be another process, which writes to another folder."""
    seeding.seed_everything(job.seed)
    return _run(executor(), replace(job, output=output))


def examples_of(input_dict: dict[str, list[Any]], label: str, label_options: str) -> Examples:
    """The examples among a node's inputs, read by the schema that fits them.

    Args:
        input_dict: `examples`, `schema` and, if the data were transformed, `transform_graph`.
        label: The feature that the model predicts.
        label_options: JSON, as `label_fields` takes it.
    """
    graph = input_dict.get("transform_graph")
    return Examples(
        uri=artifact_utils.get_single_uri(input_dict["examples"]),
        schema_uri=artifact_utils.get_single_uri(input_dict["schema"]),
        transform_uri=artifact_utils.get_single_uri(graph) if graph else None,
        label=from_parameter(label),
        **label_fields(label_options),
    )


def label_fields(label_options: str) -> dict[str, Any]:
    """Fields of `Examples` that say how to read them, from JSON.

    These are `classes` (list or null), `class_weights` and, if it is not left to the memory that there is, `in_memory`.
    """
    options = json.loads(label_options)
    return {
        "classes": tuple(options["classes"] or ()),
        "class_weights": options["class_weights"],
        "in_memory": options.get("in_memory"),
    }


def set_properties(artifact: Any, facts: Facts) -> None:
    """Sets facts as custom properties, which lineage shows and queries.

    NaN and infinity are left out: ML Metadata writes them into its SQL as they are, which ends the run.
    """
    for name, value in facts.items():
        if isinstance(value, str):
            artifact.set_string_custom_property(name, value)
        elif isinstance(value, int):
            artifact.set_int_custom_property(name, int(value))
        elif math.isfinite(value):
            artifact.set_float_custom_property(name, float(value))
