"""Which layers of a model read which."""

from __future__ import annotations

import tf_keras

# Layers whose output has the scale of their input, so fake quantization before them also holds after them.
PASSING = (
    "Identity",
    "Dropout",
    "SlicingOpLambda",
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GlobalMaxPooling3D",
    "MaxPooling2D",
    "Permute",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "SpatialDropout3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
)


class Wiring:
    """The layers that each layer of a model reads, by name.

    Taken from the model's own tensors: a layer that was used elsewhere too has other nodes besides.

    Attributes:
        layers: Name → layer; a Sequential model's input is not among them.
        reads: Layer → the layers that it reads, in the model's order.
        readers: Layer → the layers that read it.
        calls: Layer → how often the model calls it.
    """

    def __init__(self, model: tf_keras.Model):
        self.layers = {layer.name: layer for layer in model.layers}
        before: dict[str, dict[str, None]] = {name: {} for name in self.layers}
        self.readers: dict[str, list[str]] = {}
        self.calls: dict[str, int] = {}
        seen: set[int] = set()
        pending = [tensor.node for tensor in model.outputs]
        while pending:
            node = pending.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            name = node.layer.name
            self.calls[name] = self.calls.get(name, 0) + 1
            for parent in node.parent_nodes:
                before.setdefault(name, {})[parent.layer.name] = None
                self.readers.setdefault(parent.layer.name, []).append(name)
            pending.extend(node.parent_nodes)
        self.reads = {name: list(read) for name, read in before.items()}
