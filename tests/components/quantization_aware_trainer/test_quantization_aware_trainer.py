"""Quantization-aware training: what was achieved stays, files reload, what TFMOT cannot do is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import layer_weights, model_files
from components.common.models.layer_selection import LayerSelectionError
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.tflite import tflite_file
from components.common.tflite.litert import LiteRTModel
from components.common.tflite.tflite_file import TFLiteFile
from components.common.tfmot.in_float import InFloat
from components.fine_tuner.executor import fine_tune
from components.fine_tuner.params import FineTuneOptions
from components.quantization_aware_trainer import separable
from components.quantization_aware_trainer.executor import (
    QuantizationError,
    after,
    prepare,
    quantize,
    train_quantization_aware,
    with_one_scale,
)
from components.quantization_aware_trainer.params import QatOptions
from components.tflite_converter.executor import convert
from components.tflite_converter.params import ConvertOptions
from tests.components.conftest import (
    KERNEL_SHAPES,
    MakeModule,
    Step,
    make_job,
    run_step,
    stored_kernels,
)
from tests.conftest import Digits, Trained

layers = tf_keras.layers


def layer_of(model: tf_keras.Model, name: str) -> tf_keras.layers.Layer:
    (layer,) = [layer for layer in model.layers if layer.name in (name, f"quant_{name}")]
    return layer


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    return next(w for w in layer_of(model, name).weights if w.name.endswith("kernel:0")).numpy()


def images_of(digits: Digits, count: int) -> np.ndarray:
    return digits.images[:count].reshape(-1, 28, 28, 1).astype(np.float32)


def test_zeros_of_a_pruned_model_stay_where_they_are(pruned: Step, pruned_quantization_aware: Step) -> None:
    before = model_files.load(pruned.uri)
    after = model_files.load(pruned_quantization_aware.uri)

    moved = 0
    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        moved += int(np.sum(was != now))
    assert moved > 900  # of about 1,300 that are not zero
    facts = pruned_quantization_aware.facts
    assert facts["technique"] == "prune-qat"
    assert facts["least_layer_sparsity"] == min(np.mean(kernel(after, n) == 0) for n in KERNEL_SHAPES)
    before_it = StepRecord.read(pruned.uri)
    assert StepRecord.read(pruned_quantization_aware.uri).layers == before_it.layers


@pytest.mark.parametrize("base", ["clustered", "pruned_clustered"])
def test_weights_that_share_a_value_go_on_sharing_one(base: str, request: pytest.FixtureRequest) -> None:
    before = model_files.load(request.getfixturevalue(base).uri)
    step = request.getfixturevalue(f"{base}_quantization_aware")
    after = model_files.load(step.uri)

    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        pairs = np.unique(np.stack([was.ravel(), now.ravel()]), axis=1).shape[1]
        assert pairs == len(np.unique(was)) == len(np.unique(now)) <= 16
        assert np.mean((was != now) | (was == 0)) > 0.9  # the values themselves were trained
        np.testing.assert_array_equal(was == 0, now == 0)
    assert step.facts["most_layer_clusters"] <= 16


def test_and_so_they_do_when_it_is_fine_tuned(
    pruned_clustered_quantization_aware: Step,
    mnist_examples: Any,
    converted: Callable[..., Step],
    tmp_path: Path,
) -> None:
    uri = pruned_clustered_quantization_aware.uri
    options = FineTuneOptions(steps=5, batch_size=50, learning_rate=0.001)
    run_step(fine_tune, make_job(uri, tmp_path, options, mnist_examples))
    before, after = model_files.load(uri), model_files.load(str(tmp_path))

    for name in KERNEL_SHAPES:
        was, now = kernel(before, name), kernel(after, name)
        np.testing.assert_array_equal(was == 0, now == 0)
        assert len(np.unique(now)) == len(np.unique(was))
        assert np.any(was != now)
    for name, stored in stored_kernels(converted(str(tmp_path), "int8").uri).items():
        assert stored.dtype == np.int8
        assert len(np.unique(stored)) <= 16, name


def test_a_dense_model_is_trained_on_for_int8(
    trained: Trained, quantization_aware: Step, mnist_arrays: dict[str, Digits]
) -> None:
    model = model_files.load(quantization_aware.uri)
    digits = mnist_arrays["eval"]
    outputs = model(images_of(digits, len(digits.labels)), training=False).numpy()

    assert [layer.name for layer in model.layers if "conv" in layer.name and "bn" not in layer.name] == [
        "quant_conv1", "quant_conv1_relu", "quant_conv2", "quant_conv2_relu",
    ]  # fmt: skip
    accuracy = np.mean(np.argmax(outputs, axis=1) == digits.labels)
    assert accuracy == pytest.approx(quantization_aware.facts["final_val_accuracy"], abs=0.0051)
    assert accuracy > trained.history["val_accuracy"][-1] - 0.05
    assert "least_layer_sparsity" not in quantization_aware.facts
    ranges = {w.name.split(":")[0]: w.numpy() for w in model.get_layer("quant_dense").weights}
    largest = np.abs(kernel(model, "dense")).max()
    assert ranges["quant_dense/kernel_max"] == pytest.approx(largest, rel=0.05)
    assert ranges["quant_dense/post_activation_max"] != 6  # where it begins


CHAINS = [
    "quantization_aware",
    "pruned_quantization_aware",
    "clustered_quantization_aware",
    "pruned_clustered_quantization_aware",
]


@pytest.mark.parametrize("base", CHAINS)
def test_both_files_hold_the_same_model(
    base: str, request: pytest.FixtureRequest, mnist_arrays: dict[str, Digits]
) -> None:
    uri = request.getfixturevalue(base).uri
    images = images_of(mnist_arrays["eval"], 50)
    signature = tf.saved_model.load(model_files.serving_dir(uri)).signatures["serving_default"]

    served = next(iter(signature(image=tf.constant(images)).values())).numpy()
    np.testing.assert_allclose(served, model_files.load(uri)(images, training=False), atol=1e-6)


@pytest.mark.parametrize("base", CHAINS)
def test_the_file_predicts_as_the_model_did(
    base: str,
    request: pytest.FixtureRequest,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
) -> None:
    uri = request.getfixturevalue(base).uri
    images = images_of(mnist_arrays["eval"], 100)
    file = LiteRTModel(model_files.tflite_file(converted(uri, "int8").uri))
    answers = np.array([file.predict({"image": image})["probabilities"] for image in images])

    expected = model_files.load(uri)(images, training=False).numpy()
    # One step of int8 probabilities is 1/256.
    assert np.mean(np.abs(answers - expected) <= 1.01 / 256) > 0.98
    assert np.mean(answers.argmax(axis=1) == expected.argmax(axis=1)) >= 0.98


@pytest.mark.parametrize(
    ("base", "exclude"), [("trained", []), ("trained", ["conv1*", "probabilities"]), ("clustered", [])]
)
def test_a_model_reloads_exactly(
    base: str,
    exclude: list[str],
    request: pytest.FixtureRequest,
    mnist_arrays: dict[str, Digits],
    tmp_path: Path,
) -> None:
    images = images_of(mnist_arrays["eval"], 20)
    uri = request.getfixturevalue(base).uri
    one_scale = with_one_scale(StepRecord.read(uri))
    assert sorted(one_scale) == (sorted(KERNEL_SHAPES) if base == "clustered" else [])
    model = quantize(prepare(model_files.load(uri), exclude), exclude, one_scale)
    model(images, training=True)  # ranges are weights too
    model_files.save(model, str(tmp_path), ["image"], after(StepRecord(), QatOptions()))

    loaded = model_files.load(str(tmp_path))
    np.testing.assert_array_equal(loaded(images, training=False), model(images, training=False))
    # And trains on as it was: fake quantization is still there.
    kinds = [type(getattr(layer, "quantize_config", None)).__name__ for layer in model.layers]
    assert [type(getattr(n, "quantize_config", None)).__name__ for n in loaded.layers] == kinds
    ranges = [w.name for w in loaded.weights if "kernel_m" in w.name]
    assert ranges == [w.name for w in model.weights if "kernel_m" in w.name]


FEATURES = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)


def stack(*parts: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), *parts, layers.Flatten(), layers.Dense(3, name="d")])


def stirred(model: tf_keras.Model) -> tf_keras.Model:
    """A model whose BatchNormalization does something."""
    generator = np.random.default_rng(5)
    for weight in model.weights:
        if "moving_variance" in weight.name or "gamma" in weight.name:
            weight.assign(generator.uniform(0.5, 2.0, weight.shape))
        elif "moving_mean" in weight.name or "beta" in weight.name:
            weight.assign(generator.normal(size=weight.shape) / 5)
    return model


def calibrated(model: tf_keras.Model) -> tf_keras.Model:
    """A quantization-aware model that has seen some examples."""
    for _ in range(8):
        model(FEATURES, training=True)
    return model


def int8_file(model: tf_keras.Model, folder: Path) -> tuple[TFLiteFile, np.ndarray]:
    """A quantization-aware model as a file, and what that predicts for FEATURES."""
    model_files.save_serving(model, str(folder / "saved"), ["x"])
    path = folder / "file.tflite"
    path.write_bytes(convert(str(folder / "saved"), ConvertOptions(quantization="int8"), True, None))
    file = LiteRTModel(str(path))
    outputs = [next(iter(file.predict({"x": example}).values())) for example in FEATURES]
    return tflite_file.read(path), np.array(outputs)


def output_step(model: tf_keras.Model) -> float:
    """Size of one int8 step of the output of `d`, as it was trained."""
    low, high = (
        next(float(w) for w in model.get_layer("quant_d").weights if f"post_activation_{end}" in w.name)
        for end in ("min", "max")
    )
    return (high - low) / 255


def dtypes(file: TFLiteFile) -> dict[str, str]:
    return {kernel.layer: kernel.dtype for kernel in file.kernels}


def norm(name: str = "bn") -> tf_keras.layers.Layer:
    return layers.BatchNormalization(name=name)


FORMS: dict[str, Callable[[], list[Any]]] = {
    "conv, ReLU": lambda: [layers.Conv2D(4, 3, name="c"), layers.ReLU(name="r")],
    "conv, ReLU6": lambda: [layers.Conv2D(4, 3, name="c"), layers.ReLU(6.0, name="r")],
    "conv with relu": lambda: [layers.Conv2D(4, 3, activation="relu", name="c")],
    "conv, BatchNormalization, ReLU": lambda: [
        layers.Conv2D(4, 3, use_bias=False, name="c"), norm(), layers.ReLU(name="r"),
    ],
    "depthwise, BatchNormalization, ReLU6": lambda: [
        layers.DepthwiseConv2D(3, name="c"), norm(), layers.ReLU(6.0, name="r"),
    ],
    "depthwise, two for each channel": lambda: [
        layers.DepthwiseConv2D(3, depth_multiplier=2, name="c"), layers.ReLU(name="r"),
    ],
    "Dense, BatchNormalization, ReLU": lambda: [
        layers.Flatten(), layers.Dense(6, name="c"), norm(), layers.ReLU(name="r"),
    ],
    "transposed, BatchNormalization": lambda: [layers.Conv2DTranspose(4, 3, name="c"), norm()],
    "separable": lambda: [layers.SeparableConv2D(4, 3, name="c")],
    "separable with relu": lambda: [layers.SeparableConv2D(4, 3, activation="relu", name="c")],
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_all_of_a_model_is_int8_and_the_file_computes_what_was_trained(form: str, tmp_path: Path) -> None:
    tf_keras.utils.set_random_seed(2)
    model = stirred(stack(*FORMS[form]()))
    model._name = "net"
    before = model(FEATURES, training=False).numpy()
    prepared = prepare(model)
    np.testing.assert_allclose(prepared(FEATURES, training=False), before, rtol=1e-4, atol=1e-5)
    quantized = calibrated(quantize(prepared))
    file, outputs = int8_file(quantized, tmp_path)

    assert dtypes(file)["c"] == dtypes(file)["d"] == "int8"
    assert set(dtypes(file).values()) == {"int8"}
    assert file.activation_dtypes["float32"] == 2  # input and output
    expected = quantized(FEATURES, training=False).numpy()
    # Nothing in the file is quantized that was not while it was trained: what is left is the rounding of a
    # few outputs that lie between two steps.
    difference = np.abs(outputs - expected) / output_step(quantized)
    assert difference.max() <= 1.01
    assert np.mean(difference > 0.01) < 0.1


@pytest.mark.parametrize(
    ("form", "config"),
    [
        ("conv, ReLU", "KernelQuantizeConfig"),  # TFMOT by itself leaves the kernel in float
        ("depthwise, two for each channel", "KernelQuantizeConfig"),
        ("conv, BatchNormalization, ReLU", "Default8BitConvQuantizeConfig"),
    ],
)
def test_a_kernel_before_a_relu_of_its_own_is_fake_quantized(form: str, config: str) -> None:
    tf_keras.utils.set_random_seed(2)
    model = calibrated(quantize(stack(*FORMS[form]())))
    layer = model.get_layer("quant_c")
    assert type(layer.quantize_config).__name__ == config
    ((_, quantizer),) = layer.quantize_config.get_weights_and_quantizers(layer.layer)
    assert type(quantizer).__name__ == "Default8BitConvWeightsQuantizer"

    weights = layer_weights.kernel_of(layer)
    values = weights.numpy()
    biggest = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
    before = model(FEATURES, training=False).numpy()
    # A weight on the grid of its channel may move by less than half a step and gives the same output.
    channel = 0
    grid = biggest[channel] / 127
    on_grid = values.copy()
    on_grid[..., channel] = np.round(values[..., channel] / grid) * grid
    for share, same in ((0.0, True), (0.45, True), (0.55, False)):
        moved = on_grid.copy()
        (index, *_) = np.argwhere(np.abs(on_grid[..., channel]) < 0.5 * biggest[channel])
        moved[(*index, channel)] += share * grid
        weights.assign(moved)
        after = model(FEATURES, training=False).numpy()
        assert np.array_equal(after, before) is same, share


def test_one_scale_for_the_whole_kernel(tmp_path: Path) -> None:
    parts = [
        layers.Conv2D(4, 3, name="a"), layers.ReLU(), layers.Conv2D(5, 3, name="b"),
        layers.Conv2DTranspose(3, 3, name="c"), layers.Conv2D(2, 1, name="e"),
    ]  # fmt: skip
    tf_keras.utils.set_random_seed(2)
    quantized = calibrated(quantize(stack(*parts), one_scale=["a", "b", "c"]))
    file, outputs = int8_file(quantized, tmp_path)

    assert {kernel.layer: kernel.scales.size for kernel in file.kernels} == {
        "a": 1, "b": 1, "c": 1, "e": 2, "d": 1,
    }  # fmt: skip
    expected = quantized(FEATURES, training=False).numpy()
    assert np.abs(outputs - expected).max() <= 1.01 * output_step(quantized)


EXCLUDED: dict[str, tuple[list[str], dict[str, str]]] = {
    "the last layer": (["d"], {"c": "int8", "e": "int8", "d": "float32"}),
    "the first block": (["c", "bn", "r"], {"c": "float32", "e": "int8", "d": "int8"}),
    # The normalization goes with its convolution, into which it is folded.
    "the first convolution": (["c"], {"c": "float32", "e": "int8", "d": "int8"}),
    "by a pattern": (["[cbre]*"], {"c": "float32", "e": "float32", "d": "int8"}),
    "between two others": (["e"], {"c": "int8", "e": "float32", "d": "int8"}),
    "a normalization": (["bn"], {"c": "int8", "e": "int8", "d": "int8"}),
}


@pytest.mark.parametrize("case", EXCLUDED)
def test_what_is_excluded_stays_in_float(case: str, tmp_path: Path) -> None:
    exclude, expected = EXCLUDED[case]
    tf_keras.utils.set_random_seed(2)
    parts = [layers.Conv2D(4, 3, name="c"), norm(), layers.ReLU(name="r"), layers.Conv2D(4, 1, name="e")]
    model = stirred(stack(*parts))
    quantized = calibrated(quantize(prepare(model, exclude), exclude))
    file, outputs = int8_file(quantized, tmp_path)

    assert dtypes(file) == expected
    predicted = quantized(FEATURES, training=False).numpy()
    # A last bit between the layers may be some steps at the end.
    assert np.abs(outputs - predicted).max() <= 4.01 * np.ptp(predicted) / 255


def test_a_normalization_after_dense_can_be_excluded() -> None:
    model = stack(layers.Flatten(), layers.Dense(4, name="e"), norm(), shape=(4,))

    assert [n.name for n in prepare(model).layers if "bn" in n.name] == []
    quantized = quantize(prepare(model, ["bn"]), ["bn"])
    assert quantized.get_layer("bn") and quantized.get_layer("quant_e")


def test_an_excluded_separable_convolution_is_not_split() -> None:
    model = stack(layers.SeparableConv2D(4, 3, name="s"), layers.Conv2D(2, 1, name="c"))

    assert prepare(model, ["s"]) is model
    quantized = quantize(prepare(model, ["s"]), ["s"])
    in_float = layer_of(quantized, "s").layer  # its output is quantized, for what reads it
    assert type(in_float) is InFloat
    assert type(in_float.layer) is layers.SeparableConv2D


@pytest.mark.parametrize(
    ("exclude", "message"),
    [
        (["nothing"], "pattern 'nothing' matches no layer; those are ['c', 'flatten', 'd']"),
        (["*"], "exclude ['*'] leaves no layer to be quantized"),
    ],
)
def test_patterns_that_make_no_sense_are_refused(exclude: list[str], message: str) -> None:
    parts = [layers.Conv2D(2, 1, name="c"), layers.Flatten(name="flatten"), layers.Dense(2, name="d")]
    with pytest.raises(LayerSelectionError) as raised:
        quantize(tf_keras.Sequential([layers.Input((4, 4, 1)), *parts]), exclude)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "options",
    [
        {"use_bias": False, "strides": 2, "padding": "same"},
        {"depth_multiplier": 3, "activation": "relu"},
        {"dilation_rate": 2},
    ],
)
@pytest.mark.parametrize("functional", [False, True])
def test_a_separable_convolution_is_the_two_that_it_is(options: dict[str, Any], functional: bool) -> None:
    tf_keras.utils.set_random_seed(2)
    model = stack(layers.SeparableConv2D(5, 3, name="s", **options), layers.ReLU(name="r"))
    if functional:
        x = layers.Input((8, 8, 3))
        model = tf_keras.Model(
            x, layers.Add()([model.get_layer("s")(x), layers.SeparableConv2D(5, 3, **options)(x)])
        )
        model = tf_keras.Model.from_config(model.get_config())
    before = model.get_weights()
    halved = separable.split(model)

    kinds = [type(layer).__name__ for layer in halved.layers]
    assert "SeparableConv2D" not in kinds
    assert type(halved.get_layer("s")) is layers.Conv2D
    assert type(halved.get_layer("s_depthwise")) is layers.DepthwiseConv2D
    np.testing.assert_allclose(
        halved(FEATURES, training=False), model(FEATURES, training=False), rtol=1e-5, atol=1e-6
    )
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert halved.count_params() == model.count_params()


SEPARABLE = """
import tf_keras
def build_model(hparams):
    image = tf_keras.layers.Input((28, 28, 1), name="image")
    y = tf_keras.layers.Conv2D(8, 3, strides=4, activation="relu", name="c")(image)
    y = tf_keras.layers.SeparableConv2D(16, 3, name="s")(y)
    y = tf_keras.layers.ReLU(name="r")(y)
    y = tf_keras.layers.Dense(10, activation="softmax", name="p")(tf_keras.layers.Flatten()(y))
    model = tf_keras.Model(image, y)
    model.compile(tf_keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy")
    return model
"""


def test_zeros_of_a_separable_convolution_are_held_under_its_name(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path
) -> None:
    from components.pruner.executor import prune
    from components.pruner.params import PruneOptions

    folders = [tmp_path / name for name in ("base", "pruned", "qat")]
    changes = {"definition": ModelDefinition(make_module(SEPARABLE))}
    pruning = PruneOptions(sparsity=0.8, include=["s"], steps=4, batch_size=50, learning_rate=1e-4)
    training = QatOptions(steps=4, batch_size=50, learning_rate=1e-4)
    first = make_job(folders[0], folders[1], pruning, mnist_examples, **changes)
    second = make_job(folders[1], folders[2], training, mnist_examples, **changes)
    tf_keras.utils.set_random_seed(1)
    model_files.save(first.reference_model(), first.base_model, ["image"], StepRecord())
    run_step(prune, first)
    facts = run_step(train_quantization_aware, second)

    before = layer_weights.kernel_of(model_files.load(first.output).get_layer("s")).numpy()
    after = layer_weights.kernel_of(layer_of(model_files.load(second.output), "s")).numpy()
    assert before.shape == after.shape == (1, 1, 8, 16)
    np.testing.assert_array_equal(before == 0, after == 0)
    assert np.any(before != after)
    assert facts["least_layer_sparsity"] == pytest.approx(0.8, abs=0.005)
    path = tmp_path / "file.tflite"
    saved = model_files.serving_dir(second.output)
    path.write_bytes(convert(saved, ConvertOptions(quantization="int8"), True, None))
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (stored,) = [
        interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_tensor_details()
        if tuple(detail["shape"]) == (16, 1, 1, 8)
    ]
    assert stored.dtype == np.int8
    np.testing.assert_array_equal(stored.reshape(16, 8).T == 0, after[0, 0] == 0)
    found = tflite_file.read(path).layer_kernels(["s"])
    assert [kernel.values.shape for kernel in found["s"]] == [(16, 1, 1, 8)]


class Unknown(layers.Layer):
    """A layer that nothing knows."""


def raw_operation() -> tf_keras.Model:
    x = layers.Input((4,))
    return tf_keras.Model(x, layers.Dense(2)(x / 2.0))


@pytest.mark.parametrize(
    ("model", "named"),
    [
        pytest.param(lambda: stack(layers.Rescaling(1 / 255, name="scaled")), "scaled", id="rescaling"),
        pytest.param(lambda: stack(layers.LSTM(3, name="l"), shape=(5, 2)), "Layer l:", id="lstm"),
        pytest.param(lambda: stack(layers.LayerNormalization(name="norm")), "norm", id="layernorm"),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="relu"), layers.BatchNormalization(name="bn")),
            "Layer bn:", id="batchnorm-after-an-activation",
        ),
        pytest.param(lambda: stack(stack(shape=(8, 8, 3))), "is a model inside the model", id="model-in-model"),
        pytest.param(lambda: stack(Unknown()), "Unknown", id="custom-layer"),
        pytest.param(raw_operation, "truediv", id="raw-operation"),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="relu6", name="six")),
            "six has activation relu6",
            id="relu6-inside",
        ),
        pytest.param(
            lambda: stack(layers.Conv2D(2, 3, activation="elu", name="e")), "e has activation elu", id="elu-inside"
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_quantized_is_named(model: Callable[[], tf_keras.Model], named: str) -> None:
    with pytest.raises(QuantizationError) as raised:
        quantize(prepare(model()))

    message = str(raised.value)
    assert message.startswith("the model cannot be made quantization-aware: ")
    assert named in message
    assert message.endswith("Leave `qat` out of this candidate: post-training int8 needs no such support")
    assert "\n" not in message and ".." not in message


def test_a_subclassed_model_is_refused() -> None:
    class Mine(tf_keras.Model):
        def call(self, inputs: tf.Tensor) -> tf.Tensor:
            return inputs

    with pytest.raises(QuantizationError) as raised:
        prepare(Mine(name="mine"))
    assert str(raised.value) == (
        "mine is a subclassed model, in which TFMOT sees no layers: build it with the functional API or "
        "Sequential"
    )


CUSTOM = """
import tf_keras
class Doubled(tf_keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs
def build_model(hparams):
    x = tf_keras.layers.Input((784,), name="image")
    y = Doubled(name="doubled")(x)
    model = tf_keras.Model(x, tf_keras.layers.Dense(10, name="p")(y))
    model.compile("sgd", "mse")
    return model
"""


def test_a_layer_of_the_users_own_can_be_excluded(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from components.common.models import stock_layers

    module = make_module(CUSTOM)
    # AutoGraph would take 20 s here.
    monkeypatch.setattr(stock_layers, "_STOCK", (*stock_layers._STOCK, module))
    options = QatOptions(exclude=["doubled"], steps=2, batch_size=50, learning_rate=1e-9)
    job = make_job(
        tmp_path / "base", tmp_path / "out", options, mnist_examples, definition=ModelDefinition(module)
    )
    model_files.save(job.reference_model(), job.base_model, ["image"], StepRecord())
    run_step(train_quantization_aware, job)

    assert StepRecord.read(job.output).float_layers == ["doubled"]


def test_a_step_that_is_refused_leaves_nothing_behind(
    make_module: MakeModule, mnist_examples: Any, tmp_path: Path
) -> None:
    module = make_module(
        """
        import tf_keras
        def build_model(hparams):
            x = tf_keras.layers.Input((784,), name="image")
            y = tf_keras.layers.Dense(10)(tf_keras.layers.Rescaling(1 / 255, name="scaled")(x))
            model = tf_keras.Model(x, y)
            model.compile("sgd", "mse")
            return model
        """
    )
    base, output = tmp_path / "base", tmp_path / "out"
    output.mkdir()
    job = make_job(base, output, QatOptions(), mnist_examples, definition=ModelDefinition(module))
    model_files.save(job.reference_model(), str(base), ["image"], StepRecord())

    with pytest.raises(QuantizationError, match="scaled"):
        train_quantization_aware(job)
    assert list(output.iterdir()) == []
