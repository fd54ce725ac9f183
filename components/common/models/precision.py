"""Mixed precision: layers compute in 16 bits while training, if the devices are faster at it.

Micikevicius et al., "Mixed Precision Training" (2018), https://arxiv.org/abs/1710.03740;
https://www.tensorflow.org/guide/mixed_precision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import ParedownError

FLOAT32 = "float32"
# Policy → types of devices that have arithmetic for it.
_DEVICES = {"mixed_float16": ("GPU",), "mixed_bfloat16": ("GPU", "TPU")}


class PrecisionError(ParedownError):
    """A model trained in mixed precision has layers that cannot be taken back to float32."""


def usable(asked: str) -> str:
    """The policy to train with: the one that is asked for, if a device has arithmetic for it."""
    found = {device.device_type for device in tf.config.list_physical_devices()}
    found |= {
        device.device_type for device in tf.config.list_logical_devices()
    }  # a TPU is not a physical one
    return asked if asked == FLOAT32 or found.intersection(_DEVICES[asked]) else FLOAT32


def note(asked: str, used: str) -> str:
    """Why a policy is not used; empty if it is."""
    if asked == used:
        return ""
    return (
        f"precision {asked} needs a {' or '.join(_DEVICES[asked])}, and there is none: training in {used}"
    )


@contextmanager
def policy(name: str) -> Iterator[None]:
    """Lets models that are built inside compute in a policy of Keras's, and scale their loss if need be."""
    before = tf_keras.mixed_precision.global_policy()
    tf_keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf_keras.mixed_precision.set_global_policy(before)


def plain_optimizer(optimizer: Any) -> Any:
    """The optimizer itself, out of what Keras scales the loss with."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def in_float32(model: tf_keras.Model, custom_objects: Mapping[str, Any]) -> tf_keras.Model:
    """The same model with the same weights, of which all layers compute in float32; not compiled.

    Args:
        model: Functional or Sequential.
        custom_objects: The user's layers and functions, by name.

    Raises:
        PrecisionError: If a layer keeps to another type.
    """
    with tf_keras.utils.custom_object_scope(dict(custom_objects)):
        plain = type(model).from_config(_without_policies(model.get_config()))
    plain.set_weights(model.get_weights())
    for layer in plain._flatten_layers(include_self=False, recursive=True):
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise PrecisionError(
                f"layer {layer.name} computes in {layer.compute_dtype} by itself; remove its dtype, so that "
                "train.precision sets it"
            )
    return plain


def _without_policies(config: Any) -> Any:
    """A config in which every mixed policy is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "Policy" and config.get("config", {}).get("name") in _DEVICES:
            return FLOAT32
        return {key: _without_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_without_policies(value) for value in config)
    return FLOAT32 if isinstance(config, str) and config in _DEVICES else config
