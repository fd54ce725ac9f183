"""Text in columns of numbers if a preprocessing_fn reads them: whether it can."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tensorflow as tf

from components.common.base.errors import describe
from components.common.base.interruption import Interrupted
from components.common.models import user_module
from components.common.models.user_module import UserModuleError
from pipeline.checks.data_preflight import DataFacts
from pipeline.checks.table import FLOAT, INTEGER
from pipeline.config.problem import Problem

_DTYPES = {INTEGER: tf.int64, FLOAT: tf.float32}


def check(module: str, facts: DataFacts) -> Iterator[Problem]:
    """Refuses columns of numbers and text if the module's preprocessing_fn takes the numbers, and not the text.

    Args:
        module: The model module.
        facts: Facts of the data.
    """
    if not facts.odd_cells:
        return
    try:
        function: Callable[..., Any] = user_module.load(module).preprocessing_fn
    except (UserModuleError, AttributeError):
        return  # which other checks report
    numbers = dict.fromkeys(facts.odd_cells, FLOAT)
    if _fault(function, facts, numbers):
        return
    for name, odd in facts.odd_cells.items():
        fault = _fault(function, facts, {other: kind for other, kind in numbers.items() if other != name})
        if fault:
            yield Problem(
                f"feature {name!r} has {odd.in_words()}, so all of it is text, and preprocessing_fn takes numbers "
                f"({fault}); {odd.fix()}",
                ("data", "path"),
            )


def _fault(function: Callable[..., Any], facts: DataFacts, kinds: Mapping[str, str]) -> str:
    """The error of a preprocessing_fn if columns have these types and the others their own; empty if there is none."""
    import tensorflow_transform as tft

    specs = {}
    for name, count in (facts.features or {}).items():
        dtype = _DTYPES.get(kinds.get(name, facts.kinds.get(name, "")), tf.string)
        gaps = name in facts.missing or name in facts.ragged
        specs[name] = (
            tf.SparseTensorSpec([None, None], dtype) if gaps else tf.TensorSpec([None, count], dtype)
        )
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        tft.get_transform_input_columns(function, specs)
    except Interrupted:
        raise
    except Exception as error:  # a user's function may raise anything
        return describe(error).splitlines()[0]
    finally:
        logger.setLevel(level)
    return ""
