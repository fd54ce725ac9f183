"""Parts of an int8 file that are left in float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.tflite import tflite_file
from components.common.tflite.operator import Operator, Tensor
from components.tflite_converter import float_parts
from components.tflite_converter.conversion_error import ConversionError
from tests.components.tflite_converter.conftest import Convertible, layers, predict, saved, stack

ALL_INT8 = [
    ("CONV_2D", "int8"), ("DEPTHWISE_CONV_2D", "int8"), ("CONV_2D", "int8"), ("RESHAPE", "int8"),
    ("FULLY_CONNECTED", "int8"), ("FULLY_CONNECTED", "int8"), ("SOFTMAX", "int8"),
]  # fmt: skip


def kinds(content: bytes) -> list[tuple[str, str]]:
    """What computes in which type, in order; casts are left out."""
    found = [o for o in tflite_file.parse(content).operators if o.quantized() or o.in_float()]
    return [(o.name, "int8" if o.quantized() else "float32") for o in found]


def with_float(*names: str) -> list[tuple[str, str]]:
    return [(name, "float32" if name in names else kind) for name, kind in ALL_INT8]


def test_an_int8_file_computes_in_integers_alone(mixed: Convertible) -> None:
    assert kinds(mixed.convert(quantization="int8")) == ALL_INT8


@pytest.mark.parametrize(("io", "granularity"), [("float32", "per-channel"), ("int8", "per-tensor")])
@pytest.mark.parametrize("names", [["SOFTMAX"], ["FULLY_CONNECTED", "SOFTMAX"], ["DEPTHWISE_CONV_2D"]])
def test_operators_that_are_named_stay_in_float(
    mixed: Convertible, names: list[str], granularity: str, io: str, tmp_path: Path
) -> None:
    content = mixed.convert(quantization="int8", io=io, granularity=granularity, float_ops=names)

    assert kinds(content) == with_float(*names)
    found = tflite_file.parse(content).operators
    for operator in found:
        if operator.name in ("CONV_2D", "DEPTHWISE_CONV_2D") and operator.quantized():
            assert (operator.kernel_scales == 1) == (granularity == "per-tensor")
    casts = [o.name for o in found if o.name in ("QUANTIZE", "DEQUANTIZE")]
    assert (found[0].name == "QUANTIZE") == (io == "float32"), casts
    assert (found[-1].name == "QUANTIZE") == (io == "int8" and "SOFTMAX" in names)
    assert mixed.error_of(content, tmp_path) < 0.1


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["conv"], [("CONV_2D", "float32"), *ALL_INT8[1:]]),
        (["conv_bn"], [("CONV_2D", "float32"), *ALL_INT8[1:]]),  # fused into the convolution
        (["separable"], [ALL_INT8[0], ("DEPTHWISE_CONV_2D", "float32"), ("CONV_2D", "float32"), *ALL_INT8[3:]]),
        (["dense"], [*ALL_INT8[:4], ("FULLY_CONNECTED", "float32"), *ALL_INT8[5:]]),
        (["prob*"], [*ALL_INT8[:5], ("FULLY_CONNECTED", "float32"), ("SOFTMAX", "float32")]),
    ],
    ids=lambda value: value[0] if isinstance(value[0], str) else "",
)  # fmt: skip
def test_layers_that_are_named_stay_in_float(
    mixed: Convertible, patterns: list[str], wanted: list[tuple[str, str]], tmp_path: Path
) -> None:
    content = mixed.convert(quantization="int8", io="int8", float_layers=patterns)

    assert kinds(content) == wanted
    assert mixed.error_of(content, tmp_path) < 0.1


def test_operators_and_layers_add_up(mixed: Convertible) -> None:
    content = mixed.convert(quantization="int8", float_ops=["SOFTMAX"], float_layers=["conv"])

    assert kinds(content) == [("CONV_2D", "float32"), *ALL_INT8[1:-1], ("SOFTMAX", "float32")]


def test_the_last_layer_has_its_name_from_the_signature(tmp_path: Path) -> None:
    model = stack([layers.Flatten(), layers.Dense(8, name="hidden"), layers.Dense(3, name="logits")])
    images = np.random.default_rng(0).uniform(size=(20, 28, 28, 1)).astype(np.float32)
    content = saved(model, tmp_path / "m", {"image": images}).convert(
        quantization="int8", float_layers=["logits"]
    )

    assert kinds(content)[-2:] == [("FULLY_CONNECTED", "int8"), ("FULLY_CONNECTED", "float32")]


def test_a_float_softmax_is_nearer_to_keras(mixed: Convertible, tmp_path: Path) -> None:
    features = mixed.examples.features
    exact = mixed.expected["probabilities"]
    coarse = predict(mixed.convert(quantization="int8"), features, tmp_path)["probabilities"]
    fine = predict(mixed.convert(quantization="int8", float_ops=["SOFTMAX"]), features, tmp_path)

    # An int8 softmax has steps of 1/256.
    np.testing.assert_allclose(coarse * 256, np.round(coarse * 256), atol=1e-4)
    assert np.abs(fine["probabilities"].sum(axis=1) - 1).max() < 1e-5
    assert np.abs(fine["probabilities"] - exact).mean() < np.abs(coarse - exact).mean()


def test_an_operator_that_the_model_lacks_is_named_with_those_it_has(mixed: Convertible) -> None:
    with pytest.raises(ConversionError) as raised:
        mixed.convert(quantization="int8", float_ops=["SOFTMAX", "TANH"])

    assert str(raised.value) == (
        "float_ops: the model has no operator TANH; it has CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED, "
        "RESHAPE, SOFTMAX. Write one of them"
    )


def test_a_layer_that_the_model_lacks_is_named_with_those_it_has(mixed: Convertible) -> None:
    with pytest.raises(ConversionError) as raised:
        mixed.convert(quantization="int8", float_layers=["dense", "Relu*"])

    assert str(raised.value) == (
        "float_layers: no layer that computes matches 'Relu*'; there are conv, conv_bn, conv_relu, dense, "
        "flatten, probabilities, separable"
    )


@pytest.mark.parametrize(
    "parts", [{"float_layers": ["*"]}, {"float_ops": ["CONV_2D", "FULLY_CONNECTED", "DEPTHWISE_CONV_2D",
                                                      "RESHAPE", "SOFTMAX"]}]
)  # fmt: skip
def test_something_has_to_be_quantized(mixed: Convertible, parts: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match="leave no operator that could be quantized; write fewer"):
        mixed.convert(quantization="int8", **parts)


def test_one_model_gives_one_file(mixed: Convertible) -> None:
    contents = {mixed.convert(quantization="int8", float_ops=["SOFTMAX"]) for _ in range(2)}
    assert len(contents) == 1


def test_an_operator_that_was_quantized_nevertheless_is_refused() -> None:
    def operator(name: str, dtype: str) -> Operator:
        none = np.zeros(0)
        tensor = Tensor(name, dtype, (1,), 0, 0, none.astype(np.float32), none.astype(np.int64), 0, False)
        return Operator(name, (tensor,), (tensor,), frozenset())

    model = [operator("MUL", "float32"), operator("MUL", "float32"), operator("ADD", "float32")]
    float_parts.refuse_quantized(
        model, model[:1], [operator("MUL", "float32"), operator("MUL", "int8"), operator("ADD", "int8")]
    )
    with pytest.raises(ConversionError, match="the quantizer does not leave MUL in float"):
        float_parts.refuse_quantized(
            model, model[:1], [operator("MUL", "int8"), operator("MUL", "int8"), operator("ADD", "int8")]
        )
