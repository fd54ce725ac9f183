"""Predicts the eval split by the baseline."""

from __future__ import annotations

import json
import os
from typing import Any

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from components.common.base import runtime
from components.common.base.label import from_parameter
from components.common.data.examples import Examples
from components.common.steps.step_executor import examples_of
from components.predictor.baseline import predict_baseline


class Executor(base_executor.BaseExecutor):
    """Runs `predict_baseline`."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Predicts.

        Args:
            input_dict: `model` (Model), `examples` (Examples), `schema` (Schema) and, if the data were transformed,
                `transform_graph` (TransformGraph) and `raw_examples` (Examples), those before.
            output_dict: `predictions` (BaselinePredictions).
            exec_properties: `features` (JSON list), those that slices are named by; `label`, `label_options` (JSON);
                `runtime` (JSON), if it is not LiteRT.
        """
        made = artifact_utils.get_single_instance(output_dict["predictions"])
        os.makedirs(made.uri, exist_ok=True)
        label = exec_properties["label"]
        raw = input_dict.get("raw_examples")
        schema = artifact_utils.get_single_uri(input_dict["schema"])
        predict_baseline(
            model=artifact_utils.get_single_uri(input_dict["model"]),
            examples=examples_of(input_dict, label, exec_properties["label_options"]),
            features=json.loads(exec_properties["features"]),
            output=made.uri,
            raw_examples=(
                Examples(artifact_utils.get_single_uri(raw), schema, None, from_parameter(label))
                if raw
                else None
            ),
            runtime=runtime.from_parameter(exec_properties.get("runtime")),
        )
