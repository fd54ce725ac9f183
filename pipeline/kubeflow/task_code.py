"""Whether an image has the code that a pipeline was compiled with."""

from __future__ import annotations

import json
from typing import Any

from pipeline.kubeflow.executor_input import InvalidTask
from pipeline.plan.code_version import component_version, is_distributed


def refuse_other_code(executor: str, parameters: dict[str, Any]) -> None:
    """Refuses to run other code than the pipeline was compiled with.

    The version of the code is part of the cache key: results of other code would be reused under it for good.

    Args:
        executor: Path of the executor's class.
        parameters: The node's.

    Raises:
        InvalidTask: If the image has other code, or other versions of the packages that do the work.
    """
    # A node of TFX has one parameter for everything of ours.
    ours = parameters if "code_version" in parameters else custom_config(parameters)
    wanted = ours.get("code_version")
    if wanted is None:
        return
    module = executor.rpartition(".")[0]
    kept = json.loads(ours.get("code_modules") or "[]")
    found = component_version(module, is_distributed(ours.get("params") or "{}"), kept=tuple(kept))
    if wanted != found:
        raise InvalidTask(
            f"the image has version {found} of {module}, but the pipeline was compiled with {wanted}; rebuild the "
            "image from the same sources and lock file, or compile again with those of the image"
        )


def custom_config(parameters: dict[str, Any]) -> dict[str, Any]:
    """A node's `custom_config`; empty if it has none, which TFX writes as null."""
    return json.loads(parameters.get("custom_config") or "null") or {}
