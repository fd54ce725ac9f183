"""Settings that must exist before TensorFlow is imported."""

from __future__ import annotations

import os
import sys

from pipeline.config.config_file import ConfigFile
from pipeline.plan.code_version import module_root
from pipeline.plan.model_source import find_module


def prepare() -> None:
    """Sets the environment. Keeps existing settings, except the Keras version."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFMOT refuses Keras 3 models
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    if "tensorflow" in sys.modules and "tf_keras" not in sys.modules:
        raise RuntimeError("TensorFlow was imported before TF_USE_LEGACY_KERAS=1 was set")


def prepare_for(file: ConfigFile) -> None:
    """Sets the environment, and lets Python import the config's model module ahead of others of its name."""
    prepare()
    module = file.config.model.module
    if module is None:
        return
    found = find_module(module, file.path)
    assert found is not None  # pipeline.checks.config_checks refuses it otherwise
    folder = str(module_root(found, module))
    if sys.path[:1] != [folder]:
        sys.path.insert(0, folder)


def tensorflow_is_used() -> bool:
    """Whether TensorFlow has executed something in this process, which cannot be forked then."""
    import tensorflow as tf

    threads = tf.config.threading.get_inter_op_parallelism_threads()
    try:
        tf.config.threading.set_inter_op_parallelism_threads(threads + 1)
    except RuntimeError:  # "cannot be modified after initialization"
        return True
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return False
