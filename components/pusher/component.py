"""The TFX node that pushes the selected model."""

from __future__ import annotations

from tfx.components.pusher import component as tfx_component
from tfx.dsl.components.base import executor_spec

from components.pusher import executor


class Pusher(tfx_component.Pusher):
    """TFX's Pusher with an executor of our own.

    Its `custom_config` holds `code_version`, which is in the cache key.
    """

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
