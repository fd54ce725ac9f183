"""Loss, optimizer and metrics of a config in place of those that a model, or its file, is compiled with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tf_keras

from components.common.base.errors import describe
from components.common.models import compilation
from components.common.models.user_module import UserModuleError

# Where `ModelDefinition.source` has them: loss, optimizer and metrics, as the config has them; None if not written.
KEY = "compile"


def compile_with(
    model: tf_keras.Model, options: Mapping[str, Any], custom_objects: Mapping[str, Any]
) -> None:
    """Compiles a model with what a config says, and else as it is compiled.

    Args:
        model: Compiled, or not: it then needs a loss, and gets Keras's Adam if no optimizer is written.
        options: As `KEY` says. What is one thing is a name of Keras's or the module's, or {name: …, argument: …}.
        custom_objects: What the user's module defines, by name.

    Raises:
        UserModuleError: If there is no such loss, optimizer or metric, or it does not take its arguments.
    """
    changes: dict[str, Any] = {}
    with tf_keras.utils.custom_object_scope(dict(custom_objects)):
        if options["loss"] is not None:
            changes["loss"] = _of_outputs(options["loss"], tf_keras.losses.get, "loss")
        if options["metrics"] is not None:
            changes["metrics"] = _of_outputs(options["metrics"], tf_keras.metrics.get, "metrics")
        optimizer = None
        if options["optimizer"] is not None:
            optimizer = _one(options["optimizer"], tf_keras.optimizers.get, "optimizer")
    if model._is_compiled and optimizer is None:
        compilation.compile_like(model, model, **changes)
        return
    kept = model._compile_config.config if model._is_compiled else {}
    model.compile(**{**kept, "optimizer": optimizer or tf_keras.optimizers.Adam(), **changes})


def _of_outputs(asked: Any, get: Callable[[Any], Any], what: str) -> Any:
    """One, a list of them, or output → one or a list of them."""
    if isinstance(asked, list):
        return [_of_outputs(one, get, what) for one in asked]
    if isinstance(asked, Mapping) and "name" not in asked:
        return {output: _of_outputs(one, get, what) for output, one in asked.items()}
    return _one(asked, get, what)


def _one(asked: Any, get: Callable[[Any], Any], what: str) -> Any:
    """The object for a name, or for a name with arguments."""
    if what == "metrics" and asked in ("accuracy", "acc", "crossentropy", "ce"):
        return asked  # Keras chooses by labels and outputs
    arguments = (
        {} if isinstance(asked, str) else {key: value for key, value in asked.items() if key != "name"}
    )
    name = asked if isinstance(asked, str) else asked["name"]
    try:
        found = get(name if not arguments else {"class_name": name, "config": arguments})
        if isinstance(found, str):
            raise ValueError("neither tf_keras nor the module has it")
        return found
    except (ValueError, TypeError) as error:
        raise UserModuleError(f"model.{what}: {name!r} cannot be used: {describe(error)[:200]}") from error
