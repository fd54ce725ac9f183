"""Scales of quantized kernels: one for each output channel, or one for all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.tflite import tflite_file
from components.tflite_converter.conversion_error import ConversionError
from tests.components.tflite_converter.conftest import Convertible, layers, saved, stack

CHANNELS = {"CONV_2D": [16, 32], "DEPTHWISE_CONV_2D": [32], "FULLY_CONNECTED": [1, 1]}
# Of the largest value; a wrongly read scale is off by more than the value itself.
LARGEST = {"dynamic": 0.02, "int8": 0.1, "int16x8": 0.1}
QUANTIZED_BY_DYNAMIC = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 2}


def scales(content: bytes, kind: str) -> list[int]:
    """Number of scales of the quantized kernels of a kind of operator."""
    found = [o.kernel_scales for o in tflite_file.parse(content).operators if o.name == kind]
    return [count for count in found if count]


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int16x8"])
def test_scales_per_channel(
    by_kernel: dict[str, Convertible], kind: str, quantization: str, tmp_path: Path
) -> None:
    model = by_kernel[kind]
    content = model.convert(quantization=quantization, granularity="per-channel")

    wanted = CHANNELS[kind]
    if quantization == "dynamic":  # smaller kernels stay in float
        wanted = wanted[-QUANTIZED_BY_DYNAMIC[kind] :]
    # Since TensorFlow 2.17 the kernels of Dense layers, too, have a scale for each unit.
    newer = [32] * len(wanted) if kind == "FULLY_CONNECTED" else wanted
    assert scales(content, kind) in (wanted, newer)
    assert content == model.convert(quantization=quantization)
    assert model.error_of(content, tmp_path) < LARGEST[quantization]


@pytest.mark.parametrize("kind", CHANNELS)
@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int16x8"])
def test_one_scale_per_kernel(
    by_kernel: dict[str, Convertible], kind: str, quantization: str, tmp_path: Path
) -> None:
    model = by_kernel[kind]
    if kind == "DEPTHWISE_CONV_2D" and quantization != "int8":
        said = {
            "dynamic": "compute depthwise convolutions wrongly",
            "int16x8": "conversion to int16x8 failed: int16x8 has no per-tensor scales for depthwise",
        }[quantization]
        with pytest.raises(ConversionError, match=f"{said}.*; write granularity: per-channel$"):
            model.convert(quantization=quantization, granularity="per-tensor")
        return
    content = model.convert(quantization=quantization, granularity="per-tensor")

    found = scales(content, kind)
    assert found == [1] * len(found) and len(found) >= QUANTIZED_BY_DYNAMIC[kind]
    assert content == model.convert(clustered=True, quantization=quantization)
    assert model.error_of(content, tmp_path) < LARGEST[quantization]


@pytest.mark.parametrize("quantization", ["dynamic", "int8", "int16x8"])
def test_few_values_stay_few_with_one_scale(tmp_path: Path, quantization: str) -> None:
    model = stack([layers.Conv2D(64, 5, strides=3, name="conv"), layers.GlobalAveragePooling2D()])
    kernel = model.get_layer("conv").weights[0]
    random = np.random.default_rng(0)
    centroids = np.array([-1.3, -0.4, 0, 0.2, 0.7, 1.1], np.float32)
    # No channel has all of them, so that their largest values differ.
    held = [random.choice(centroids, 3, replace=False) for _ in range(64)]
    values = np.stack([random.choice(values, (5, 5, 1)) for values in held], axis=-1)
    kernel.assign(values)
    images = random.uniform(size=(20, 28, 28, 1)).astype(np.float32)
    convertible = saved(model, tmp_path / "model", {"image": images})

    unique = {}
    for clustered in (False, True):
        (tmp_path / "file").write_bytes(convertible.convert(clustered, quantization=quantization))
        (found,) = tflite_file.read(tmp_path / "file").kernels
        unique[clustered] = found.unique()
    assert unique[True] == len(centroids) == len(np.unique(values))
    assert unique[False] > len(centroids)
