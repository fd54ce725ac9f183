"""The TFX node that trains the baseline."""

from __future__ import annotations

from tfx.components.trainer import component as tfx_component
from tfx.dsl.components.base import executor_spec

from components.trainer import executor


class Trainer(tfx_component.Trainer):
    """TFX's Trainer with an executor of our own.

    Its `custom_config` holds `code_version`, which is in the cache key.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
