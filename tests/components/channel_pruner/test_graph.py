"""A model without some channels computes what it computes if they are zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.channel_pruner.cuts import Alive
from components.channel_pruner.graph import ChannelError, ChannelGraph, trace
from components.channel_pruner.shrinking import smaller
from tests.components.channel_pruner import graphs

layers = tf_keras.layers


def masked(model: tf_keras.Model, graph: ChannelGraph, alive: Alive, inputs: list[np.ndarray]) -> list[Any]:
    """Outputs of a model in which the output of each layer is multiplied by 0 for channels that are gone."""
    known = {id(t): tf.constant(values) for t, values in zip(model.inputs, inputs, strict=True)}
    for _, level in sorted(model._nodes_by_depth.items(), reverse=True):
        for node in level:
            if node.is_input:
                continue
            args, kwargs = tf.nest.map_structure(
                lambda value: known.get(id(value), value), (node.call_args, node.call_kwargs)
            )
            mask = alive[graph.outputs[node.layer.name]].astype(np.float32)
            known[id(node.outputs)] = node.layer(*args, **kwargs) * mask
    return [known[id(tensor)].numpy() for tensor in model.outputs]


def half(graph: ChannelGraph, seed: int = 0) -> Alive:
    """Half of the units of each group, at random."""
    random, alive = np.random.default_rng(seed), graph.all_alive()
    for group in graph.groups:
        alive[random.permutation(group.units)[: len(group) // 2]] = False
    return alive


def assert_equal_to_masked(model: tf_keras.Model, seed: int = 0) -> tuple[ChannelGraph, tf_keras.Model]:
    graph = trace(model)
    alive = half(graph, seed)
    inputs = graphs.examples(model, seed)
    found = smaller(model, graph, alive)

    given = dict(zip(model.input_names, inputs, strict=True))
    outputs = tf.nest.flatten(found([given[name] for name in found.input_names], training=False))
    for own, wanted in zip(outputs, masked(model, graph, alive, inputs), strict=True):
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(own.numpy() / scale, wanted / scale, atol=2e-5)
    assert [layer.name for layer in found.layers] == [layer.name for layer in model.layers]
    assert found.output_names == model.output_names
    assert found.output_shape == model.output_shape
    assert found.count_params() == graph.parameters(model, alive)
    assert graph.parameters(model, graph.all_alive()) == model.count_params()
    if any(len(group) > 1 for group in graph.groups):
        assert found.count_params() < model.count_params()
        assert graph.macs(alive) < graph.macs(graph.all_alive())
    return graph, found


@pytest.mark.parametrize(
    "seed", [seed if seed < 15 else pytest.param(seed, marks=pytest.mark.soak) for seed in range(100)]
)
def test_a_generated_model_equals_the_masked_one(seed: int) -> None:
    assert_equal_to_masked(graphs.generated(seed), seed)


@pytest.mark.parametrize("name", graphs.SHAPES)
def test_a_common_model_equals_the_masked_one(name: str) -> None:
    graph, _ = assert_equal_to_masked(graphs.SHAPES[name]())
    outputs = {"mobilenet": "logits", "sequential": "values"}
    assert set(graph.whole) == {outputs.get(name, "probabilities")}


def test_layers_that_are_added_share_a_mask() -> None:
    graph = trace(graphs.resnet8())
    (stem,) = [group for group in graph.groups if "stem" in group.layers]
    assert stem.layers == {"stem": 1, "stage0_b": 1} and len(stem) == 4
    (last,) = [group for group in graph.groups if "stage2_shortcut" in group.layers]
    assert last.layers == {"stage2_b": 1, "stage2_shortcut": 1} and len(last) == 16
    assert {"stage0_a": 1} in [group.layers for group in graph.groups]


def test_groups_of_a_convolution_keep_equal_sizes() -> None:
    image = layers.Input((8, 8, 2))
    x = layers.Conv2D(8, 3, name="first")(image)
    x = layers.Conv2D(12, 3, groups=4, dilation_rate=2, name="grouped")(x)
    model = graphs.randomized(tf_keras.Model(image, layers.Dense(3)(layers.Flatten()(x))))
    graph = trace(model)
    assert [(group.layers, len(group)) for group in graph.groups] == [
        ({"first": 4}, 2),
        ({"grouped": 4}, 3),
    ]
    _, found = assert_equal_to_masked(model)
    assert found.get_layer("first").filters == 4
    assert (found.get_layer("grouped").filters, found.get_layer("grouped").groups) == (8, 4)
    assert found.get_layer("grouped").kernel.shape == (3, 3, 1, 8)


def test_multiply_accumulates_are_counted() -> None:
    image = layers.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(image)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(x)
    x = layers.SeparableConv2D(6, 2, name="separable")(x)
    x = layers.Dense(5, name="dense")(layers.Flatten()(x))
    graph = trace(tf_keras.Model(image, x))
    counted = {name: cuts.macs(graph.all_alive()) for name, cuts in graph.cuts.items() if cuts.products}
    assert counted == {
        "conv": 16 * 9 * 3 * 4,
        "depthwise": 4 * 9 * 8,
        "separable": 1 * 4 * 8 + 1 * 8 * 6,
        "dense": 6 * 5,
    }


class _Own(layers.Layer):
    """A layer of the user's."""


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda x: layers.Lambda(lambda values: values * 2, name="odd")(x), "followed through Lambda"),
        (lambda x: _Own(name="odd")(x), "followed through _Own"),
        (lambda x: layers.LayerNormalization(name="odd")(x), "followed through LayerNormalization"),
        (
            lambda x: layers.MultiHeadAttention(1, 2, name="odd")(x, x),
            "followed through MultiHeadAttention",
        ),
        (lambda x: layers.Permute((2, 1), name="odd")(x), "moves the channels away from the last axis"),
        (lambda x: layers.Reshape((24, 2), name="odd")(x), "does not keep the channels along one axis"),
        (lambda x: layers.BatchNormalization(axis=1, name="odd")(x), "does not normalize the last axis"),
        (lambda x: layers.Softmax(name="odd")(x), "followed through Softmax"),
        (lambda x: layers.Activation("softmax", name="odd")(x), "its activation softmax may compute"),
        (lambda x: layers.LSTM(3, name="odd")(x), "followed through LSTM"),
        (
            lambda x: tf_keras.Sequential([layers.Input((12, 4)), layers.Conv1D(3, 1)], name="odd")(x),
            "followed through a model inside the model",
        ),
    ],
)
def test_what_cannot_be_followed_is_left_whole(between: Any, reason: str) -> None:
    series = layers.Input((12, 3), name="series")
    x = layers.Conv1D(4, 1, activation="relu", name="before")(series)
    x = layers.Flatten()(between(x))
    x = layers.Dense(6, activation="relu", name="after")(x)
    model = graphs.randomized(tf_keras.Model(series, layers.Dense(2, name="values")(x)))
    graph, found = assert_equal_to_masked(model)
    assert [group.layers for group in graph.groups] == [{"after": 1}]
    assert set(graph.whole) == {"before", "values"}
    assert graph.whole["before"].layer == "odd" and reason in graph.whole["before"].reason
    assert str(graph.whole["values"]) == "values: it is an output of the model"
    assert found.get_layer("after").units == 3


def test_only_selected_layers_lose_channels() -> None:
    graph = trace(graphs.resnet8(), lambda name: name not in ("stage0_b", "stage1_a"))
    assert str(graph.whole["stem"]) == "stage0_b: it is not selected"
    assert str(graph.whole["stage1_a"]) == "stage1_a: it is not selected"
    assert all("stem" not in group.layers for group in graph.groups)


def test_a_subclassed_model_is_refused() -> None:
    class Own(tf_keras.Model):
        pass

    with pytest.raises(ChannelError, match="is a subclassed model, whose channels cannot be followed"):
        trace(Own())
