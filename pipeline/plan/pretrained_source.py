"""The parameters of nodes for `model.pretrained`. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import json
from typing import Any

from pipeline.config.pretrained_options import PretrainedOptions


def pretrained_source(options: PretrainedOptions | None) -> dict[str, Any]:
    """The part of `ModelDefinition.source` that says with which pretrained model training begins.

    Args:
        options: As in the config.

    Returns:
        `pretrained` → its options and the SHA-256 of its file or folder, which thus are in the cache key. Empty if
        there is no pretrained model.

    Raises:
        ModelFormatError: If there is no such file, which checks refuse earlier.
    """
    if options is None:
        return {}
    file = options.file()
    digest = ""
    if file:
        from components.common.models import model_format  # reads HDF5, which takes half a second to import

        digest = model_format.digest(file)
    return {"pretrained": {**json.loads(options.model_dump_json()), "file": file or "", "sha256": digest}}
