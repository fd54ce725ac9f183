"""Keras files and SavedModels, loaded with TensorFlow: whatever code is in them runs."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf
import tf_keras

from components.common.base.layer_names import plain_name
from components.common.models import keras_3, model_format, saved_models
from pipeline.inspection import weights
from pipeline.inspection.contents import (
    KERAS,
    PLUMBING,
    SAVED_MODEL,
    Inspection,
    InspectionError,
    Port,
    Signature,
    sizes,
    sorted_counts,
)

Loaded = TypeVar("Loaded")


def inspect_keras(path: Path) -> Inspection:
    """Loads a Keras file; it may have TFMOT's wrappers.

    Raises:
        InspectionError: If it does not load.
    """
    model = _load(lambda: _load_keras(path))
    signature = Signature(
        {name: _port(tensor) for name, tensor in zip(model.input_names, model.inputs, strict=True)},
        {
            plain_name(name): _port(tensor)
            for name, tensor in zip(model.output_names, model.outputs, strict=True)
        },
    )
    layers = list(_leaves(model))
    read = [(name, layer, weights.own(map(_weight, layer.weights))) for name, layer in layers]
    shared = {id(v): v for _, layer in layers for v in layer.weights}
    return Inspection(
        str(path),
        KERAS,
        *sizes(path),
        parameters=weights.count(weights.own(map(_weight, shared.values()))),
        signatures={"call": signature},
        operators=sorted_counts(type(_inside(layer)).__name__ for _, layer in layers),
        layers=[
            weights.layer(name, type(_inside(layer)).__name__, own) for name, layer, own in read if own
        ],
    )


def inspect_saved_model(path: Path) -> Inspection:
    """Loads a SavedModel.

    Raises:
        InspectionError: If it does not load.
    """
    loaded = _load(lambda: tf.saved_model.load(str(path)))
    variables = {id(v): v for f in loaded.signatures.values() for v in f.variables}
    if not variables:
        variables = {id(v): v for v in getattr(loaded, "variables", [])}
    layers = weights.by_scope(map(_weight, variables.values()))
    return Inspection(
        str(path),
        SAVED_MODEL,
        *sizes(path),
        parameters=sum(layer.parameters for layer in layers),
        signatures={name: _signature(function) for name, function in loaded.signatures.items()},
        operators=sorted_counts(
            operation
            for function in loaded.signatures.values()
            for operation in _operations(function)
            if operation not in PLUMBING
        ),
        layers=layers,
    )


def _load(load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
    except keras_3.Keras3Error as error:
        raise InspectionError(str(error)) from error
    except saved_models.UNREADABLE as error:
        unknown = saved_models.unknown_class(error)
        if unknown:
            raise InspectionError(
                f"has the class {unknown!r}, whose code is not in the file; inspect its SavedModel or its "
                "TFLite file instead"
            ) from error
        text = " ".join(str(error).split())
        raise InspectionError(f"does not load ({type(error).__name__}: {text[:300]})") from error


def _load_keras(path: Path) -> tf_keras.Model:
    if model_format.recognise(path).keras_3:
        return keras_3.load(str(path))
    load_model = tf_keras.models.load_model
    with contextlib.ExitStack() as scopes:
        if _has_wrappers(path):
            from components.common.tfmot.library import tfmot

            for scope in (
                tfmot.quantization.keras.quantize_scope,
                tfmot.sparsity.keras.prune_scope,
                tfmot.clustering.keras.cluster_scope,
            ):
                scopes.enter_context(scope())
            # As in components.common.models.model_files.load: AutoGraph rewrites Keras for half a minute.
            load_model = tf.autograph.experimental.do_not_convert(load_model)
        model = load_model(path, compile=False)
    if not getattr(model, "inputs", None):
        raise ValueError("its inputs are not known, because the model was never called")
    return model


def _has_wrappers(path: Path) -> bool:
    """Whether a Keras file names classes of TFMOT, which take seconds to import."""
    names = (b"QuantizeWrapper", b"QuantizeLayer", b"PruneLowMagnitude", b"ClusterWeights")
    content = path.read_bytes()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            content = archive.read("config.json")
    return any(name in content for name in names)


def _leaves(model: tf_keras.Model, prefix: str = "") -> Iterator[tuple[str, tf_keras.layers.Layer]]:
    """Name and layer of each layer, also of inner models; inputs and models are not layers."""
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            yield from _leaves(layer, f"{prefix}{plain_name(layer.name)}/")
        elif not isinstance(layer, tf_keras.layers.InputLayer):
            yield prefix + _inside(layer).name, layer


def _inside(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer in a wrapper of TFMOT; other layers are returned as they are."""
    return layer.layer if weights.WRAPPER_SCOPE.match(layer.name) and hasattr(layer, "layer") else layer


def _weight(variable: tf.Variable) -> weights.Weight:
    return weights.Weight(variable.name, variable.numpy())


def _port(tensor: Any) -> Port:
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    return Port(shape, tensor.dtype.name)


def _signature(function: Any) -> Signature:
    _, inputs = function.structured_input_signature
    return Signature(
        {name: _port(spec) for name, spec in sorted(inputs.items())},
        {name: _port(spec) for name, spec in sorted(function.structured_outputs.items())},
    )


def _operations(function: Any) -> Iterator[str]:
    """Names of the operations of a function and of those that it calls."""
    graph = function.graph.as_graph_def()
    yield from (node.op for node in graph.node)
    for called in graph.library.function:
        yield from (node.op for node in called.node_def)
