"""Keras 3 models as models of tf_keras, which TFMOT can optimize: converted layer by layer, with weights.

A layer is converted if tf_keras has one of the same name and options, and if the whole model then gives the same
predictions as before. https://keras.io/keras_3 lists where the two differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

# Largest difference between two outputs, as a share of the larger one, or absolute if they are small: float32 sums in
# another order.
_TOLERANCE = 1e-4
# Examples that both models are called with.
_TRIED = 8
# Weights are copied, so their initializers do not matter.
_LEFT_OUT = ("_initializer",)
# Options that tf_keras has by another name.
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}
# Every layer takes these.
_ALWAYS = frozenset({"name", "trainable", "dtype"})
_MODELS = ("Functional", "Sequential", "Model")

Tensors = dict[tuple[str, int, int], Any]


class Keras3Error(Exception):
    """A Keras 3 model has no equivalent in tf_keras; the message names the layer and says what to do."""


def is_keras_3(model: object) -> bool:
    """Whether an object is a model of Keras 3, or of a class derived from one. Imports nothing."""
    return any(
        base.__module__.partition(".")[0] == "keras" and base.__name__ == "Model"
        for base in type(model).__mro__
    )


def load(path: str, compiled: bool = False) -> tf_keras.Model:
    """Loads a `.keras` file of Keras 3 and converts it.

    Args:
        path: The file.
        compiled: Whether to compile it as it was when it was saved, if it was.

    Raises:
        Keras3Error: If it cannot be converted.
        ValueError: Or another error of Keras, if the file does not load.
    """
    import keras  # takes seconds, and few need it

    model = tf.autograph.experimental.do_not_convert(keras.models.load_model)(
        path, compile=compiled, safe_mode=True
    )
    return convert(model, compiled)


def convert(model: Any, compiled: bool = True) -> tf_keras.Model:
    """Converts a Keras 3 model.

    Args:
        model: Functional or Sequential, built.
        compiled: Whether to compile the new model as `model` is, if it is.

    Returns:
        A model of tf_keras with the same layers, names, weights and predictions.

    Raises:
        Keras3Error: If a layer, or the optimizer, loss or a metric, has no equivalent.
    """
    kind = type(model).__name__
    if kind not in _MODELS or not _is_kerass(type(model).__module__):
        raise Keras3Error(
            f"is a subclassed Keras 3 model ({kind}), whose layers cannot be converted; build it with the "
            "functional API"
        )
    if not model.built or not getattr(model, "inputs", None):
        raise Keras3Error("is of Keras 3 and has unknown input shapes; begin it with keras.layers.Input")
    converted = _model(_with_input(model.get_config(), model), "")
    _copy_weights(model, converted, "")
    _compare(model, converted)
    if compiled and model.compiled and (settings := model.get_compile_config()):
        converted.compile(**_compile_arguments(settings))
    return converted


def _is_kerass(module: object) -> bool:
    return str(module).partition(".")[0] == "keras"


def _with_input(config: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """The config of a Sequential model always with its input's layer, which it may lack."""
    if type(model).__name__ != "Sequential" or config["layers"][0]["class_name"] == "InputLayer":
        return dict(config)
    (tensor,) = model.inputs
    options = {"batch_shape": tensor.shape, "dtype": tensor.dtype, "name": tensor.name}
    entry = {"module": "keras.layers", "class_name": "InputLayer", "config": options}
    return {**config, "layers": [entry, *config["layers"]]}


def _model(config: Mapping[str, Any], prefix: str) -> tf_keras.Model:
    """Builds a model of a Keras 3 config; `prefix` names the models that hold it."""
    name, entries = config["name"], config["layers"]
    if "input_layers" not in config:
        return _sequential(name, entries, prefix)
    tensors: Tensors = {}
    waiting = []
    for entry in entries:
        own = entry["config"]["name"]
        if entry["class_name"] == "InputLayer":
            tensors[(own, 0, 0)] = _input(entry["config"])
        else:
            layer = _layer(entry, prefix)
            waiting += [(own, layer, number, node) for number, node in enumerate(entry["inbound_nodes"])]
    while waiting:
        later = []
        for own, layer, number, node in waiting:
            if not _keys(node) <= tensors.keys():
                later.append((own, layer, number, node))
                continue
            arguments = [_filled(value, tensors) for value in node["args"]]
            keywords = {key: value for key, value in node["kwargs"].items() if value is not None}
            try:
                outputs = layer(*arguments, **_filled(keywords, tensors))
            except (TypeError, ValueError) as error:
                raise Keras3Error(_unlike(prefix + own, type(layer).__name__, str(error))) from error
            for position, output in enumerate(tf.nest.flatten(outputs)):
                tensors[(own, number, position)] = output
        if len(later) == len(waiting):
            raise Keras3Error("is of Keras 3 and has layers whose inputs are not in it; save it again")
        waiting = later
    inputs = [tensors[key] for key in _ends(config["input_layers"])]
    outputs = [tensors[key] for key in _ends(config["output_layers"])]
    return tf_keras.Model(
        inputs[0] if len(inputs) == 1 else inputs, outputs[0] if len(outputs) == 1 else outputs, name=name
    )


def _sequential(name: str, entries: list[dict[str, Any]], prefix: str) -> tf_keras.Model:
    layers = [
        _input(entry["config"]) if entry["class_name"] == "InputLayer" else _layer(entry, prefix)
        for entry in entries
    ]
    return tf_keras.Sequential(layers, name=name)


def _input(config: Mapping[str, Any]) -> Any:
    shape = config["batch_shape"]
    return tf_keras.layers.Input(
        tuple(shape[1:]),
        shape[0],
        name=config["name"],
        dtype=_dtype(config["dtype"]),
        sparse=config.get("sparse"),
    )


def _layer(entry: Mapping[str, Any], prefix: str) -> Any:
    """The layer of tf_keras for an entry of a Keras 3 config."""
    kind, config, module = entry["class_name"], entry["config"], entry["module"]
    name = prefix + str(config.get("name", entry.get("name")))
    if kind in _MODELS and isinstance(config.get("layers"), list):
        return _model(config, f"{name}/")
    if module != "keras.layers" or entry.get("registered_name"):
        what = f"{module}.{kind}"
        if str(module).startswith("keras.src.ops"):
            raise Keras3Error(_unlike(name, what, "it is an operation of keras.ops, not a layer"))
        raise Keras3Error(_unlike(name, what, "it is not one of Keras's layers"))
    own = _class(tf_keras, "layers", kind)
    if own is None:
        raise Keras3Error(_unlike(name, f"keras.layers.{kind}", "tf_keras has no layer of this name"))
    try:
        options = _options("layers", kind, config, name)
        # Its from_config wants shapes that Keras 3 does not write.
        return own(**options) if kind == "MultiHeadAttention" else own.from_config(options)
    except (TypeError, ValueError) as error:
        raise Keras3Error(_unlike(name, f"keras.layers.{kind}", str(error))) from error


def _options(group: str, kind: str, config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Options of a class of tf_keras, from those of Keras 3's class of the same name.

    Options that tf_keras's class does not have are left out if they have Keras 3's default.
    """
    import keras

    known = _arguments(_class(tf_keras, group, kind)).keys() | _ALWAYS
    defaults = _arguments(_class(keras, group, kind))
    options = {}
    for key, value in config.items():
        key = _RENAMED.get((kind, key), key)
        if key.endswith(_LEFT_OUT):
            continue
        if key in known:
            options[key] = _dtype(value) if key == "dtype" else _value(value, name)
        elif value and value not in (defaults.get(key), "channels_last"):
            raise Keras3Error(
                _unlike(
                    name, f"keras.{group}.{kind}", f"its option {key}={value} does not exist in tf_keras"
                )
            )
    return options


def _class(package: Any, group: str, kind: str) -> Any:
    """A class of tf_keras or Keras 3 by its module, as "optimizers.schedules", and name; None if there is none."""
    found = package
    for part in (*group.split("."), kind):
        found = getattr(found, part, None)
    return found


def _arguments(kind: type) -> dict[str, Any]:
    """Arguments that a class and those above it take → their defaults; what has none has `Parameter.empty`."""
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        if make := vars(base).get("__init__"):
            parameters = inspect.signature(make).parameters
            found |= {name: parameter.default for name, parameter in parameters.items()}
    return found


def _dtype(value: object) -> object:
    """The name of a type or policy; Keras 3 writes policies as objects."""
    return value["config"]["name"] if isinstance(value, Mapping) else value


def _value(value: Any, name: str) -> Any:
    """A value of a config as tf_keras writes it: objects in it are of classes of tf_keras."""
    if isinstance(value, list | tuple):
        return [_value(one, name) for one in value]
    if not isinstance(value, Mapping):
        return value
    kind, module = value.get("class_name"), str(value.get("module"))
    if kind is None:
        return {key: _value(one, name) for key, one in value.items()}
    if kind == "function":
        return value["config"]
    group = module.removeprefix("keras.")
    if not module.startswith("keras.") or _class(tf_keras, group, kind) is None:
        raise Keras3Error(_unlike(name, f"{module}.{kind}", "tf_keras has none of this name"))
    return {"class_name": kind, "config": _options(group, kind, value["config"], name)}


def _history(value: object) -> tuple[str, int, int] | None:
    """The tensor that a value of a config stands for: layer, call, output."""
    if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
        layer, call, output = value["config"]["keras_history"]
        return str(layer), int(call), int(output)
    return None


def _keys(value: Any) -> set[tuple[str, int, int]]:
    """The tensors in a value of a config."""
    key = _history(value)
    if key:
        return {key}
    inner = (
        list(value.values())
        if isinstance(value, Mapping)
        else value
        if isinstance(value, list | tuple)
        else []
    )
    return set().union(*(_keys(one) for one in inner)) if inner else set()


def _filled(value: Any, tensors: Tensors) -> Any:
    key = _history(value)
    if key:
        return tensors[key]
    if isinstance(value, Mapping):
        return {name: _filled(one, tensors) for name, one in value.items()}
    return [_filled(one, tensors) for one in value] if isinstance(value, list | tuple) else value


def _ends(value: Any) -> list[tuple[str, int, int]]:
    """Inputs or outputs of a model: one, or a list or dict of them."""
    if isinstance(value, Mapping):
        return [key for name in sorted(value) for key in _ends(value[name])]
    if len(value) == 3 and isinstance(value[0], str):
        return [(value[0], int(value[1]), int(value[2]))]
    return [key for one in value for key in _ends(one)]


def _copy_weights(model: Any, converted: tf_keras.Model, prefix: str) -> None:
    own = {layer.name: layer for layer in converted.layers}
    for layer in model.layers:
        target = own.get(layer.name)
        if target is None:  # an input
            continue
        if isinstance(target, tf_keras.Model):
            _copy_weights(layer, target, f"{prefix}{layer.name}/")
            continue
        weights = layer.get_weights()
        expected = [tuple(weight.shape) for weight in target.get_weights()]
        if [tuple(weight.shape) for weight in weights] != expected:
            reason = f"its weights have shapes {[weight.shape for weight in weights]}, and in tf_keras {expected}"
            raise Keras3Error(_unlike(prefix + layer.name, f"keras.layers.{type(layer).__name__}", reason))
        target.set_weights(weights)
        target.trainable = layer.trainable


def _compare(model: Any, converted: tf_keras.Model) -> None:
    """Raises a Keras3Error that names the first layer with other outputs, if the models' outputs differ."""
    import keras

    values = [_some(tensor) for tensor in converted.inputs]

    def differ(own: Any, other: Any) -> bool:
        first, second = (
            [np.asarray(one) for one in tf.nest.flatten(part(values, training=False))]
            for part in (keras.Model(model.inputs, own), tf_keras.Model(converted.inputs, other))
        )
        return any(
            a.shape != b.shape or not np.allclose(a, b, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
            for a, b in zip(first, second, strict=True)
        )

    if not differ(list(model.outputs), list(converted.outputs)):
        return
    for layer in converted.layers:
        if not isinstance(layer, tf_keras.layers.InputLayer) and differ(
            model.get_layer(layer.name).output, layer.output
        ):
            reason = "its outputs differ from those of tf_keras's layer"
            raise Keras3Error(_unlike(layer.name, f"keras.layers.{type(layer).__name__}", reason))
    raise Keras3Error("is of Keras 3 and has other outputs as a model of tf_keras; build it in tf_keras")


def _some(tensor: Any) -> NDArray[Any]:
    """Reproducible values for an input; unknown dimensions are 16."""
    shape = (tensor.shape[0] or _TRIED, *(size or 16 for size in tensor.shape[1:]))
    random = np.random.default_rng(0)
    kind = tensor.dtype.as_numpy_dtype
    if tensor.dtype == tf.string:
        return np.full(shape, b"a", object)
    if tensor.dtype.is_floating:
        return random.normal(size=shape).astype(kind)
    return random.integers(0, 2, shape).astype(kind)


def _compile_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of tf_keras's `compile`, from Keras 3's `get_compile_config`."""
    arguments = {}
    for key in ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics"):
        value = settings.get(key)
        if value is not None:
            arguments[key] = _objects(_value(value, key), key)
    return arguments


def _objects(value: Any, key: str) -> Any:
    """Optimizers, losses and metrics made of their configs, also in lists and dicts."""
    if isinstance(value, list):
        return [_objects(one, key) for one in value]
    if not isinstance(value, Mapping):
        return value
    if "class_name" not in value:
        return {name: _objects(one, key) for name, one in value.items()}
    # `get` would make a legacy optimizer if there are two of a name.
    kind = _class(
        tf_keras, {"optimizer": "optimizers", "loss": "losses"}.get(key, "metrics"), value["class_name"]
    )
    try:
        return kind.from_config(value["config"])
    except (TypeError, ValueError) as error:
        raise Keras3Error(_unlike(key, value["class_name"], str(error))) from error


def _unlike(name: str, kind: str, reason: str) -> str:
    return (
        f"is of Keras 3, and its {name!r} ({kind}) cannot be converted to tf_keras: {' '.join(reason.split())[:200]}; "
        "replace it, or build the model in tf_keras"
    )
