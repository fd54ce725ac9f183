"""The TFX node that trains the baseline on clients."""

from __future__ import annotations

from tfx.components.trainer import component as tfx_component
from tfx.dsl.components.base import executor_spec

from components.federated_trainer import executor


class FederatedTrainer(tfx_component.Trainer):
    """TFX's Trainer with an executor of our own.

    Its `custom_config` holds `code_version`, which is in the cache key.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
