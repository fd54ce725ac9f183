"""Which layers are pruned: by name, by what TFMOT can do, and by the structure that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tf_keras

from components.common.base.step_options import Baseline
from components.common.models import model_files
from components.common.models.layer_selection import LayerSelectionError
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.steps.explanation import Outlook, Workshop
from components.pruner.explanation import explain
from components.pruner.params import PruneOptions
from components.pruner.selection import layer_targets, select_layers
from tests.conftest import MNIST_HPARAMS, MNIST_MODULE, Trained

layers = tf_keras.layers


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        pytest.param(
            (["conf1"], []), r"'conf1' matches no layer.*'conv1', 'conv2', 'dense', 'prob", id="typo"
        ),
        pytest.param((["*"], ["pool"]), "'pool' matches no layer that can be pruned", id="has-no-weights"),
        pytest.param((["conv1_bn"], []), "'conv1_bn' matches no layer", id="batch-normalization"),
        pytest.param(
            (["dense"], ["d*"]), r"include \['dense'\] and exclude \['d\*'\] leave no", id="nothing-left"
        ),
    ],
)
def test_patterns_that_select_nothing_are_refused(trained: Trained, patterns: tuple, message: str) -> None:
    with pytest.raises(LayerSelectionError, match=message):
        select_layers(model_files.load(trained.uri), *patterns)


def stack(*parts: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), *parts])


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            lambda: stack(layers.Conv2D(4, 3, name="c"), layers.DepthwiseConv2D(3, name="dw")),
            ["c"], id="TFMOT-takes-DepthwiseConv2D-and-prunes-nothing",
        ),
        pytest.param(lambda: stack(layers.SeparableConv2D(4, 3, name="s")), ["s"], id="separable"),
        pytest.param(lambda: stack(layers.Rescaling(2.0), layers.Dense(3, name="d")), ["d"], id="scaled"),
        pytest.param(
            lambda: stack(layers.Embedding(5, 4, name="e"), layers.Dense(3, name="d"), shape=(6,)),
            ["e", "d"], id="embedding",
        ),
        pytest.param(
            lambda: stack(
                layers.Bidirectional(layers.LSTM(2), name="b"), layers.Dense(3, name="d"), shape=(4, 2)
            ),
            ["d"], id="a-wrapper-of-layers",
        ),
    ],
)  # fmt: skip
def test_all_means_the_layers_whose_kernel_tfmot_prunes(
    model: Callable[[], tf_keras.Model], expected: list[str]
) -> None:
    assert select_layers(model(), ["*"], []) == expected


def test_a_model_inside_the_model_is_refused_or_excluded() -> None:
    model = stack(stack(layers.Conv2D(4, 3), shape=(8, 8, 3)), layers.Dense(2, name="d"))
    inner = model.layers[0].name

    for structure in ({}, {"m_by_n": (1, 2)}, {"block": (2, 1)}):
        with pytest.raises(LayerSelectionError, match=f"{inner} is a model inside the model.*exclude"):
            select_layers(model, ["*"], [], **structure)
        assert select_layers(model, ["*"], [inner], **structure) == ["d"]


@pytest.fixture(scope="module")
def zoo() -> tf_keras.Model:
    """A grey image through layers of many kinds; `c1` has 1 input channel, `c3` 6."""
    return stack(
        layers.Conv2D(6, 3, name="c1"),
        layers.Conv2D(8, 3, name="c3"),
        layers.SeparableConv2D(4, 1, name="s"),
        layers.Conv2DTranspose(8, 2, name="t"),
        layers.Reshape((-1, 8), name="r"),
        layers.Conv1D(8, 3, name="one"),
        layers.LSTM(4, name="lstm"),
        layers.Dense(8, name="d"),
        layers.Dense(3, name="out"),
        shape=(8, 8, 1),
    )


def test_m_by_n_leaves_out_what_cannot_have_it(zoo: tf_keras.Model) -> None:
    assert select_layers(zoo, ["*"], [], m_by_n=(2, 4)) == ["c3", "s", "d", "out"]
    assert select_layers(zoo, ["c*", "d"], [], m_by_n=(2, 4)) == ["c3", "d"]
    assert select_layers(zoo, ["*"], [], m_by_n=(5, 8)) == ["s", "out"]
    # No one has to know which layers can be excluded.
    assert select_layers(zoo, ["*"], ["c1", "o*"], m_by_n=(2, 4)) == ["c3", "s", "d"]


def test_blocks_are_for_dense_layers_that_have_several(zoo: tf_keras.Model) -> None:
    assert select_layers(zoo, ["*"], [], block=(4, 2)) == ["d", "out"]
    assert select_layers(zoo, ["*"], ["c*"], block=(8, 4)) == ["d"]


@pytest.mark.parametrize(
    ("include", "structure", "message"),
    [
        (
            ["*", "c1"], {"m_by_n": (2, 4)},
            r"include: 'c1' matches no layer that can have 2:4 sparsity \(c1: 1 input channel, fewer than 4\); "
            "remove it, or prune these layers in another `prune` step with only `sparsity`",
        ),
        (["c3"], {"m_by_n": (5, 8)}, r"c3: 6 input channels, fewer than 8"),
        (["t"], {"m_by_n": (2, 4)}, "t: Conv2DTranspose is not Dense, Conv2D or SeparableConv2D"),
        (["lstm"], {"m_by_n": (2, 4)}, "lstm: LSTM is not Dense, Conv2D or"),
        (
            ["c?"], {"block": (4, 1)},
            r"'c\?' matches no layer that can have block sparsity \(c1, c3: Conv2D is not Dense\)",
        ),
        (["out"], {"block": (8, 4)}, "out: a kernel of 8×3 has only one block"),
        (["nowhere"], {"m_by_n": (2, 4)}, r"'nowhere' matches no layer that can be pruned; those are \['c3'"),
    ],
)  # fmt: skip
def test_a_layer_that_is_named_and_cannot_have_it_is_refused(
    zoo: tf_keras.Model, include: list[str], structure: dict, message: str
) -> None:
    with pytest.raises(LayerSelectionError, match=message):
        select_layers(zoo, include, [], **structure)


def test_the_first_pattern_that_matches_gives_the_target(trained: Trained) -> None:
    options = PruneOptions(sparsity=0.8, per_layer={"conv1": 0.3, "conv*": 0.6}, exclude=["prob*"])
    # The keys of JSON objects are sorted on their way to the executor; the order of patterns stays.
    for given in (options, PruneOptions.from_canonical(options.canonical_json())):
        assert layer_targets(model_files.load(trained.uri), given) == {
            "conv1": 0.3, "conv2": 0.6, "dense": 0.8
        }  # fmt: skip


@pytest.mark.parametrize(
    ("per_layer", "message"),
    [
        (
            {"nowhere": 0.5},
            r"'nowhere' matches no layer that is pruned; those are \['conv2', 'dense', 'prob",
        ),
        ({"conv1": 0.5}, "'conv1' matches no layer that is pruned"),
        ({"[cd]*": 0.5, "dense": 0.9}, r"'dense' is never used, as \['\[cd\]\*'\] before it"),
    ],
)
def test_patterns_that_decide_nothing_are_refused(trained: Trained, per_layer: dict, message: str) -> None:
    options = PruneOptions(sparsity=0.8, per_layer=per_layer, exclude=["conv1"])
    with pytest.raises(LayerSelectionError, match=message):
        layer_targets(model_files.load(trained.uri), options)


def test_a_share_of_all_weights_leaves_out_what_per_layer_decides(trained: Trained) -> None:
    model = model_files.load(trained.uri)
    options = PruneOptions(sparsity=0.8, per_layer={"conv1": 0.25}, allocation="lamp")
    targets = layer_targets(model, options)

    sizes = {name: model.get_layer(name).get_weights()[0].size for name in targets}
    assert targets.pop("conv1") == 0.25
    assert sizes.pop("conv1") == 36
    assert sum(targets[name] * size for name, size in sizes.items()) == pytest.approx(
        0.8 * sum(sizes.values()), abs=1
    )
    assert targets["dense"] > 0.8 > targets["probabilities"]


def test_each_layers_share_of_a_share_of_all_weights_is_explained(trained: Trained) -> None:
    model = model_files.load(trained.uri)
    workshop = Workshop(ModelDefinition(MNIST_MODULE, MNIST_HPARAMS), lambda _, __: b"", None)
    options = PruneOptions(sparsity=0.8).like(Baseline(imported=True))
    found = explain(Outlook(model, StepRecord(), workshop), options)

    targets = layer_targets(model, options)
    assert len(set(targets.values())) == 4
    assert {name: found.effects[name] for name in targets} == {
        n: f"{t:.0%} zeros" for n, t in targets.items()
    }
    together, before = found.remarks
    assert together.startswith("80% of all weights together become zero.")
    assert before.startswith("Weights are removed before training")


def test_m_by_n_is_one_target_for_all(trained: Trained) -> None:
    options = PruneOptions(m_by_n="1:4")
    assert layer_targets(model_files.load(trained.uri), options) == {
        "conv2": 0.25, "dense": 0.25, "probabilities": 0.25
    }  # fmt: skip
