"""TFMOT, imported without Keras 3.

TFMOT works with `tf_keras`. It also tries to import a module of `keras` that Keras 3 does not have, and works without
it. The attempt alone would import Keras 3, scikit-learn and IPython, which takes a quarter of TensorFlow's own time.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import cast


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Lets no import find a package, unless it is imported already."""
    if package in sys.modules:
        yield
        return
    # https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules[package] = cast(ModuleType, None)
    try:
        yield
    finally:
        del sys.modules[package]


with _without("keras"):
    import tensorflow_model_optimization as tfmot

__all__ = ["tfmot"]
