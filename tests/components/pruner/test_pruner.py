"""Pruning: the sparsity that was asked for, in the layers that were asked for, and nowhere else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common import model_files
from components.common.examples import Examples
from components.common.sparsity import LostSparsityError, reachable, refuse_lost_sparsity
from components.pruner.executor import LayerSelectionError, prune, schedule, select_layers, wrap
from components.pruner.params import PruneOptions
from tests.components.conftest import MakeModule, Step, make_job, run_step
from tests.conftest import Trained, to_example, write_examples

LAYERS = ["conv1", "conv2", "dense", "probabilities"]
layers = tf_keras.layers


def kernels(uri: str) -> dict[str, np.ndarray]:
    model = model_files.load(uri)
    return {name: model.get_layer(name).get_weights()[0] for name in LAYERS}


def assert_sparsity(values: np.ndarray, target: float) -> None:
    """Within half a point, or the half weight that whole weights cannot do better than."""
    assert abs(np.mean(values == 0) - target) <= max(0.005, 0.5 / values.size), values.shape


def test_every_layer_has_the_sparsity_that_was_asked_for(pruned: Step) -> None:
    for values in kernels(pruned.uri).values():
        assert_sparsity(values, 0.8)
    least = min(np.mean(values == 0) for values in kernels(pruned.uri).values())
    assert pruned.facts["least_layer_sparsity"] == pytest.approx(least)
    assert pruned.facts["technique"] == "prune"


def test_wrappers_are_gone_and_what_has_no_kernel_is_untouched(trained: Trained, pruned: Step) -> None:
    before, after = model_files.load(trained.uri), model_files.load(pruned.uri)

    assert [layer.name for layer in after.layers] == [layer.name for layer in before.layers]
    assert [type(layer) for layer in after.layers] == [type(layer) for layer in before.layers]
    assert after.count_params() == before.count_params() == pruned.facts["parameters"]
    for layer in after.layers:
        for weight in layer.get_weights()[0 if layer.name not in LAYERS else 1 :]:
            assert np.mean(weight == 0) < 0.01, layer.name


def test_the_record_says_what_has_to_hold_from_now_on(pruned: Step) -> None:
    record = json.loads((Path(pruned.uri) / "optimization.json").read_text())

    # Of conv1's 36 weights, 80 % are no whole number.
    assert record["sparsity"] == {**dict.fromkeys(LAYERS, 0.8), "conv1": 28 / 36}
    assert [step["technique"] for step in record["steps"]] == ["prune"]
    assert record["steps"][0]["sparsity"] == 0.8


def digest(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


# 1,500 examples: 500 of them in a batch make 3 steps, 1,500 make one.
@pytest.mark.parametrize(
    ("shape", "batch_size", "patterns"),
    [
        pytest.param("constant", 100, {"exclude": ["conv*"]}, id="constant-15-steps-without-convolutions"),
        pytest.param(
            "polynomial", 500, {"include": ["conv2", "prob*"]}, id="polynomial-3-steps-of-two-layers"
        ),
        pytest.param("polynomial", 1500, {}, id="polynomial-1-step"),
    ],
)
def test_few_steps_and_patterns(
    trained: Trained, mnist_examples: Any, tmp_path: Path, shape: str, batch_size: int, patterns: dict
) -> None:
    before = digest(trained.uri)
    options = PruneOptions(sparsity=0.8, schedule=shape, epochs=1, batch_size=batch_size, **patterns)
    run_step(prune, make_job(trained.uri, tmp_path, options, mnist_examples))

    chosen = {
        "exclude": {"dense", "probabilities"}, "include": {"conv2", "probabilities"}
    }.get(next(iter(patterns), ""), set(LAYERS))  # fmt: skip
    for name, values in kernels(str(tmp_path)).items():
        if name in chosen:
            assert_sparsity(values, 0.8)
        else:
            assert np.mean(values == 0) < 0.01
    assert set(model_files.StepRecord.read(str(tmp_path)).sparsity) == chosen
    assert digest(trained.uri) == before


def sparsity_over_time(options: dict[str, Any], steps: int) -> list[tuple[int, float]]:
    """At which steps masks are renewed, and for which sparsity."""
    plan = schedule({"initial_sparsity": 0.0, **options}, steps)
    renewals = [(step, plan(step)) for step in range(steps)]
    return [(step, float(sparsity)) for step, (renew, sparsity) in renewals if bool(renew)]


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 9, 14, 40, 99, 100, 133, 134, 1001])
@pytest.mark.parametrize("shape", ["constant", "polynomial"])
def test_the_last_renewal_has_the_target_however_few_the_steps(shape: str, steps: int) -> None:
    renewals = sparsity_over_time({"schedule": shape, "sparsity": 0.7}, steps)

    assert renewals[-1][1] == pytest.approx(0.7)
    assert [sparsity for _, sparsity in renewals] == sorted(sparsity for _, sparsity in renewals)


def test_the_polynomial_schedule_leaves_a_quarter_to_recover() -> None:
    renewals = sparsity_over_time(
        {"schedule": "polynomial", "sparsity": 0.8, "initial_sparsity": 0.2}, 1000
    )

    assert renewals[0] == (0, pytest.approx(0.2))
    assert renewals[-1] == (750, pytest.approx(0.8))
    # Zhu and Gupta's cubic, halfway there.
    assert dict(renewals)[375] == pytest.approx(0.8 - 0.6 * 0.5**3)


def test_the_constant_schedule_has_the_target_from_the_first_step_on() -> None:
    assert sparsity_over_time({"schedule": "constant", "sparsity": 0.6}, 30)[0] == (0, pytest.approx(0.6))


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


def test_a_refused_pattern_leaves_nothing_behind(
    trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    options = PruneOptions(sparsity=0.8, include=["nowhere"])

    with pytest.raises(LayerSelectionError):
        run_step(prune, make_job(trained.uri, tmp_path, options, mnist_examples))
    assert list(tmp_path.iterdir()) == []


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

    with pytest.raises(LayerSelectionError, match=f"{inner} is a model inside the model.*exclude"):
        select_layers(model, ["*"], [])
    assert select_layers(model, ["*"], [inner]) == ["d"]


def test_wrapping_takes_weights_over_and_leaves_the_model_alone(trained: Trained) -> None:
    model = model_files.load(trained.uri)
    wrapped = wrap(model, ["dense"], schedule({"schedule": "constant", "sparsity": 0.5}, 10))
    image = np.linspace(0, 255, 784, dtype=np.float32).reshape(1, 28, 28, 1)

    np.testing.assert_allclose(wrapped(image, training=False), model(image, training=False), rtol=1e-6)
    assert [type(layer).__name__ for layer in model.layers if "Prune" in type(layer).__name__] == []
    names = [layer.name for layer in wrapped.layers if "Prune" in type(layer).__name__]
    assert names == ["prune_low_magnitude_dense"]


SMALL_MODEL = """
import tf_keras
layers = tf_keras.layers
def build_model(hparams):
    x = layers.Input((4,), name="x")
    hidden = layers.Dense(40, activation="relu", name="hidden")(x)
    hidden = layers.Dense(9, activation="relu", name="narrow")(hidden)
    model = tf_keras.Model(x, layers.Dense(1, name="y")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    return model
"""


@pytest.fixture
def small(make_module: MakeModule, tmp_path: Path) -> Callable[..., Step]:
    """Prunes a small regression model, or what an earlier pruning of it left."""
    module = make_module(SMALL_MODEL)
    schema = """
    feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 4 } } }
    feature { name: "label" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    """
    x = np.random.default_rng(0).normal(size=(64, 4))
    rows = [to_example({"x": row, "label": row.sum()}) for row in x]
    folder = write_examples(tmp_path, schema, train=rows, eval=rows)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")

    def run(base: str | None = None, **options: Any) -> Step:
        from components.trainer.run_fn import train_baseline

        if base is None:
            base = str(tmp_path / "base")
            train_baseline(examples, base, base, module, {}, {"epochs": 1, "batch_size": 16}, 1)
        output = tmp_path / f"pruned{len(list(tmp_path.iterdir()))}"
        job = make_job(
            base, output, PruneOptions(epochs=1, batch_size=16, **options), examples,
            model_module=module, hparams={},
        )  # fmt: skip
        return Step(str(output), run_step(prune, job))

    return run


def zeros(step: Step) -> dict[str, int]:
    model = model_files.load(step.uri)
    return {
        name: int(np.sum(model.get_layer(name).get_weights()[0] == 0)) for name in ("hidden", "narrow", "y")
    }


def test_layers_of_a_few_weights_get_as_near_as_whole_weights_can(small: Callable[..., Step]) -> None:
    step = small(sparsity=0.8)

    # 7.2 of the 9 weights of `y` cannot be zero: 7 are, which is 77.8 %.
    assert zeros(step) == {"hidden": 128, "narrow": 288, "y": 7}
    record = model_files.StepRecord.read(step.uri)
    assert record.sparsity == {"hidden": 0.8, "narrow": 0.8, "y": pytest.approx(7 / 9)}


def test_a_second_pruning_keeps_what_the_first_one_made_zero(small: Callable[..., Step]) -> None:
    first = small(sparsity=0.75, include=["hidden"])
    second = small(first.uri, sparsity=0.5, include=["narrow"])

    assert zeros(first)["hidden"] == zeros(second)["hidden"] == 120
    assert zeros(second)["narrow"] == 180
    assert model_files.StepRecord.read(second.uri).sparsity == {"hidden": 0.75, "narrow": 0.5}
    assert second.facts["technique"] == "prune-prune"


@pytest.mark.parametrize(
    ("sparsity", "weights", "expected"),
    [(0.8, 1000, 0.8), (0.8, 288, 0.8), (0.8, 9, 7 / 9), (0.7, 16, 11 / 16), (0.5, 1, 0.0), (0.9, 10, 0.9)],
)
def test_reachable_sparsity(sparsity: float, weights: int, expected: float) -> None:
    assert reachable(sparsity, weights) == pytest.approx(expected, abs=1e-12)


def test_lost_sparsity_names_the_layers() -> None:
    refuse_lost_sparsity({"a": 0.7951, "b": 0.9}, {"a": 0.8, "b": 0.8})
    with pytest.raises(
        LostSparsityError, match=r"of a: 80\.0% wanted, 41\.0% got; c: 50\.0% wanted, layer not"
    ):
        refuse_lost_sparsity({"a": 0.41, "b": 0.8}, {"c": 0.5, "b": 0.8, "a": 0.8})
