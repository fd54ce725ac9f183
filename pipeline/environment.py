"""What has to be set before TensorFlow is imported."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.plan.code_version import module_root


def prepare() -> None:
    """Sets the environment. Settings that are there already are kept, but for the Keras version."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFMOT refuses Keras 3 models
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "tensorflow" in sys.modules and "tf_keras" not in sys.modules:
        raise RuntimeError("TensorFlow was imported before TF_USE_LEGACY_KERAS=1 was set")


def make_importable(module_file: Path, module: str) -> None:
    """Lets Python import a model module from where it was found, ahead of others of its name."""
    folder = module_root(module_file, module)
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
