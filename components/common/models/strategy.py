"""Models and the scope of a distribution strategy."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import tensorflow as tf

Result = TypeVar("Result")


def in_scope() -> bool:
    """Whether there is a strategy."""
    return bool(tf.distribute.has_strategy())


def replicas() -> int:
    """Replicas among which the strategy in scope divides each batch; 1 if there is none."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def asynchronous() -> bool:
    """Whether workers take steps by themselves (parameter servers): batches and callbacks have no order."""
    return isinstance(tf.distribute.get_strategy(), tf.distribute.ParameterServerStrategy)


def outside(function: Callable[..., Result], *arguments: Any) -> Result:
    """Calls a function outside of the scope of any strategy: its models are those of a plain process.

    A scope can neither be left for a while nor hold the default strategy's; but it is its thread's alone.
    """
    if not in_scope():
        return function(*arguments)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function, *arguments).result()
