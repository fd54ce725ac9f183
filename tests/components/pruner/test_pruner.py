"""Pruning: the sparsity that was asked for, in the layers that were asked for, and nowhere else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_model_optimization as tfmot
import tf_keras

from components.common.base.step_options import Baseline
from components.common.data.examples import Examples
from components.common.models import model_files
from components.common.models.layer_selection import LayerSelectionError
from components.common.models.model_definition import ModelDefinition
from components.pruner.executor import prune, wrap
from components.pruner.params import PruneOptions
from components.pruner.schedule import Renewals, ScheduleError, renewals
from components.trainer.params import TrainOptions
from tests.components.conftest import Step, make_job, must_keep, run_step
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

    # Of conv1's 36 weights, 80 % is not a whole number.
    sparsity = {"invariant": "components.pruner.invariants.Sparsity", "block": None}
    assert record["layers"] == {
        name: [{**sparsity, "least": 28 / 36 if name == "conv1" else 0.8}] for name in LAYERS
    }
    assert [step["technique"] for step in record["steps"]] == ["prune"]
    assert record["steps"][0]["sparsity"] == 0.8


def digest(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


# 1,500 examples in a batch make one step.
@pytest.mark.parametrize(
    ("shape", "batch_size", "patterns"),
    [
        pytest.param("constant", 100, {"exclude": ["conv*"]}, id="constant-15-steps-without-convolutions"),
        pytest.param(
            "polynomial", 1500, {"include": ["conv2", "prob*"]}, id="polynomial-1-step-of-two-layers"
        ),
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
    assert set(model_files.StepRecord.read(str(tmp_path)).layers) == chosen
    assert digest(trained.uri) == before


def test_a_refused_pattern_leaves_nothing_behind(
    trained: Trained, mnist_examples: Any, tmp_path: Path
) -> None:
    options = PruneOptions(sparsity=0.8, include=["nowhere"])

    with pytest.raises(LayerSelectionError):
        run_step(prune, make_job(trained.uri, tmp_path, options, mnist_examples))
    assert list(tmp_path.iterdir()) == []


def test_wrapping_takes_weights_over_and_leaves_the_model_alone(trained: Trained) -> None:
    model = model_files.load(trained.uri)
    options = PruneOptions(sparsity=0.5, schedule="constant")
    wrapped = wrap(model, {"dense": 0.5}, options, Renewals(1, 10, 1, 10))
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


@dataclass(frozen=True)
class Small:
    """A small regression model: its definition, the folder of the trained one, and its examples."""

    definition: ModelDefinition
    base: str
    examples: Examples


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    from components.trainer.run_fn import train_baseline

    folder = tmp_path_factory.mktemp("regression")
    (folder / "small_regression.py").write_text(SMALL_MODEL, encoding="utf-8")
    schema = """
    feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 4 } } }
    feature { name: "label" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    """
    x = np.random.default_rng(0).normal(size=(64, 4))
    rows = [to_example({"x": row, "label": row.sum()}) for row in x]
    write_examples(folder, schema, train=rows, eval=rows)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    definition, base = ModelDefinition("small_regression", {}), str(folder / "base")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        train_baseline(examples, base, base, definition, TrainOptions(epochs=1, batch_size=16), 1)
        yield Small(definition, base, examples)


@pytest.fixture
def small(regression: Small, tmp_path: Path) -> Callable[..., Step]:
    """Prunes a small regression model, or what an earlier pruning of it left."""

    def run(base: str | None = None, **options: Any) -> Step:
        output = tmp_path / f"pruned{len(list(tmp_path.iterdir()))}"
        job = make_job(
            base or regression.base,
            output,
            PruneOptions(**{"epochs": 1, "batch_size": 16, **options}),
            regression.examples,
            definition=regression.definition,
        )
        return Step(str(output), run_step(prune, job))

    return run


def zeros(step: Step) -> dict[str, int]:
    model = model_files.load(step.uri)
    return {
        name: int(np.sum(model.get_layer(name).get_weights()[0] == 0)) for name in ("hidden", "narrow", "y")
    }


def asked(step: Step) -> dict[str, list[Any]]:
    return model_files.StepRecord.read(step.uri).layers


def test_layers_of_a_few_weights_get_as_near_as_whole_weights_can(small: Callable[..., Step]) -> None:
    step = small(sparsity=0.8)

    # 7.2 of the 9 weights of `y` cannot be zero: 7 are, which is 77.8 %.
    assert zeros(step) == {"hidden": 128, "narrow": 288, "y": 7}
    assert {name: wanted.least for name, (wanted,) in asked(step).items()} == {
        "hidden": 0.8, "narrow": 0.8, "y": pytest.approx(7 / 9)
    }  # fmt: skip


def test_weights_go_before_training_and_the_sparsity_is_of_all_layers_together(
    small: Callable[..., Step],
) -> None:
    learning = PruneOptions(sparsity=0.5, per_layer={"y": 0.2}).like(Baseline(imported=True))
    assert (learning.teacher, learning.allocation, learning.reconstruct) == ("self", "lamp", True)

    step = small(teacher="self", **learning.model_dump(include={"sparsity", "allocation", "reconstruct"}))

    found = zeros(step)
    assert sum(found.values()) == pytest.approx(0.5 * (160 + 360 + 9), abs=2)
    assert {name: wanted.least for name, (wanted,) in asked(step).items()} == pytest.approx(
        {
            name: count / {"hidden": 160, "narrow": 360, "y": 9}[name]
            for name, count in found.items()
            if count
        }
    )
    uniform = small(teacher="self", sparsity=0.5)
    assert (
        (zeros(uniform)["hidden"], zeros(uniform)["narrow"])
        == (80, 180)
        != (found["hidden"], found["narrow"])
    )

    # That of probabilities, if there are any, which later steps go by, too.
    assert model_files.StepRecord.read(step.uri).temperature == 3.0
    # The distance to the baseline's outputs.
    assert step.facts["final_val_loss"] < uniform.facts["final_val_loss"]
    # More zeros than before in all, and all of the first ones stay zero.
    again = small(step.uri, teacher="self", sparsity=0.7, allocation="lamp", reconstruct=True)
    assert sum(zeros(again).values()) == pytest.approx(0.7 * (160 + 360 + 9), abs=2)
    for name in ("hidden", "narrow"):
        first, second = (
            model_files.load(uri).get_layer(name).kernel.numpy() for uri in (step.uri, again.uri)
        )
        assert not second[first == 0].any()


def test_a_second_pruning_keeps_what_the_first_one_made_zero(small: Callable[..., Step]) -> None:
    first = small(sparsity=0.75, include=["hidden"])
    second = small(first.uri, sparsity=0.5, include=["narrow"])

    assert zeros(first)["hidden"] == zeros(second)["hidden"] == 120
    assert zeros(second)["narrow"] == 180
    assert asked(second) == {"hidden": must_keep(sparsity=0.75), "narrow": must_keep(sparsity=0.5)}
    assert second.facts["technique"] == "prune-prune"


def kernel(step: Step, layer: str) -> np.ndarray:
    return model_files.load(step.uri).get_layer(layer).get_weights()[0]


def test_a_second_pruning_of_the_same_layer_brings_no_weight_back(small: Callable[..., Step]) -> None:
    first = small(sparsity=0.5, include=["hidden"])
    # 16 steps, in the first of which TFMOT's own masks would let all weights live.
    second = small(first.uri, sparsity=0.8, include=["h*"], epochs=4)
    third = small(second.uri, sparsity=0.3)

    was_zero = kernel(first, "hidden") == 0
    assert np.all(kernel(second, "hidden")[was_zero] == 0)
    assert zeros(second)["hidden"] == zeros(third)["hidden"] == 128
    assert asked(third)["hidden"] == must_keep(sparsity=0.8)
    assert asked(third)["narrow"] == must_keep(sparsity=0.3)


def test_structure_among_the_zeros_outlives_another_pruning(small: Callable[..., Step]) -> None:
    first = small(m_by_n=[2, 4], include=["narrow"])
    second = small(first.uri, sparsity=0.8, include=["*"])
    other_way_round = small(small(sparsity=0.8, include=["narrow"]).uri, m_by_n=[2, 4], include=["narrow"])

    for step in (second, other_way_round):
        assert np.all((kernel(step, "narrow").reshape(10, 4, 9) == 0).sum(axis=1) >= 2)
        assert set(asked(step)["narrow"]) == set(must_keep(sparsity=0.8, m_by_n=(2, 4)))
    assert zeros(second)["narrow"] == 288
    assert zeros(other_way_round)["narrow"] >= 288


def test_each_layer_has_its_own_target(small: Callable[..., Step]) -> None:
    step = small(sparsity=0.5, per_layer={"narrow": 0.9, "[ny]*": 2 / 3})

    assert zeros(step) == {"hidden": 80, "narrow": 324, "y": 6}
    assert {name: wanted.least for name, (wanted,) in asked(step).items()} == {
        "hidden": 0.5, "narrow": 0.9, "y": pytest.approx(2 / 3)
    }  # fmt: skip
    assert step.facts["least_layer_sparsity"] == 0.5


# 64 examples, 16 in a batch: 4 steps in an epoch.
@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"begin": "2 steps", "end": "1 epochs", "frequency": "3 steps"}, id="mixed-units"),
        pytest.param({"end": "2 epochs"}, id="until-the-last-step"),
        pytest.param({"begin": "1.75 epochs", "schedule": "constant"}, id="constant-in-the-last-step"),
        pytest.param({"frequency": "2 epochs"}, id="no-turn-between-begin-and-end"),
    ],
)
def test_the_target_is_reached_whenever_pruning_is_scheduled(
    small: Callable[..., Step], times: dict
) -> None:
    assert zeros(small(sparsity=0.75, epochs=2, **times)) == {"hidden": 120, "narrow": 270, "y": 7}


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ({"end": "9 steps"}, "end: 9 steps is step 9, beyond the last one: training has 8 steps, 4 in an"),
        (
            {"begin": "6 steps", "end": "1.5 epochs"},
            "begin: 6 steps is step 6, and pruning ends with step 6",
        ),
        ({"begin": "7 steps"}, "begin: 7 steps is step 7, and pruning ends with step 6"),
        ({"begin": "8 steps", "schedule": "constant"}, "is step 8, and pruning ends with step 8"),
        ({"end": "0.1 epochs"}, "end: 0.1 epochs is step 0, before the first one"),
    ],
)
def test_pruning_that_would_outlast_training_is_refused_before_it(
    small: Callable[..., Step], tmp_path: Path, times: dict, message: str
) -> None:
    before = {path for path in tmp_path.iterdir() if path.name.startswith("pruned")}
    with pytest.raises(ScheduleError, match=message):
        small(sparsity=0.75, epochs=2, **times)
    (output,) = {path for path in tmp_path.iterdir() if path.name.startswith("pruned")} - before
    assert list(output.iterdir()) == []


def test_early_stopping_waits_until_pruning_is_over(small: Callable[..., Step]) -> None:
    # Weights hardly move, so that pruning makes every epoch worse than the one before.
    options = {"epochs": 8, "early_stopping": {"patience": 1}, "learning_rate": 1e-9}
    step = small(sparsity=0.75, end="2.5 epochs", **options)

    assert zeros(step) == {"hidden": 120, "narrow": 270, "y": 7}
    assert step.facts["kept_epoch"] == 3
    assert step.facts["trained_epochs"] == 4


class Timeline(tf_keras.callbacks.Callback):
    """Zeros in the mask of a pruned layer after each step of training."""

    def __init__(self) -> None:
        super().__init__()
        self.zeros: list[int] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        ((_, mask, _),) = self.model.layers[-1].pruning_vars
        self.zeros.append(int(np.sum(mask.numpy() == 0)))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(
            {"sparsity": 0.5, "schedule": "constant", "begin": "3 steps"}, [0, 0, *[50] * 6], id="constant"
        ),
        pytest.param({"sparsity": 0.5, "schedule": "constant"}, [50] * 8, id="constant-from-the-first-step"),
        pytest.param(
            # Zhu and Gupta's cubic: 0.8 - 0.4 (1 - t)³ at t = 0, 1/2, 1.
            {"sparsity": 0.8, "initial_sparsity": 0.4, "begin": "2 steps", "end": "1.5 epochs",
             "frequency": "2 steps"},
            [0, 40, 40, 75, 75, 80, 80, 80], id="polynomial",
        ),
        pytest.param(
            # The third turn would be in step 7; the end has one of its own.
            {"sparsity": 0.8, "initial_sparsity": 0.2, "begin": "1 steps", "end": "6 steps",
             "frequency": "3 steps"},
            [20, 20, 20, 76, 76, 80, 80, 80], id="an-end-that-is-no-turn",
        ),
        pytest.param({"m_by_n": [1, 2]}, [50] * 8, id="m-by-n-from-the-first-step"),
    ],
)  # fmt: skip
def test_masks_change_in_the_steps_that_were_asked_for(options: dict, expected: list[int]) -> None:
    asked_for = PruneOptions(**options, epochs=2, batch_size=16)
    model = tf_keras.Sequential([layers.Input((10,)), layers.Dense(10, name="d")])
    x = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    target = asked_for.sparsity or 0.5
    pruned = wrap(model, {"d": target}, asked_for, renewals(asked_for, len(x)))
    pruned.compile(tf_keras.optimizers.SGD(0.01), "mse")
    timeline = Timeline()
    update = tfmot.sparsity.keras.UpdatePruningStep()
    pruned.fit(x, x, batch_size=16, epochs=2, verbose=0, callbacks=[update, timeline])

    assert timeline.zeros == expected
