"""Whether a model predicts the same again, found in the graph of its prediction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from components.common.base.errors import describe
from components.common.base.interruption import Interrupted
from components.common.models import operator_faults
from components.common.models.user_module import UserModuleError


def refuse_unrepeatable(model: tf_keras.Model) -> None:
    """Traces a prediction and looks for random operators and for variables that it changes.

    Layers that act only in training, such as Dropout and GaussianNoise, leave no such operator.

    Raises:
        UserModuleError: If there is one, with the layer's name, or if the model cannot predict.
    """
    signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs]

    @tf.function(input_signature=signature, autograph=False)
    def predict(*tensors: Any) -> Any:
        return model(list(tensors) if len(tensors) > 1 else tensors[0], training=False)

    try:
        graph = predict.get_concrete_function().graph.as_graph_def()
    except Interrupted:
        raise
    except Exception as error:  # the user's layers may raise anything
        raise UserModuleError(f"the model cannot predict: {describe(error)}") from error
    for node, path in _operations(graph):
        if fault := operator_faults.fault(node.op):
            raise UserModuleError(operator_faults.message(_layer(model, path.split("/")), fault, node.op))


def _operations(graph: Any) -> Iterator[tuple[Any, str]]:
    """Every operation, also of functions that are called, with its path through the scopes of layers."""
    functions = {function.signature.name: function for function in graph.library.function}
    waiting = [(graph.node, "")]
    seen: set[str] = set()
    while waiting:
        nodes, within = waiting.pop()
        for node in nodes:
            path = f"{within}{node.name}"
            yield node, path
            called = {value.func.name for value in node.attr.values()} | {
                function.name for value in node.attr.values() for function in value.list.func
            }
            for name in sorted((called | {node.op}) & functions.keys() - seen):
                seen.add(name)
                waiting.append((functions[name].node_def, f"{path}/"))


def _layer(model: tf_keras.Model, path: list[str]) -> str:
    """Names of the layers on a path of scopes, joined as in a TFLite file: `inner/lstm`; empty if none is on it."""
    names: list[str] = []
    layers: Mapping[str, Any] = {layer.name: layer for layer in model.layers}
    for part in path:
        if part in layers:
            names.append(part)
            layers = {inner.name: inner for inner in getattr(layers[part], "layers", [])}
    return "/".join(names)
