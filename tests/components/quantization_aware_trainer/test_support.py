"""Which layers `qat` refuses, held against what TFMOT and the converter really make of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files
from components.common.tflite import file_types, tflite_file
from components.quantization_aware_trainer.executor import QuantizationError, prepare, quantize
from components.quantization_aware_trainer.float_region import Wiring, stay_in_float
from components.quantization_aware_trainer.support import refusals
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions

layers = tf_keras.layers
IMAGE, SERIES = (8, 8, 4), (6, 4)

Build = Callable[[Any], Any]


def conv(x: Any, name: str = "conv", **options: Any) -> Any:
    return layers.Conv2D(4, 3, padding="same", name=name, **options)(x)


def norm(x: Any, name: str = "norm") -> Any:
    return layers.BatchNormalization(name=name)(x)


def ends(x: Any) -> Any:
    return layers.Dense(3, activation="softmax", name="last")(layers.Flatten(name="flat")(x))


def model_of(build: Build, shape: tuple[int, ...] = IMAGE, end: Build = ends) -> tf_keras.Model:
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(1)
    x = layers.Input(shape, name="x")
    return tf_keras.Model(x, end(build(x)), name="net")


def met(model: tf_keras.Model, exclude: Sequence[str], folder: Path) -> list[str]:
    """What is not int8 in the file of a model that is made quantization-aware as it is, untrained."""
    aware = quantize(prepare(model, exclude), exclude)
    model_files.save_serving(aware, str(folder / "saved"), list(model.input_names))
    options = ConvertOptions(quantization="int8")
    path = folder / "tflite"
    path.write_bytes(convert(str(folder / "saved"), options, True, None))
    checks = file_types.check(tflite_file.read(path), options.types(), exclude)
    return [check.reason for check in checks if not check.met]


def reported(model: tf_keras.Model, exclude: Sequence[str] = ()) -> dict[str, str]:
    return {found.layer: found.reason for found in refusals(prepare(model, exclude), exclude)}


def shared_convolution(x: Any) -> Any:
    layer = layers.Conv2D(4, 3, padding="same", name="conv")
    return layers.ReLU(name="relu2")(layer(layers.ReLU(name="relu1")(layer(x))))


ACCEPTED: dict[str, Build] = {
    "convolution, BatchNormalization, ReLU": lambda x: layers.ReLU()(norm(conv(x))),
    "convolution with ReLU inside": lambda x: conv(x, activation="relu"),
    "BatchNormalization without ReLU": lambda x: norm(conv(x)),
    "swish as a separate layer": lambda x: layers.Activation("swish")(norm(conv(x))),
    "relu6 as a separate layer": lambda x: layers.Activation("relu6")(conv(x)),
    "LeakyReLU": lambda x: layers.LeakyReLU(name="leaky")(norm(conv(x))),
    "GELU inside": lambda x: conv(x, activation="gelu"),
    "SeparableConv2D": lambda x: layers.ReLU()(norm(layers.SeparableConv2D(8, 3, name="separable")(x))),
    "DepthwiseConv2D": lambda x: layers.ReLU()(norm(layers.DepthwiseConv2D(3, name="depthwise")(x))),
    "Conv2DTranspose": lambda x: layers.ReLU()(norm(layers.Conv2DTranspose(4, 3, name="up")(x))),
    "residual": lambda x: layers.ReLU()(layers.Add()([norm(conv(x)), x])),
    "branches": lambda x: layers.Concatenate()([conv(x), conv(x, "other", activation="relu")]),
    "one layer called twice": shared_convolution,
    "Dropout and pooling": lambda x: layers.MaxPool2D()(layers.Dropout(0.2)(conv(x))),
    "padding and cropping": lambda x: layers.Cropping2D(1)(conv(layers.ZeroPadding2D(1)(x))),
    "upsampling": lambda x: layers.AveragePooling2D()(layers.UpSampling2D(2)(conv(x))),
    "Dense, BatchNormalization, ReLU": lambda x: layers.ReLU()(
        norm(layers.Dense(6, name="dense")(layers.Flatten()(x)))
    ),
    "PReLU": lambda x: layers.PReLU(shared_axes=[1, 2], name="prelu")(norm(conv(x))),
    "Conv1D on three axes": lambda x: layers.ReLU()(norm(layers.Conv1D(6, 3, name="line")(x))),
    "Conv1D on three axes with all of its own": lambda x: layers.GlobalAveragePooling1D()(
        layers.MaxPooling1D(2, name="pool")(
            layers.Add()([x, layers.Conv1D(4, 3, padding="causal", activation="relu", name="line")(x)])
        )
    ),
    "Dense on three axes without bias": lambda x: layers.Dense(6, use_bias=False, name="dense")(x),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_accepted_is_int8_in_the_file(case: str, tmp_path: Path) -> None:
    model = model_of(ACCEPTED[case], SERIES if "three axes" in case else IMAGE)

    assert reported(model) == {}
    assert met(model, [], tmp_path) == []


def test_sequential_models_and_several_inputs_are_accepted(tmp_path: Path) -> None:
    sequential = tf_keras.Sequential(
        [
            layers.Input(IMAGE, name="x"),
            layers.Conv2D(4, 3, use_bias=False, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(name="relu"),
            layers.Flatten(),
            layers.Dense(3, name="last"),
        ]
    )
    image, row = layers.Input(IMAGE, name="image"), layers.Input((5,), name="row")
    joined = layers.Concatenate()([layers.Flatten()(conv(image)), layers.Dense(4, name="dense")(row)])
    several = tf_keras.Model([image, row], ends(joined))

    for number, model in enumerate((sequential, several)):
        assert reported(model) == {}
        (tmp_path / str(number)).mkdir()
        assert met(model, [], tmp_path / str(number)) == []


def last_normalized(x: Any) -> Any:
    return norm(layers.Dense(3, name="last")(layers.Flatten(name="flat")(x)))


# Layer → the end of its message. TFMOT takes these models without a word.
FLOAT_WITHOUT_A_WORD: dict[str, tuple[Build, tuple[int, ...], str, str]] = {
    "dilated convolution": (
        lambda x: conv(x, dilation_rate=2),
        IMAGE,
        "conv",
        "is a dilated convolution, which would stay in float; leave `qat` out: post-training int8 needs no "
        "such support",
    ),
    "dilated depthwise convolution": (
        lambda x: layers.DepthwiseConv2D(3, dilation_rate=2, name="depthwise")(x),
        IMAGE,
        "depthwise",
        "is a dilated convolution",
    ),
    "Dense on three axes": (
        lambda x: layers.Dense(6, activation="relu", name="dense")(x),
        SERIES,
        "dense",
        "is Dense on an input of 3 axes, which would stay in float; write Conv2D with a kernel of (1, 1), on "
        "an input of shape (…, 1, channels)",
    ),
    "swish inside a layer": (
        lambda x: conv(x, activation="swish"),
        IMAGE,
        "conv",
        "has activation swish, which TFMOT knows only as a separate layer; write "
        "layers.Activation('swish') behind it",
    ),
    "ReLU with a slope": (
        lambda x: layers.ReLU(negative_slope=0.1, name="relu")(norm(conv(x))),
        IMAGE,
        "relu",
        "is ReLU with negative_slope, before which kernels would stay in float; write layers.LeakyReLU",
    ),
}


@pytest.mark.parametrize("case", FLOAT_WITHOUT_A_WORD)
def test_what_tfmot_takes_and_the_converter_leaves_in_float_is_refused(case: str, tmp_path: Path) -> None:
    build, shape, layer, message = FLOAT_WITHOUT_A_WORD[case]

    found = reported(model_of(build, shape))

    assert list(found) == [layer]
    assert found[layer].startswith(message)
    reasons = met(model_of(build, shape), [], tmp_path)
    assert any("are float32, not int8" in reason for reason in reasons)


def test_batch_normalization_of_a_last_dense_layer_is_refused(tmp_path: Path) -> None:
    def model() -> tf_keras.Model:
        return model_of(conv, end=last_normalized)

    assert reported(model()) == {
        "norm": "is BatchNormalization that cannot be folded into last, as the model returns it; write an "
        "activation as the last layer, or keep in float the layers that cannot be int8: exclude: [norm]"
    }
    assert "weights of layer last are float32, not int8" in met(model(), [], tmp_path)

    instead = model_of(conv, end=lambda x: layers.Activation("softmax", name="end")(last_normalized(x)))
    assert reported(instead) == {}
    (tmp_path / "instead").mkdir()
    assert met(instead, [], tmp_path / "instead") == []


def twice_read(x: Any) -> Any:
    first = conv(x)
    return layers.Add(name="add")([norm(first), first])


def called_twice(x: Any) -> Any:
    first, second = layers.Conv2D(4, 3, padding="same", name="conv"), layers.BatchNormalization(name="norm")
    return second(first(second(first(x))))


# What TFMOT refuses: builder, layer, message up to the advice to leave layers in float.
REFUSED: dict[str, tuple[Build, tuple[int, ...], str, str]] = {
    "activation before BatchNormalization": (
        lambda x: norm(conv(x, activation="relu")),
        IMAGE,
        "norm",
        "is BatchNormalization that cannot be folded into conv, which has activation relu; write Conv2D, "
        "BatchNormalization and then the activation as a separate layer",
    ),
    "BatchNormalization after ReLU": (
        lambda x: norm(layers.ReLU(name="relu")(conv(x))),
        IMAGE,
        "norm",
        "is BatchNormalization that follows no convolution or Dense, so it cannot be folded; move it "
        "behind one",
    ),
    "BatchNormalization after Add": (
        lambda x: norm(layers.Add(name="add")([conv(x), x])),
        IMAGE,
        "norm",
        "is BatchNormalization that follows no convolution or Dense",
    ),
    "convolution that another layer reads": (
        twice_read,
        IMAGE,
        "norm",
        "is BatchNormalization that cannot be folded into conv, which add reads too; give add a separate layer",
    ),
    "shared convolution": (
        called_twice,
        IMAGE,
        "norm",
        "is BatchNormalization that cannot be folded into conv, as the model calls these layers twice; write "
        "them for each place",
    ),
    "LayerNormalization": (
        lambda x: layers.LayerNormalization(name="layer_norm")(conv(x)),
        IMAGE,
        "layer_norm",
        "LayerNormalization has no fake quantization in TFMOT; LiteRT has no int8 kernel for it, only for its "
        "parts; write BatchNormalization behind a convolution or Dense",
    ),
    "slice": (
        lambda x: conv(x)[:, 1:],
        IMAGE,
        "tf.__operators__.getitem",
        "SlicingOpLambda has no fake quantization in TFMOT; write a Keras layer, layers.Cropping2D in place "
        "of a slice",
    ),
    "ELU": (
        lambda x: layers.ELU(name="elu")(conv(x)),
        IMAGE,
        "elu",
        "ELU has no fake quantization in TFMOT; write layers.LeakyReLU or layers.ReLU",
    ),
    "elu as Activation": (
        lambda x: layers.Activation("elu", name="elu")(conv(x)),
        IMAGE,
        "elu",
        "has activation elu, which TFMOT cannot fake-quantize; write one of relu, tanh, sigmoid, softmax, "
        "gelu, relu6, swish",
    ),
}


# Where one layer in float takes all others with it.
NOT_IN_FLOAT = ("shared convolution", "swish inside a layer")


def named(message: str) -> list[str]:
    """The layers that a message says to exclude."""
    match = re.search(r"exclude: \[(.*)\]$", message)
    return match[1].split(", ") if match else []


@pytest.mark.parametrize("case", REFUSED)
def test_what_tfmot_refuses_is_reported_by_layer(case: str) -> None:
    build, shape, layer, message = REFUSED[case]

    found = reported(model_of(build, shape))

    assert list(found) == [layer]
    assert found[layer].startswith(message)
    prepared = prepare(model_of(build, shape))
    with pytest.raises(QuantizationError):
        quantize(prepared)


@pytest.mark.parametrize(
    "case", [case for case in (REFUSED | FLOAT_WITHOUT_A_WORD) if case not in NOT_IN_FLOAT]
)
def test_what_a_message_says_to_exclude_does_it(case: str, tmp_path: Path) -> None:
    build, shape, layer, _ = (REFUSED | FLOAT_WITHOUT_A_WORD)[case]
    exclude = named(reported(model_of(build, shape))[layer])

    assert layer in exclude
    assert reported(model_of(build, shape), exclude) == {}
    assert met(model_of(build, shape), exclude, tmp_path) == []


def test_where_nothing_would_be_left_for_int8_exclude_is_not_advised(tmp_path: Path) -> None:
    def model() -> tf_keras.Model:
        return model_of(lambda x: layers.Rescaling(1 / 255, name="scale")(x))

    assert reported(model()) == {
        "scale": "Rescaling has no fake quantization in TFMOT; scale in preprocessing_fn"
    }
    assert "weights of layer last are float32, not int8" in met(model(), ["scale"], tmp_path)


def test_an_activation_that_tfmot_does_not_know_is_refused_before_an_annotated_layer() -> None:
    def model() -> tf_keras.Model:
        return model_of(lambda x: layers.Activation("elu", name="elu")(conv(x)))

    assert list(reported(model(), ["elu"])) == ["elu"]
    with pytest.raises(QuantizationError, match="elu"):
        quantize(prepare(model(), ["elu"]), ["elu"])
    assert reported(model(), ["elu", "flat"]) == {}


def test_models_inside_the_model_and_what_cannot_be_copied_have_no_way_in_float() -> None:
    inner = tf_keras.Sequential([layers.Conv2D(4, 3)], name="inner")
    nested = reported(model_of(lambda x: inner(conv(x))))
    assert nested == {
        "inner": "is a model inside the model, which TFMOT cannot quantize; put its layers into the model itself"
    }
    function = reported(model_of(lambda x: layers.Lambda(lambda t: 2 * t, name="twice")(conv(x))))
    assert function == {"twice": "Lambda has no fake quantization in TFMOT; write one of Keras's layers"}
    regularized = reported(model_of(lambda x: conv(x, activity_regularizer="l2")))
    assert regularized == {
        "conv": "regularizes its activity, which fails inside TFMOT's wrappers; leave it out, or regularize "
        "kernels"
    }
    # Excluded or not.
    assert list(reported(model_of(lambda x: conv(x, activity_regularizer="l2")), ["conv"])) == ["conv"]


def test_several_layers_get_one_advice() -> None:
    found = reported(model_of(lambda x: tf.nn.relu(conv(x) + 1.0)))

    assert list(found) == ["tf.__operators__.add", "tf.nn.relu"]
    assert [named(message) for message in found.values()] == [
        ["tf.__operators__.add", "tf.nn.relu", "last"]
    ] * 2


def test_wiring_is_that_of_the_model_alone() -> None:
    x = layers.Input(IMAGE, name="x")
    first = conv(x)
    model = tf_keras.Model(x, ends(first))
    norm(first)  # belongs to no model

    wiring = Wiring(model)

    assert wiring.reads["last"] == ["flat"] and wiring.reads["x"] == []
    assert wiring.readers["conv"] == ["flat"]
    assert set(wiring.calls.values()) == {1}


@pytest.mark.parametrize(
    ("excluded", "in_float"),
    [
        (["relu"], ["relu"]),  # TFMOT knows it, and quantizes what it gives to the annotated layer
        (["add"], ["add", "last"]),  # if only the next one reads it, which a pooling would pass on
        (["first"], ["first", "norm", "second"]),
        (["second", "relu"], ["second", "relu"]),
        ([], []),
    ],
)
def test_region_in_float(excluded: list[str], in_float: list[str], tmp_path: Path) -> None:
    def build(x: Any) -> Any:
        second = conv(norm(conv(x, "first")), "second")
        return layers.Multiply(name="add")([layers.ReLU(name="relu")(second), x])

    def known(name: str) -> bool:
        return name not in ("norm", "add")

    region = stay_in_float(Wiring(prepare(model_of(build))), excluded, known)

    assert region == set(in_float)


def test_an_excluded_conv1d_stays_in_float_and_nothing_else_does(tmp_path: Path) -> None:
    def model() -> tf_keras.Model:
        found = layers.Conv1D(6, 3, name="first", padding="same")(layers.Input(SERIES, name="x"))
        y = layers.Conv1D(6, 3, name="second")(layers.ReLU(name="relu")(found))
        return tf_keras.Model(found.node.parent_nodes[0].layer.output, ends(y))

    assert reported(model(), ["first"]) == {}
    assert met(model(), ["first"], tmp_path) == []
    file = tflite_file.read(tmp_path / "tflite")
    (first,), (second,) = (file.layer_kernels([name])[name] for name in ("first", "second"))
    assert (first.values.dtype, second.values.dtype) == ("float32", "int8")
