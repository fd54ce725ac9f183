"""Python's collector of garbage, which looks at all objects again and again while modules are imported.

Importing makes many objects and hardly any garbage: with Python's threshold of 700, a quarter of the time of importing
TensorFlow and TFX is spent on looking for it.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def look_seldom(objects: int = 50_000) -> None:
    """From now on the collector looks at new objects when they are many.

    Args:
        objects: How many. Of 50,000, a training's memory does not grow; a command that makes tables takes a tenth less
            time if there are never that many.
    """
    gc.set_threshold(objects, 20, 20)


def collect() -> None:
    """Collects all garbage. What is left the first time, mostly modules, is never looked at again.

    A trained Keras model and what Keras made of its examples hold each other in circles, hundreds of megabytes that
    would stay until the collector looks at everything.
    """
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()


@contextmanager
def looking_seldom() -> Iterator[None]:
    """The same until the end of the block, in a process that is not ours."""
    before = gc.get_threshold()
    look_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)


@contextmanager
def importing() -> Iterator[None]:
    """Looks for no garbage until the end of the block, which imports; what it made is never looked at again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
