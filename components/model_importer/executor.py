"""Importing an existing model."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tf_keras
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes
from components.common.data.arrays import Arrays
from components.common.data.examples import Examples
from components.common.models import imported_model, model_files, output_kind, saved_models
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import Facts, StepRecord
from components.common.models.saved_models import SavedModelError
from components.common.models.user_module import UserModuleError
from components.common.steps.step_executor import examples_of, set_properties

# Examples that the model is tried on.
_TRIED = 100


def import_model(definition: ModelDefinition, examples: Examples, output: str) -> Facts:
    """Writes an existing model into the folder of a `Model` artifact, as the Trainer does its own.

    A SavedModel without layers has no Keras model, so that steps that train have nothing to load.

    Args:
        definition: Its source says which model; its module defines custom layers, and builds the model if
            weights alone are imported.
        examples: `eval` split, on some of which the model is tried.
        output: The folder.

    Returns:
        Facts for lineage: `format`, `parameters`, `source_path`, and `source_sha256`.

    Raises:
        UserModuleError: If the model or the module cannot be used.
        ExamplesError: If the examples do not fit the model.
    """
    source = definition.source[imported_model.KEY]
    with tf_keras.utils.custom_object_scope(definition.custom_objects()):
        model = definition.build(compiled=False)
        specs = model_files.input_specs(model, list(examples.feature_spec()), examples.label)
        _try(model, examples.load("eval", specs), source["path"])
        record = StepRecord(logits=_logits(definition, model))
        if saved_models.holds_layers(model):
            model_files.save(model, output, list(specs), record)
        else:
            model_files.save_serving(model, model_files.serving_dir(output), list(specs))
            record.write(output)
    return {
        "format": source["format"],
        "parameters": int(model.count_params()),
        "source_path": source["path"],
        "source_sha256": source["sha256"],
    }


def _logits(definition: ModelDefinition, model: tf_keras.Model) -> dict[str, str]:
    """The outputs that are logits, as far as the model was compiled or the module says how to compile it."""
    try:
        compiled = definition.build()
    except UserModuleError:
        return {}
    return output_kind.logits(model, compiled)


def _try(model: tf_keras.Model, evaluation: Arrays, path: str) -> None:
    """Computes some predictions."""
    some = evaluation.take(np.arange(min(_TRIED, len(evaluation))))
    outputs = model(list(some.features.values()), training=False)
    for name, values in zip(
        model.output_names, outputs if isinstance(outputs, list) else [outputs], strict=True
    ):
        if not np.all(np.isfinite(np.asarray(values, np.float64))):
            raise SavedModelError(
                f"{path} gives outputs {name!r} that are not numbers (NaN or infinite) on examples of the eval "
                "split; check that the features are scaled as in its training"
            )


class Executor(base_executor.BaseExecutor):
    """Runs `import_model`."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Imports the model.

        Args:
            input_dict: `examples` (Examples), `schema` (Schema) and, if the data were transformed,
                `transform_graph` (TransformGraph).
            output_dict: `model` (Model); its custom properties are set to the facts, and `files` to the
                SHA-256 of each of the model's files.
            exec_properties: As `ModelImporterSpec.PARAMETERS`.
        """
        output = artifact_utils.get_single_instance(output_dict["model"])
        definition = ModelDefinition(
            module=exec_properties["model_module"],
            hparams=json.loads(exec_properties["hparams"]),
            source=json.loads(exec_properties["model_source"]),
        )
        examples = examples_of(input_dict, exec_properties["label"], exec_properties["label_options"])
        facts = import_model(definition, examples, output.uri)
        digests = file_hashes.model_digests(output.uri)
        set_properties(output, {**facts, file_hashes.FILES: file_hashes.as_property(digests)})
