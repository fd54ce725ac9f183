"""The parameters of nodes for `model.import`. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import os
from typing import Any

from components.model_importer.params import ImportOptions

# Key of `ModelDefinition.source`.
KEY = "import"


def import_source(options: ImportOptions | None) -> dict[str, Any]:
    """The part of `ModelDefinition.source` that says which model is imported.

    Args:
        options: As in the config.

    Returns:
        `import` → path and options, and format and SHA-256 of the file or folder, which thus are in the cache key.
        Empty if no model is imported.

    Raises:
        ModelFormatError: If there is no such model, which checks refuse earlier.
    """
    if options is None:
        return {}
    from components.common.models import model_format  # reads HDF5, which takes a moment to import

    file = options.file()
    return {
        KEY: {
            "path": os.path.abspath(file),
            "kind": options.key(),
            "format": model_format.recognise(file).kind,
            "sha256": model_format.digest(file),
            "signature": options.signature,
            "inputs": dict(options.inputs),
            "safe_mode": options.safe_mode,
        }
    }
