"""The Trainer's executor, whose model also gets the figures of its clients."""

from __future__ import annotations

from typing import Any

from tfx.types import artifact_utils

from components.common.steps.step_executor import set_properties
from components.federated_trainer.run_fn import record_at
from components.trainer import executor


class Executor(executor.Executor):
    """Calls `run_fn`, as the Trainer's executor does."""

    def Do(
        self,
        input_dict: dict[str, list[Any]],
        output_dict: dict[str, list[Any]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Trains the baseline.

        Args:
            input_dict: As components.trainer.executor has them.
            output_dict: The same; `model` also has the custom properties of `FederatedRecord`.
            exec_properties: `run_fn` and `custom_config`, which components.federated_trainer.run_fn describes.
        """
        super().Do(input_dict, output_dict, exec_properties)
        model = artifact_utils.get_single_instance(output_dict["model"])
        set_properties(model, record_at(model.uri).properties())
