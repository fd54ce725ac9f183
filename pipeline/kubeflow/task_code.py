"""Whether an image has the code that a pipeline was compiled with."""

from __future__ import annotations

from typing import Any

from pipeline.kubeflow.executor_input import InvalidTask
from pipeline.plan import node_code


def refuse_other_code(executor: str, parameters: dict[str, Any]) -> None:
    """Refuses to run other code than the pipeline was compiled with.

    The version of the code is part of the cache key: results of other code would be reused under it for good.

    Args:
        executor: Path of the executor's class.
        parameters: The node's.

    Raises:
        InvalidTask: If the image has other code, or other versions of the packages that do the work.
    """
    module = executor.rpartition(".")[0]
    wanted, found = node_code.versions(module, parameters) or ("", "")
    if wanted != found:
        raise InvalidTask(
            f"the image has version {found} of {module}, but the pipeline was compiled with {wanted}; rebuild the "
            "image from the same sources and lock file, or compile again with those of the image"
        )
