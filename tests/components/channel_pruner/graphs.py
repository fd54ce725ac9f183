"""Small models of many shapes, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tf_keras

layers = tf_keras.layers


def randomized(model: tf_keras.Model, seed: int = 0) -> tf_keras.Model:
    """The model with weights that all differ, so that a wrong one shows, and outputs that do not saturate."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        low = 0.5 if "variance" in weight.name else -0.8  # of a BatchNormalization
        inputs = max(1, int(np.prod(weight.shape[:-1])))
        weight.assign(random.uniform(low, 1.0, weight.shape) / inputs**0.5)
    return model


def examples(model: tf_keras.Model, seed: int = 0, count: int = 3) -> list[np.ndarray]:
    """Inputs of a model."""
    random = np.random.default_rng(seed)
    return [random.normal(size=(count, *t.shape[1:])).astype(np.float32) for t in model.inputs]


def generated(seed: int) -> tf_keras.Model:
    """A model of one of many random shapes: branches that meet again, shared layers, two heads."""
    random = np.random.default_rng(seed)

    def one_of(*values: Any) -> Any:
        return values[random.integers(len(values))]

    def activated(x: Any) -> Any:
        kind = one_of("none", "relu", "sigmoid", "prelu", "leaky", "softmax")
        if kind == "prelu":
            return layers.PReLU(shared_axes=one_of([1, 2], None))(x)
        if kind == "leaky":
            return layers.LeakyReLU()(x)
        return x if kind == "none" else layers.Activation(kind)(x)

    def convolved(x: Any, filters: int, strides: int = 1) -> Any:
        kind = one_of("plain", "plain", "dilated", "grouped", "separable", "depthwise", "each")
        size, channels = one_of(1, 3), x.shape[-1]
        bias = bool(random.integers(2))
        if kind == "depthwise":
            x = layers.DepthwiseConv2D(
                size, strides, padding="same", depth_multiplier=one_of(1, 2), use_bias=bias
            )(x)
            x = layers.Conv2D(filters, 1, activation=one_of(None, "relu"))(activated(x))
        elif kind == "separable":
            x = layers.SeparableConv2D(
                filters, size, strides, padding="same", depth_multiplier=one_of(1, 2), use_bias=bias
            )(x)
        elif kind == "grouped" and channels % 2 == 0:
            x = layers.Conv2D(filters, size, strides, padding="same", groups=2, use_bias=bias)(x)
        elif kind == "each" and filters % channels == 0:
            x = layers.Conv2D(filters, size, strides, padding="same", groups=channels, use_bias=bias)(x)
        else:
            dilation = 2 if kind == "dilated" and strides == 1 else 1
            x = layers.Conv2D(
                filters, size, strides, padding="same", dilation_rate=dilation, use_bias=bias
            )(x)
        if random.integers(2):
            x = layers.BatchNormalization(scale=bool(random.integers(2)))(x)
        return activated(x)

    def block(x: Any) -> Any:
        filters = one_of(4, 6, 8)
        kind = one_of("chain", "residual", "joined", "excited", "shared", "padded")
        if kind == "residual":
            way = convolved(convolved(x, filters), x.shape[-1])
            return activated(one_of(layers.Add, layers.Maximum, layers.Average)()([x, way]))
        if kind == "joined":
            return layers.Concatenate()([convolved(x, filters), x, convolved(x, filters)])
        if kind == "excited":
            squeezed = layers.GlobalAveragePooling2D()(x)
            squeezed = layers.Dense(3, activation="relu")(squeezed)
            scale = layers.Dense(x.shape[-1], activation="sigmoid")(squeezed)
            return layers.Multiply()([x, layers.Reshape((1, 1, -1))(scale)])
        if kind == "shared":
            one = layers.Conv2D(filters, 3, padding="same", activation="relu")
            first, second = (layers.Conv2D(5, 1)(x) for _ in range(2))
            return layers.Subtract()([one(first), one(second)])
        if kind == "padded":
            x = layers.ZeroPadding2D(1)(x)
            x = layers.Conv2D(filters, 3, padding="valid")(x)
            return layers.Dropout(0.5)(
                one_of(layers.MaxPooling2D, layers.AveragePooling2D)(2, padding="same")(x)
            )
        return convolved(x, filters, one_of(1, 2))

    inputs = [layers.Input((8, 8, 3), name="image")]
    x = convolved(inputs[0], one_of(4, 6, 8))
    for _ in range(one_of(1, 2, 3)):
        x = block(x)
    head = one_of("flat", "pooled", "in rows", "as series")
    if head == "flat":
        x = layers.Flatten()(x)
    elif head == "pooled":
        x = layers.GlobalMaxPooling2D()(x)
    elif head == "in rows":  # columns and channels along one axis
        x = layers.Reshape((x.shape[1], x.shape[2] * x.shape[3]))(x)
        x = layers.Flatten()(layers.Conv1D(6, 1, activation="relu")(x))
    else:
        x = layers.Reshape((-1, x.shape[3]))(x)
        x = layers.GlobalAveragePooling1D()(layers.SeparableConv1D(6, 3, padding="same")(x))
    if random.integers(2):
        inputs.append(layers.Input((5,), name="facts"))
        x = layers.Concatenate()([x, layers.Dense(7, activation="tanh")(inputs[1])])
    x = layers.Dense(9, activation="relu")(x)
    outputs = [layers.Dense(4, name="class")(x)]
    if random.integers(2):
        outputs.append(layers.Dense(1, name="value")(layers.Dense(6, activation="relu")(x)))
    return randomized(tf_keras.Model(inputs, outputs), seed)


def _block(x: Any, filters: int, name: str, strides: int = 1) -> Any:
    x = layers.Conv2D(filters, 3, strides, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(name=f"{name}_bn")(x)


def resnet8() -> tf_keras.Model:
    """As in MLPerf Tiny, https://github.com/mlcommons/tiny, a fourth as wide."""
    image = layers.Input((16, 16, 3), name="image")
    x = layers.ReLU()(_block(image, 4, "stem"))
    for number, filters in enumerate((4, 8, 16)):
        strides = 1 if number == 0 else 2
        way = layers.ReLU()(_block(x, filters, f"stage{number}_a", strides))
        way = _block(way, filters, f"stage{number}_b")
        if number:
            x = layers.Conv2D(filters, 1, strides, name=f"stage{number}_shortcut")(x)
        x = layers.ReLU()(layers.Add(name=f"stage{number}_add")([x, way]))
    x = layers.Flatten()(layers.AveragePooling2D(4)(x))
    return randomized(
        tf_keras.Model(image, layers.Dense(10, activation="softmax", name="probabilities")(x))
    )


def mobilenet() -> tf_keras.Model:
    """As MobileNetV1, https://arxiv.org/abs/1704.04861, with few layers."""
    image = layers.Input((16, 16, 3), name="image")
    x = layers.ReLU(6.0)(_block(image, 8, "stem", 2))
    for number, (filters, strides) in enumerate([(16, 1), (32, 2), (32, 1)]):
        x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x) if strides == 2 else x
        padding = "valid" if strides == 2 else "same"
        x = layers.DepthwiseConv2D(3, strides, padding=padding, use_bias=False, name=f"dw{number}")(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(name=f"dw{number}_bn")(x))
        x = layers.Conv2D(filters, 1, use_bias=False, name=f"pw{number}")(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization(name=f"pw{number}_bn")(x))
    x = layers.Reshape((1, 1, 32))(layers.GlobalAveragePooling2D()(x))
    x = layers.Conv2D(10, 1, name="logits")(layers.Dropout(0.1)(x))
    return randomized(
        tf_keras.Model(image, layers.Activation("softmax", name="probabilities")(layers.Flatten()(x)))
    )


def ds_cnn() -> tf_keras.Model:
    """As DS-CNN for keywords, https://arxiv.org/abs/1711.07128, with few filters."""
    series = layers.Input((16, 10), name="series")
    x = layers.Reshape((16, 10, 1))(series)
    x = layers.ReLU()(_block(x, 8, "stem", 2))
    for number in range(2):
        x = layers.SeparableConv2D(8, 3, padding="same", name=f"separable{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization(name=f"bn{number}")(x))
    x = layers.Flatten()(layers.GlobalAveragePooling2D(keepdims=True)(x))
    return randomized(
        tf_keras.Model(series, layers.Dense(12, activation="softmax", name="probabilities")(x))
    )


def sequential() -> tf_keras.Model:
    """A chain of one-dimensional convolutions."""
    return randomized(
        tf_keras.Sequential(
            [
                layers.Input((20, 3), name="series"),
                layers.Conv1D(8, 3, padding="causal", activation="relu", name="conv1"),
                layers.MaxPooling1D(2),
                layers.Conv1D(8, 3, dilation_rate=2, name="conv2"),
                layers.PReLU(),
                layers.Flatten(),
                layers.Dense(12, activation="relu", name="dense"),
                layers.Dense(2, name="values"),
            ]
        )
    )


SHAPES: dict[str, Callable[[], tf_keras.Model]] = {
    "resnet8": resnet8,
    "mobilenet": mobilenet,
    "ds_cnn": ds_cnn,
    "sequential": sequential,
}
