"""How many channels each layer keeps, and which ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tf_keras

from components.channel_pruner import importance
from components.channel_pruner.allocation import allocate, channels_of, choose
from components.channel_pruner.graph import ChannelError
from components.channel_pruner.params import ChannelOptions
from components.channel_pruner.shrinking import smaller
from components.common.data.arrays import Arrays
from components.common.models.layer_selection import LayerSelectionError
from tests.components.channel_pruner import graphs

layers = tf_keras.layers


def plain(*filters: int, norm: bool = False) -> tf_keras.Model:
    """A chain of convolutions conv0, conv1, … and a dense layer."""
    x = image = layers.Input((4, 4, 2), name="image")
    for number, count in enumerate(filters):
        x = layers.Conv2D(count, 3, padding="same", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"bn{number}")(x) if norm else x
        x = layers.ReLU()(x)
    return graphs.randomized(tf_keras.Model(image, layers.Dense(2, name="out")(layers.Flatten()(x))))


def kept(model: tf_keras.Model, **options: Any) -> dict[str, int]:
    """Layer → its number of channels."""
    chosen = ChannelOptions(**options)
    graph = channels_of(model, chosen)
    scores = importance.of_weights(chosen.importance, model, graph, graph.all_alive())
    counts = allocate(model, graph, chosen, scores)
    return {"+".join(g.layers): count for g, count in zip(graph.groups, counts, strict=True)}


def test_a_ratio_is_of_each_layer_in_multiples() -> None:
    model = plain(32, 20, 12, 3)
    assert kept(model, ratio=0.5) == {"conv0": 16, "conv1": 8, "conv2": 8, "conv3": 2}
    assert kept(model, ratio=0.5, multiple_of=1) == {"conv0": 16, "conv1": 10, "conv2": 6, "conv3": 2}
    assert kept(model, ratio=0.99) == {"conv0": 8, "conv1": 8, "conv2": 4, "conv3": 1}
    per_layer = {"conv0": 0.75, "conv[01]": 0.25}
    found = kept(model, ratio=0.5, multiple_of=1, per_layer=per_layer, exclude=["conv2"])
    assert found == {"conv0": 8, "conv1": 15, "conv3": 2}


@pytest.mark.parametrize("goal", ["macs", "parameters"])
@pytest.mark.parametrize("scope", ["layer", "global"])
def test_what_remains_is_within_a_budget(goal: str, scope: str) -> None:
    model = plain(24, 32, 48)
    options = ChannelOptions(**{goal: 0.4, "multiple_of": 2, "scope": scope})
    graph = channels_of(model, options)
    scores = importance.of_weights("l1", model, graph, graph.all_alive())
    alive = choose(graph, allocate(model, graph, options, scores), scores)
    every = graph.all_alive()
    found = smaller(model, graph, alive)
    if goal == "parameters":
        share = found.count_params() / model.count_params()
    else:
        share = graph.macs(alive) / graph.macs(every)
    assert 0.33 < share <= 0.4
    assert all(layer.filters % 2 == 0 for layer in found.layers if isinstance(layer, layers.Conv2D))


def test_globally_the_least_important_layer_loses_most() -> None:
    model = plain(32, 32)
    kernel = model.get_layer("conv0").kernel
    uneven = np.ones(kernel.shape, np.float32)
    uneven[..., 8:] = 0.01  # and relative to the layer's mean, 24 filters are far below those of conv1
    kernel.assign(uneven)
    found = kept(model, ratio=0.375, scope="global", multiple_of=1)
    assert found == {"conv0": 8, "conv1": 32}
    least = kept(model, ratio=0.9, scope="global", multiple_of=1)
    assert min(least.values()) >= 3


def test_rounds_approach_the_goal() -> None:
    model = plain(64, 64)
    options = ChannelOptions(ratio=0.75, rounds=2)
    graph = channels_of(model, options)
    assert allocate(model, graph, options, None, 0.5) == [32, 32]
    assert allocate(model, graph, options, None, 1.0) == [16, 16]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"ratio": 0.01},
            "ratio 0.01 removes no channel, because multiples of 8 must remain; write a higher ratio",
        ),
        ({"macs": 0.001}, r"macs: 0.001 cannot be reached: 0.\d+ remains .* write macs: 0.\d+ or more"),
        ({"parameters": 0.001}, "parameters: 0.001 cannot be reached"),
        (
            {"ratio": 0.5, "include": ["out"]},
            "no layer has channels that can be removed: out: it is an output",
        ),
        (
            {"ratio": 0.5, "importance": "batch_norm"},
            "no layer has channels that can be removed: .*conv0: no BatchNormalization with a scale follows",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ChannelError, match=message):
        kept(plain(16, 16), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ratio": 0.5, "include": ["odd*"]}, r"pattern 'odd\*' matches no layer that can be pruned"),
        (
            {"ratio": 0.5, "per_layer": {"odd": 0.1}},
            "per_layer: pattern 'odd' matches no layer whose channels",
        ),
        (
            {"ratio": 0.5, "per_layer": {"out": 0.1}},
            "per_layer: pattern 'out' matches no layer whose channels",
        ),
    ],
)
def test_patterns_that_match_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(LayerSelectionError, match=message):
        kept(plain(16, 16), **options)


def chosen(model: tf_keras.Model, kind: str, layer: str) -> list[int]:
    """Channels of a layer by importance, the least important one first."""
    graph = channels_of(model, ChannelOptions(ratio=0.5))
    scores = importance.of_weights(kind, model, graph, graph.all_alive())
    return [int(place) for place in np.argsort(scores[graph.outputs[layer]])]


def test_importance_by_weights() -> None:
    model = plain(4, norm=True)
    kernel = np.zeros((3, 3, 2, 4), np.float32)
    kernel[0, 0, 0] = [3.0, 0.0, 1.9, 4.0]
    kernel[1, 1, 1] = [0.0, 2.5, 1.9, 4.1]
    model.get_layer("conv0").kernel.assign(kernel)
    model.get_layer("bn0").gamma.assign([0.1, -0.9, 0.5, 0.2])
    assert chosen(model, "l1", "conv0") == [1, 0, 2, 3]  # 2.5, 3, 3.8, 8.1
    assert chosen(model, "l2", "conv0") == [1, 2, 0, 3]  # 2.5, 2.69, 3, 5.73
    assert chosen(model, "batch_norm", "conv0") == [0, 3, 2, 1]
    flat = kernel.reshape(-1, 4).T
    distances = [sum(np.linalg.norm(one - other) for other in flat) for one in flat]
    assert chosen(model, "fpgm", "conv0") == list(np.argsort(distances)) and np.argmin(distances) == 2


@pytest.mark.parametrize("norm", [False, True])
def test_importance_by_loss_is_the_change_of_the_loss(norm: bool) -> None:
    model = plain(6, norm=norm)
    model.compile("sgd", "mse")
    graph = channels_of(model, ChannelOptions(ratio=0.5))
    (images,) = graphs.examples(model, count=32)
    labels = model(images).numpy() + np.array([0.5, -0.25], np.float32)
    scores = importance.of_loss(model, graph, graph.all_alive(), Arrays({"image": images}, labels))

    # By scaling a channel down a little: what the first order says, from the outside.
    name, step = "bn0" if norm else "conv0", 1e-2
    before = float(np.mean((model(images).numpy() - labels) ** 2))
    changes = []
    for channel in range(6):
        weights = model.get_layer(name).get_weights()
        scaled = [weight.copy() for weight in weights]
        for weight in scaled[:2]:
            weight[..., channel] *= 1 - step
        model.get_layer(name).set_weights(scaled)
        changes.append((float(np.mean((model(images).numpy() - labels) ** 2)) - before) / step)
        model.get_layer(name).set_weights(weights)
    found = scores[graph.outputs["conv0"]]
    np.testing.assert_allclose(np.sqrt(found), np.abs(changes), atol=0.03 * max(np.sqrt(found)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "how much to remove is missing"),
        ({"ratio": 0.5, "macs": 0.5}, "ratio and macs both say how much to remove"),
        ({"ratio": 1.0}, "less than 1"),
        ({"ratio": 0.5, "per_layer": {"a": 0}}, "0 would leave these layers whole"),
        ({"ratio": 0.5, "rounds": 3, "steps": 2}, r"steps \(2\) are fewer than 3 rounds"),
        ({"ratio": 0.5, "importance": "size"}, "'l1', 'l2', 'batch_norm', 'taylor' or 'fpgm'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChannelOptions(**options)


def test_options_are_read_back_in_their_order() -> None:
    options = ChannelOptions(macs=0.5, per_layer={"b*": 0.2, "a*": 0.3}, importance="taylor")
    found = ChannelOptions.from_canonical(options.canonical_json())
    assert found == options and list(found.per_layer) == ["b*", "a*"]
