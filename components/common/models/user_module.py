"""The user's model module: building models, and saying what is wrong with one."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import ParedownError, describe
from components.common.base.interruption import Interrupted
from components.common.models import keras_3


class UserModuleError(ParedownError):
    """The user's module cannot be used; the message says what to change."""


def load(module: str) -> ModuleType:
    """Imports the user's module, which also registers the custom layers that are defined in it.

    Raises:
        UserModuleError: If that raises.
    """
    try:
        return importlib.import_module(module)
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:
        raise UserModuleError(f"importing {module} raised {describe(error)}") from error


def custom_objects(module: str) -> dict[str, Any]:
    """Classes and functions that the user's module defines or imports, by name: Keras loads by those."""
    return {name: value for name, value in vars(load(module)).items() if callable(value)}


def build(
    module: str,
    function: str,
    hparams: dict[str, Any],
    compiled: bool = True,
    more: Callable[[], Any] | None = None,
) -> tf_keras.Model:
    """Calls a function of the user's module that builds a model.

    Args:
        module: Dotted name.
        function: `build_model`, or the name of a student's function.
        hparams: Its argument.
        compiled: Whether the model must be compiled.
        more: Makes a second argument for it, in the session in which the model is built.

    Returns:
        The model, built: its input shapes are known. A model of Keras 3 is converted to tf_keras.

    Raises:
        UserModuleError: If the module or function is missing or raises, or returns something else.
    """
    where = f"{module}.{function}"
    loaded = load(module)
    if not callable(getattr(loaded, function, None)):
        raise UserModuleError(f"{module} has no function {function}")
    # Names of layers that the module leaves unnamed, `dense_1`, count what was built before in this
    # process; here they must be the same each time, as patterns and the deployed file go by them.
    _forget_names()
    arguments = [dict(hparams), *([more()] if more else [])]
    try:
        model = getattr(loaded, function)(*arguments)
    except Interrupted:
        raise
    except (Exception, SystemExit) as error:
        given = "hparams, pretrained" if more else "hparams"
        raise UserModuleError(f"{where}({given}) raised {describe(error)}") from error
    if keras_3.is_keras_3(model):
        try:
            model = keras_3.convert(model, compiled)
        except keras_3.Keras3Error as error:
            raise UserModuleError(f"{where} returned a model that {error}") from error
    _refuse_other_things(model, where)
    if compiled and not model._is_compiled:
        raise UserModuleError(
            f"{where} returned a model that is not compiled: call model.compile(optimizer, loss, "
            "metrics) in it"
        )
    if not model.built or not model.inputs:
        raise UserModuleError(
            f"{where} returned a model whose input shapes are unknown: build it with the functional "
            "API, or begin a Sequential model with tf_keras.layers.Input"
        )
    return model


def _forget_names() -> None:
    if tf.distribute.has_strategy():
        # The scope of a strategy belongs to the graph that clear_session replaces.
        tf_keras.backend.reset_uids()
    else:
        tf_keras.backend.clear_session()
        if "keras" in sys.modules:  # a module that builds models of Keras 3 imported it
            # Keras would look through all objects of the process for garbage, which takes half a second.
            sys.modules["keras"].utils.clear_session(free_memory=False)


def _refuse_other_things(model: Any, where: str) -> None:
    if isinstance(model, tf_keras.Model):
        return
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    raise UserModuleError(f"{where} returned {kind}, not a tf_keras.Model")
