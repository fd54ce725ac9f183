"""Clustering: few values in every layer, zeros that stay, and what cannot be clustered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.clusterer import executor
from components.clusterer.executor import cluster, select_layers
from components.clusterer.params import ClusterOptions
from components.common.models import layer_weights, model_files
from components.common.models.layer_selection import LayerSelectionError
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from tests.components.conftest import KERNEL_SHAPES, Step, make_job, must_keep, run_step
from tests.conftest import Digits, Trained

layers = tf_keras.layers


def kernel(model: tf_keras.Model, name: str) -> np.ndarray:
    return layer_weights.kernel_of(model.get_layer(name)).numpy()


def run(base: str, examples: Any, output: Path, **options: Any) -> tuple[tf_keras.Model, Step]:
    filled = ClusterOptions(**{"steps": 3, "batch_size": 50, "learning_rate": 0.001, **options})
    facts = run_step(cluster, make_job(base, output, filled, examples))
    return model_files.load(str(output)), Step(str(output), facts)


def test_every_layer_has_16_values(clustered: Step) -> None:
    model = model_files.load(clustered.uri)
    counts = {name: len(np.unique(kernel(model, name))) for name in KERNEL_SHAPES}

    assert max(counts.values()) == 16
    assert min(counts.values()) >= 12  # clustering that leaves a few values more unused is not one
    facts = clustered.facts
    assert facts["technique"] == "cluster"
    assert facts["most_layer_clusters"] == 16
    stated = json.loads(facts["layers"])
    assert {name: stated[name]["unique"] for name in KERNEL_SHAPES} == counts
    assert stated["dense"] == {
        "dtype": "float32", "weights": 6272, "sparsity": 0.0, "unique": counts["dense"],
    }  # fmt: skip
    wanted = must_keep(clusters=16)
    assert StepRecord.read(clustered.uri).layers == dict.fromkeys(KERNEL_SHAPES, wanted)


def test_batch_normalization_is_folded_as_the_converter_would(clustered: Step, trained: Trained) -> None:
    def norms(uri: str) -> list[str]:
        model = model_files.load(uri)
        return [n.name for n in model.layers if isinstance(n, layers.BatchNormalization)]

    assert norms(trained.uri) == ["conv1_bn", "conv2_bn"]
    assert norms(clustered.uri) == []
    assert model_files.load(clustered.uri).get_layer("conv1").use_bias


def test_it_still_distinguishes_digits(
    clustered: Step, trained: Trained, mnist_arrays: dict[str, Digits]
) -> None:
    digits = mnist_arrays["eval"]
    images = digits.images.reshape(-1, 28, 28, 1).astype(np.float32)
    answers = model_files.load(clustered.uri)(images, training=False).numpy().argmax(axis=1)

    accuracy = np.mean(answers == digits.labels)
    assert accuracy == pytest.approx(clustered.facts["final_val_accuracy"], abs=1e-6)
    assert accuracy > trained.history["val_accuracy"][-1] - 0.05


def test_the_same_seed_gives_the_same_weights(
    clustered: Step, trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    again, _ = run(trained.uri, mnist_examples, tmp_path, clusters=16, steps=10)

    for one, other in zip(model_files.load(clustered.uri).weights, again.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_zeros_of_a_pruned_model_stay_where_they_are(pruned: Step, pruned_clustered: Step) -> None:
    before, after = model_files.load(pruned.uri), model_files.load(pruned_clustered.uri)

    for name in KERNEL_SHAPES:
        np.testing.assert_array_equal(kernel(before, name) == 0, kernel(after, name) == 0)
        assert len(np.unique(kernel(after, name))) <= 16
    facts = pruned_clustered.facts
    assert facts["technique"] == "prune-cluster"
    assert facts["least_layer_sparsity"] == min(np.mean(kernel(after, n) == 0) for n in KERNEL_SHAPES)
    record = StepRecord.read(pruned_clustered.uri)
    assert record.layers["dense"] == must_keep(sparsity=0.8, clusters=16)


@pytest.mark.parametrize("initialization", ["linear", "density", "random"])
def test_other_first_centroids(initialization: str, pruned: Step) -> None:
    before = model_files.load(pruned.uri)
    record = StepRecord.read(pruned.uri)
    asked = options(clusters=8, initialization=initialization)
    wrapped = executor.wrap(model_files.load(pruned.uri), ["conv2", "dense"], asked, record)
    after = executor._clustering.strip_clustering(wrapped)

    for name in ("conv2", "dense"):
        values = np.unique(kernel(after, name))
        assert 4 <= len(values) <= 8 and 0 in values
        # A small weight may become zero; every zero stays zero.
        assert np.all(kernel(after, name)[kernel(before, name) == 0] == 0)
        assert np.mean(kernel(after, name) == 0) < 0.9
    np.testing.assert_array_equal(kernel(after, "conv1"), kernel(before, "conv1"))


def test_channels_of_a_pruned_convolution_have_values_of_their_own(
    pruned: Step, mnist_examples: Any, tmp_path: Path
) -> None:
    """TFMOT's own way to keep zeros per channel fails if a channel has too few other weights."""
    after, step = run(pruned.uri, mnist_examples, tmp_path, clusters=4, per_channel=True)
    before = model_files.load(pruned.uri)

    conv2 = kernel(after, "conv2")
    assert [len(np.unique(conv2[..., channel])) for channel in range(8)] == [4] * 8
    assert len(np.unique(conv2)) > 16
    assert len(np.unique(kernel(after, "dense"))) <= 4
    for name in KERNEL_SHAPES:
        np.testing.assert_array_equal(kernel(before, name) == 0, kernel(after, name) == 0)
    layers_ = StepRecord.read(step.uri).layers
    assert layers_["conv2"] == must_keep(sparsity=0.8, clusters=4, per_channel=True)
    assert layers_["dense"] == must_keep(sparsity=0.8, clusters=4)


def test_what_is_excluded_stays_as_it_is_and_channels_have_values_of_their_own(
    trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    options = {"include": ["conv*", "dense"], "exclude": ["conv1"], "clusters": 6, "per_channel": True}
    after, step = run(trained.uri, mnist_examples, tmp_path, **options)

    assert sorted(StepRecord.read(step.uri).layers) == ["conv2", "dense"]
    counts = {name: len(np.unique(kernel(after, name))) for name in KERNEL_SHAPES}
    assert counts["conv1"] == 36 and counts["probabilities"] > 150
    conv2 = kernel(after, "conv2")
    assert max(len(np.unique(conv2[..., channel])) for channel in range(8)) == 6
    assert counts["conv2"] > 36 and counts["dense"] <= 6
    assert step.facts["most_layer_clusters"] == 6
    # What is not clustered keeps its BatchNormalization.
    assert [n.name for n in after.layers if n.name.endswith("_bn")] == ["conv1_bn"]


def model_of(*parts: Any, shape: tuple[int, ...] = (8, 8, 3)) -> tf_keras.Model:
    return tf_keras.Sequential([layers.Input(shape), *parts])


options = ClusterOptions


def shared(model: tf_keras.Model, names: list[str], **changes: Any) -> tf_keras.Model:
    """The model with TFMOT's clusters, not trained."""
    wrapped = executor.wrap(model, names, options(**changes), StepRecord())
    return executor._clustering.strip_clustering(wrapped)


@pytest.mark.parametrize(
    ("layer", "shape", "possible"),
    [
        (lambda: layers.Dense(5), (4,), True),
        (lambda: layers.Conv1D(5, 3), (8, 4), True),
        (lambda: layers.Conv2D(5, 3), (8, 8, 4), True),
        (lambda: layers.Conv3D(5, 3), (8, 8, 8, 4), True),
        (lambda: layers.Conv2DTranspose(5, 3), (8, 8, 4), True),
        (lambda: layers.SeparableConv2D(5, 3), (8, 8, 4), True),
        (lambda: layers.Embedding(9, 4), (3,), True),
        (lambda: layers.DepthwiseConv2D(3), (8, 8, 4), False),
        (lambda: layers.LSTM(3), (5, 4), False),
        (lambda: layers.BatchNormalization(), (4,), False),
        (lambda: layers.ReLU(), (4,), False),
    ],
)
def test_layers_that_can_be_clustered(
    layer: Callable[[], tf_keras.layers.Layer], shape: tuple[int, ...], possible: bool
) -> None:
    assert executor.can_cluster(model_of(layer(), shape=shape).layers[0]) is possible


def test_a_depthwise_convolution_is_left_alone() -> None:
    parts = [layers.DepthwiseConv2D(3, name="dw"), layers.Flatten(), layers.Dense(9, name="d")]
    model = model_of(*parts)

    assert select_layers(model, ["*"], []) == ["d"]
    with pytest.raises(LayerSelectionError) as raised:
        select_layers(model, ["dw"], [])
    assert str(raised.value) == "pattern 'dw' matches no layer that can be clustered; those are ['d']"


def test_a_model_inside_the_model_is_refused() -> None:
    inner = model_of(layers.Conv2D(2, 3))
    inner._name = "inner"
    model = model_of(inner, layers.Flatten(), layers.Dense(2, name="d"))

    assert select_layers(model, ["*"], ["inner"]) == ["d"]
    with pytest.raises(LayerSelectionError) as raised:
        select_layers(model, ["*"], [])
    assert str(raised.value) == (
        "inner is a model inside the model, whose layers cannot be clustered one by one: put its layers into "
        "the model itself, or leave it as it is with exclude: [inner]"
    )


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("initialization", ["kmeans++", "linear", "density", "random"])
def test_values_of_a_transposed_convolution_count_for_the_layer(
    initialization: str, per_channel: bool
) -> None:
    """TFMOT would count those of its input channels, as if they were its output channels."""
    tf_keras.utils.set_random_seed(1)
    model = model_of(layers.Conv2DTranspose(5, 3, name="up"))
    after = shared(model, ["up"], per_channel=per_channel, initialization=initialization)

    assert not executor.counts_channels(model.get_layer("up"), options(per_channel=True))
    assert 8 <= len(np.unique(kernel(after, "up"))) <= 16


@pytest.mark.parametrize(
    ("use_bias", "per_channel", "clusters", "beyond"),
    [(False, True, 16, True), (True, True, 16, False), (False, False, 16, False), (True, False, 135, True)],
    ids=["per channel without bias", "per channel", "no bias", "as many values as weights"],
)
def test_what_tfmot_would_leave_as_it_is(
    use_bias: bool, per_channel: bool, clusters: int, beyond: bool
) -> None:
    tf_keras.utils.set_random_seed(1)
    model = model_of(layers.Conv2D(5, 3, use_bias=use_bias, name="c"))
    asked = options(per_channel=per_channel, clusters=clusters)

    assert executor._beyond_tfmot(model.get_layer("c"), asked, StepRecord()) is beyond
    if not beyond:
        after = kernel(shared(model, ["c"], per_channel=per_channel, clusters=clusters), "c")
        groups = np.moveaxis(after, -1, 0) if per_channel else [after]
        assert [len(np.unique(group)) for group in groups] == [16] * len(groups)


BIAS_LESS = """
import tf_keras
def build_model(hparams):
    image = tf_keras.layers.Input((28, 28, 1), name="image")
    y = tf_keras.layers.Conv2D(4, 3, strides=4, name="first")(image)
    y = tf_keras.layers.Conv2D(3, 3, use_bias=False, name="bare")(y)
    y = tf_keras.layers.Conv2D(2, 1, name="few")(y)
    y = tf_keras.layers.Dense(10, activation="softmax", name="p")(tf_keras.layers.Flatten()(y))
    model = tf_keras.Model(image, y)
    model.compile(tf_keras.optimizers.SGD(0.001), "sparse_categorical_crossentropy")
    return model
"""


def test_convolutions_without_bias_and_with_few_weights(
    make_module: Callable[[str], str], mnist_examples: Any, tmp_path: Path
) -> None:
    """Per channel, TFMOT silently clusters none of them."""
    module = make_module(BIAS_LESS)
    output = tmp_path / "out"
    job = make_job(
        tmp_path / "base",
        output,
        ClusterOptions(clusters=8, per_channel=True, steps=3, batch_size=50, learning_rate=1e-4),
        mnist_examples,
        definition=ModelDefinition(module, {}),
    )
    tf_keras.utils.set_random_seed(1)
    before = job.reference_model()
    model_files.save(before, job.base_model, ["image"], StepRecord())
    facts = run_step(cluster, job)
    after = model_files.load(str(output))

    bare = kernel(after, "bare")
    assert [len(np.unique(bare[..., channel])) for channel in range(3)] == [8] * 3
    assert np.any(bare != kernel(before, "bare"))
    assert kernel(after, "few").size == 6
    assert facts["most_layer_clusters"] == 8
    assert {name: (i.most, i.per_channel) for name, (i,) in StepRecord.read(str(output)).layers.items()} == {
        "first": (8, True), "bare": (8, True), "few": (8, True), "p": (8, False),
    }  # fmt: skip
