"""Inspecting Keras files and SavedModels."""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras

from components.common.base.layer_names import plain_name
from components.common.models import layer_weights, saved_models
from components.common.tflite.kernel import Kernel
from pipeline.inspection.contents import (
    KERAS,
    SAVED_MODEL,
    Inspection,
    InspectionError,
    Layer,
    Port,
    Signature,
    sizes,
)

# Variables that TFMOT's wrappers add to a layer, by scope and by their own names.
_WRAPPER_SCOPE = re.compile(r"(quant_|prune_low_magnitude_|cluster_|quantize_layer)")
_WRAPPER_VARIABLE = re.compile(
    r"(optimizer_step|pruning_step|mask|threshold|.*_(min|max)|cluster_centroids_.*|pulling_indices_.*"
    r"|original_weights_.*)"
)
# Operations that only move values.
_PLUMBING = frozenset(
    {
        "Const",
        "Identity",
        "IdentityN",
        "NoOp",
        "PartitionedCall",
        "Placeholder",
        "ReadVariableOp",
        "StatefulPartitionedCall",
    }
)
Loaded = TypeVar("Loaded")


def inspect_keras(path: Path) -> Inspection:
    """Loads a Keras file; it may have TFMOT's wrappers.

    Raises:
        InspectionError: If it does not load.
    """
    model = _load(lambda: _load_keras(path))
    total, compressed = sizes(path)
    signature = Signature(
        {name: _port(tensor) for name, tensor in zip(model.input_names, model.inputs, strict=True)},
        {
            plain_name(name): _port(tensor)
            for name, tensor in zip(model.output_names, model.outputs, strict=True)
        },
    )
    layers = list(_leaves(model))
    return Inspection(
        path=str(path),
        format=KERAS,
        bytes=total,
        gzip_bytes=compressed,
        parameters=_count({id(v): v for _, layer, _ in layers for v in _own(layer.weights)}.values()),
        signatures={"call": signature},
        operators=_sorted_counts(type(_inside(layer)).__name__ for _, layer, _ in layers),
        layers=[
            _layer(name, type(_inside(layer)).__name__, _own(layer.weights), kernel)
            for name, layer, kernel in layers
            if _own(layer.weights)
        ],
    )


def inspect_saved_model(path: Path) -> Inspection:
    """Loads a SavedModel.

    Raises:
        InspectionError: If it does not load.
    """
    loaded = _load(lambda: tf.saved_model.load(str(path)))
    total, compressed = sizes(path)
    variables = {id(v): v for f in loaded.signatures.values() for v in f.variables}
    if not variables:
        variables = {id(v): v for v in getattr(loaded, "variables", [])}
    by_layer: dict[str, list[tf.Variable]] = defaultdict(list)
    for variable in _own(variables.values()):
        by_layer[variable.name.rpartition("/")[0]].append(variable)
    return Inspection(
        path=str(path),
        format=SAVED_MODEL,
        bytes=total,
        gzip_bytes=compressed,
        parameters=_count(v for own in by_layer.values() for v in own),
        signatures={name: _signature(function) for name, function in loaded.signatures.items()},
        operators=_sorted_counts(
            operation
            for function in loaded.signatures.values()
            for operation in _operations(function)
            if operation not in _PLUMBING
        ),
        layers=[_layer(plain_name(name), "", own, None) for name, own in by_layer.items()],
    )


def _load(load: Callable[[], Loaded]) -> Loaded:
    try:
        return load()
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
    load_model = tf_keras.models.load_model
    with contextlib.ExitStack() as scopes:
        if _has_wrappers(path):
            import tensorflow_model_optimization as tfmot

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


def _leaves(
    model: tf_keras.Model, prefix: str = ""
) -> Iterator[tuple[str, tf_keras.layers.Layer, Kernel | None]]:
    """Name, layer and kernel of each layer, also of inner models; inputs and models are not layers."""
    kernels = layer_weights.kernels(model)
    for layer in model.layers:
        name = plain_name(layer.name)
        if isinstance(layer, tf_keras.Model):
            yield from _leaves(layer, f"{prefix}{name}/")
        elif not isinstance(layer, tf_keras.layers.InputLayer):
            (kernel,) = kernels.get(name, [None])
            yield prefix + _inside(layer).name, layer, kernel


def _inside(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
    """The layer in a wrapper of TFMOT; other layers are returned as they are."""
    return layer.layer if _WRAPPER_SCOPE.match(layer.name) and hasattr(layer, "layer") else layer


def _own(variables: Iterable[tf.Variable]) -> list[tf.Variable]:
    """The variables without those that TFMOT's wrappers add."""
    kept = []
    for variable in variables:
        *scopes, name = variable.name.split(":")[0].split("/")
        added = any(_WRAPPER_SCOPE.match(scope) for scope in scopes)
        if not (added and _WRAPPER_VARIABLE.fullmatch(name)):
            kept.append(variable)
    return kept


def _layer(name: str, kind: str, variables: list[tf.Variable], kernel: Kernel | None) -> Layer:
    """A layer's weights.

    Args:
        name: Of the layer.
        kind: Its class.
        variables: Its weights.
        kernel: Its kernel as in a TFLite file; None if the layer is known by the names of its variables alone.
    """
    stored = next(
        (
            v
            for own in layer_weights.KERNEL_NAMES
            for v in variables
            if v.name.rpartition("/")[2].split(":")[0] == own
        ),
        None,
    )
    values = None if stored is None else stored.numpy()
    return Layer(
        name=name,
        kind=kind,
        shape=None if stored is None else tuple(stored.shape),
        dtype=(variables[0] if stored is None else stored).dtype.name,
        parameters=_count(variables),
        bytes=sum(v.numpy().nbytes for v in variables if v.dtype != tf.string),
        sparsity=None if values is None else round(float(np.mean(values == 0)), 6),
        unique=None if values is None else int(np.unique(values).size),
        unique_per_channel=None if kernel is None else kernel.unique_per_channel(),
    )


def _count(variables: Iterable[tf.Variable]) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


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


def _sorted_counts(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))
