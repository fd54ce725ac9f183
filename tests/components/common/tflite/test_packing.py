"""Packed files on the real TFLite Micro: the same to the bit, smaller, and what is left as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files
from components.common.tflite import packing, tflite_file
from components.common.tflite.packing import DECODE, PackingError
from components.common.tflite.tflm import TFLMModel
from tests.components.conftest import Step
from tests.conftest import Trained


def content_of(step: Step) -> bytes:
    return Path(model_files.tflite_file(step.uri)).read_bytes()


def outputs(content: bytes, images: np.ndarray) -> list[bytes]:
    model = TFLMModel(content)
    given = model.stored_inputs({"image": images})["image"]
    return [model.run({"image": one})["probabilities"].tobytes() for one in given]


@pytest.mark.parametrize("quantization", ["int8", "float32"])
def test_a_packed_file_is_smaller_and_the_same_to_the_bit(
    quantization: str, clustered: Step, converted: Callable[..., Step], mnist_arrays: dict[str, Any]
) -> None:
    content = content_of(converted(clustered.uri, quantization))
    images = mnist_arrays["eval"].images

    found = packing.pack(content, "lut")

    assert found.content is not None and len(found.content) < len(content)
    assert outputs(found.content, images) == outputs(content, images)
    kernels = {kernel.layer: kernel for kernel in found.kernels if not kernel.left}
    assert {"conv2", "dense"} <= kernels.keys()
    # What a table holds is counted in the file, here once more.
    for kernel in tflite_file.parse(content).kernels:
        if packed := kernels.get(kernel.layer):
            assert packed.distinct == np.unique(kernel.values).size <= 16
            assert packed.bits <= 4 and packed.tables == 1 and packed.packed < packed.plain
    decoders = [one for one in tflite_file.parse(found.content).operators if one.name == DECODE]
    assert sum(len(one.outputs) for one in decoders) == len(kernels)
    assert TFLMModel(found.content).arena().total > TFLMModel(content).arena().total


@pytest.mark.parametrize("values", [2, 3, 4, 7], ids="{} values".format)
def test_kernels_with_a_scale_for_each_channel_get_a_table_for_each(
    values: int, trained: Trained, converted: Callable[..., Step], mnist_arrays: dict[str, Any]
) -> None:
    untrained = content_of(converted(trained.uri, "int8", granularity="per-channel"))
    content = packing.few_values(untrained, {"conv2": values})

    found = packing.pack(content, "lut")

    kernels = {kernel.layer: kernel for kernel in found.kernels}
    assert kernels["dense"].distinct > 128  # and is left
    assert kernels["conv2"].tables == 8 and kernels["conv2"].distinct == values
    assert not kernels["conv2"].left
    images = mnist_arrays["eval"].images[:50]
    assert found.content is not None and outputs(found.content, images) == outputs(content, images)
    assert len(set(outputs(content, images))) > 1


@pytest.mark.parametrize("values", [3, 7], ids="{} values".format)
def test_tables_of_depthwise_kernels_go_along_the_last_axis(values: int) -> None:
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((6, 6, 8), name="image"),
            tf_keras.layers.DepthwiseConv2D(5, depth_multiplier=4, padding="same", name="depthwise"),
            tf_keras.layers.GlobalAveragePooling2D(),
        ]
    )
    random = np.random.default_rng(0)
    weights = model.get_layer("depthwise").weights[0]
    weights.assign(random.choice(np.linspace(-1, 1, values), weights.shape))
    images = random.uniform(0, 1, (20, 1, 6, 6, 8)).astype(np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image] for image in images)
    content = converter.convert()

    found = packing.pack(content, "lut")

    (kernel,) = found.kernels
    assert (kernel.tables, kernel.distinct, kernel.weights) == (32, values, 5 * 5 * 8 * 4)
    assert found.content is not None
    (made, wanted) = (TFLMModel(one) for one in (found.content, content))
    (name,) = wanted.inputs
    for image in images:
        stored = {name: wanted.stored(name, image)}
        got, plain = made.run(stored), wanted.run(stored)
        assert [got[output].tobytes() for output in plain] == [value.tobytes() for value in plain.values()]
        assert len({*next(iter(plain.values())).ravel().tolist()}) > 3


def test_kernels_with_more_values_than_a_table_holds_are_left_and_named(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    content = content_of(converted(trained.uri, "int8", granularity="per-tensor"))

    dense = next(k for k in packing.pack(content, "auto").kernels if k.layer == "dense")

    assert dense.distinct > 128
    assert (dense.bits, dense.packed) == (0, dense.plain)
    assert dense.left == f"{dense.distinct:,} distinct values, and a table holds at most 128"


def test_without_a_kernel_to_pack_there_is_no_packed_file(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    content = content_of(converted(trained.uri, "float32"))

    assert packing.pack(content, "auto").content is None
    with pytest.raises(PackingError, match=r"dense: 6,272 distinct values.*write a `cluster` step"):
        packing.pack(content, "lut")


def test_automatic_packing_stays_within_memory(clustered: Step, converted: Callable[..., Step]) -> None:
    content = content_of(converted(clustered.uri, "int8", "int8"))
    plain = TFLMModel(content).arena().total

    whole = packing.pack(content, "auto")
    part = packing.pack(content, "auto", memory=plain + 2000)
    none = packing.pack(content, "auto", memory=plain)

    assert whole.content is not None
    assert {k.layer for k in whole.kernels if not k.left} >= {"dense"}
    by_layer = {kernel.layer: kernel for kernel in part.kernels}
    assert "decoding it would take memory to" in by_layer["dense"].left
    if part.content is not None:
        assert TFLMModel(part.content).arena().total <= plain + 2000
    assert none.content is None and all(kernel.left for kernel in none.kernels)


def test_automatic_packing_makes_no_file_larger(clustered: Step, converted: Callable[..., Step]) -> None:
    content = content_of(converted(clustered.uri, "int8", "int8"))

    every, some = packing.pack(content, "lut"), packing.pack(content, "auto")

    assert every.content is not None and some.content is not None
    assert len(some.content) <= len(every.content)
    left = {kernel.layer: kernel.left for kernel in some.kernels if kernel.left}
    assert "its decoder takes more flash than" in "; ".join(left.values())


def test_what_an_untrained_model_will_take_packed(
    clustered: Step, trained: Trained, converted: Callable[..., Step]
) -> None:
    content = content_of(converted(clustered.uri, "int8", "int8"))
    untrained = content_of(converted(trained.uri, "int8", "int8", granularity="per-tensor"))
    layers = [kernel.layer for kernel in tflite_file.parse(content).kernels]

    known = packing.pack(content, "lut").content
    predicted = packing.pack(packing.few_values(untrained, dict.fromkeys(layers, 16)), "lut").content

    assert known is not None and predicted is not None
    arenas = [TFLMModel(one).arena() for one in (predicted, known)]
    assert arenas[0].head == arenas[1].head
    assert arenas[0].total == pytest.approx(arenas[1].total, rel=0.05)
    assert len(predicted) == pytest.approx(len(known), rel=0.05)
