"""Two networks for small images, at 28×28 digits: ResNet-8 and MobileNetV1 with a width of 0.25.

ResNet-8 as in MLPerf Tiny (Banbury et al., 2021, https://arxiv.org/abs/2106.07597), after He et
al., 2016; MobileNetV1 after Howard et al., 2017, https://arxiv.org/abs/1704.04861, with the first strides left out that
images of 28×28 have no room for.
"""

from __future__ import annotations

from typing import Any

import tf_keras

layers = tf_keras.layers

# Filters of the pointwise convolutions at full width, and the stride of the depthwise one before each.
_MOBILENET = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (1024, 1))
_WIDTH = 0.25


def _normed(x: Any, layer: Any, relu: bool = True) -> Any:
    x = layers.BatchNormalization(momentum=0.9, name=f"{layer.name}_bn")(layer(x))
    return layers.ReLU(name=f"{layer.name}_relu")(x) if relu else x


def _conv(filters: int, size: int, strides: int, name: str) -> Any:
    return layers.Conv2D(filters, size, strides=strides, padding="same", use_bias=False, name=name)


def _resnet8(x: Any) -> Any:
    x = _normed(x, _conv(16, 3, 1, "stem"))
    for number, (filters, strides) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        name = f"block{number}"
        y = _normed(x, _conv(filters, 3, strides, f"{name}_conv1"))
        y = _normed(y, _conv(filters, 3, 1, f"{name}_conv2"), relu=False)
        if strides > 1:
            x = _normed(x, _conv(filters, 1, strides, f"{name}_shortcut"), relu=False)
        x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, y]))
    return x


def _mobilenet(x: Any) -> Any:
    x = _normed(x, _conv(int(32 * _WIDTH), 3, 1, "stem"))
    for number, (filters, strides) in enumerate(_MOBILENET, 1):
        depthwise = layers.DepthwiseConv2D(
            3, strides=strides, padding="same", use_bias=False, name=f"depthwise{number}"
        )
        x = _normed(_normed(x, depthwise), _conv(int(filters * _WIDTH), 1, 1, f"pointwise{number}"))
    return x


def build_model(hparams: dict[str, Any]) -> tf_keras.Model:
    """The baseline. Input `image`: (batch, 28, 28, 1), 0 to 255; output: (batch, 10) probabilities.

    Args:
        hparams: `architecture`, resnet8 or mobilenet; `learning_rate`.
    """
    image = layers.Input((28, 28, 1), name="image")
    x = {"resnet8": _resnet8, "mobilenet": _mobilenet}[hparams["architecture"]](image)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(10, activation="softmax", name="probabilities")(x)
    model = tf_keras.Model(image, x, name=hparams["architecture"])
    model.compile(
        optimizer=tf_keras.optimizers.Adam(hparams["learning_rate"]),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model
