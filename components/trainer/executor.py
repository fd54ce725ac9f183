"""TFX's Trainer, whose model is known by its content."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.components.trainer import executor as tfx_executor
from tfx.types import artifact_utils

from components.common.base import file_hashes
from components.common.base.distribution_options import is_chief, role
from components.common.base.step_options import distribution_of
from components.common.data import class_weights
from components.common.steps.step_executor import set_properties
from components.trainer.params import TrainOptions
from components.trainer.run_fn import FACTS_FILE

# Custom property of the model that was trained on a pretrained one: the SHA-256 of that one's file.
PRETRAINED = "pretrained_sha256"


class Executor(tfx_executor.GenericExecutor):
    """Calls `run_fn`, as TFX's own executor; a `run_fn` cannot set properties of the artifact itself."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains the baseline.

        Args:
            input_dict: `examples` (Examples), `schema` (Schema) and, if the data were transformed,
                `transform_graph` (TransformGraph).
            output_dict: `model` (Model), whose custom properties get how it was trained (`distribution`,
                `replicas`, `precision`, `precision_asked`, `class_weights`), `files` the SHA-256 of each of the
                model's files, and `pretrained_sha256` that of the pretrained file, if it began with one; a
                worker of a cluster that is not the first has `cluster_task` in place of all these.
                `model_run` (ModelRun), the learning curves.
            exec_properties: `run_fn` and `custom_config`, which components.trainer.run_fn describes.
        """
        super().Do(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict["model"])
        options = TrainOptions.from_canonical(json.loads(exec_properties["custom_config"])["params"])
        if distribution_of(options).processes() and not is_chief(os.environ):
            set_properties(model, {"cluster_task": role(os.environ)})
            return
        with open(os.path.join(model.uri, FACTS_FILE), encoding="utf-8") as file:
            set_properties(model, json.load(file))
        digests = file_hashes.model_digests(model.uri)
        model.set_string_custom_property(file_hashes.FILES, file_hashes.as_property(digests))
        weights = class_weights.read_fact(model.uri)
        if weights is not None:
            model.set_string_custom_property(class_weights.PROPERTY, weights)
        pretrained = _pretrained(exec_properties["custom_config"])
        if pretrained:
            model.set_string_custom_property(PRETRAINED, pretrained)


def _pretrained(custom_config: str) -> str:
    """SHA-256 of the pretrained file that training began with; empty without one."""
    source = json.loads(json.loads(custom_config)["model_source"])
    return source.get("pretrained", {}).get("sha256", "")
