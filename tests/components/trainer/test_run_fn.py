"""Training the baseline: it can be repeated, and what it writes is the model that it trained."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from components.common.base.step_options import EarlyStopping
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.common.models.model_definition import ModelDefinition
from components.common.models.model_files import StepRecord
from components.common.models.user_module import UserModuleError
from components.trainer.params import TrainOptions
from components.trainer.run_fn import run_fn, train_baseline
from tests.components.conftest import MakeModule
from tests.conftest import LABEL_OPTIONS, MNIST_HPARAMS, MNIST_MODULE, MNIST_TRAINING, SEED, Digits, Trained


def weights_of(uri: str) -> list[bytes]:
    return [weight.tobytes() for weight in model_files.load(uri).get_weights()]


@pytest.mark.parametrize(("seed", "same"), [(SEED, True), (SEED + 1, False)])
def test_one_seed_gives_one_model_and_another_seed_another(
    trained: Trained, mnist_examples: Any, tmp_path: Path, seed: int, same: bool
) -> None:
    again = train_baseline(
        mnist_examples,
        str(tmp_path),
        str(tmp_path),
        ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
        TrainOptions(**MNIST_TRAINING),
        seed,
    )

    assert (again == trained.history) is same
    equal = [a == b for a, b in zip(weights_of(trained.uri), weights_of(str(tmp_path)), strict=True)]
    assert equal == [same] * len(equal)


def test_the_baseline_learns(trained: Trained) -> None:
    assert sorted(trained.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert [len(values) for values in trained.history.values()] == [3] * 4
    assert trained.history["loss"][2] < 0.6 * trained.history["loss"][0]
    assert trained.history["val_accuracy"][2] > 0.5


def test_the_last_metrics_are_those_of_the_model_that_was_written(
    trained: Trained, mnist_arrays: dict[str, Digits]
) -> None:
    digits = mnist_arrays["eval"]
    outputs = model_files.load(trained.uri)(digits.images.reshape(-1, 28, 28, 1).astype(np.float32)).numpy()
    accuracy = np.mean(np.argmax(outputs, axis=1) == digits.labels)

    assert accuracy == pytest.approx(trained.history["val_accuracy"][2], abs=1e-6)


def test_the_signature_takes_the_feature_by_name_and_predicts_as_keras_does(
    trained: Trained, mnist_arrays: dict[str, Digits]
) -> None:
    images = mnist_arrays["eval"].images[:50].reshape(-1, 28, 28, 1).astype(np.float32)
    signature = tf.saved_model.load(model_files.serving_dir(trained.uri)).signatures["serving_default"]
    _, inputs = signature.structured_input_signature

    assert {name: (spec.shape.as_list(), spec.dtype) for name, spec in inputs.items()} == {
        "image": ([None, 28, 28, 1], tf.float32)
    }
    outputs = signature(image=tf.constant(images))
    assert list(outputs) == ["probabilities"]
    expected = model_files.load(trained.uri)(images, training=False)
    np.testing.assert_allclose(outputs["probabilities"], expected, rtol=1e-6, atol=1e-7)


def test_loading_gives_a_new_model_with_the_same_weights(trained: Trained) -> None:
    one, other = model_files.load(trained.uri), model_files.load(trained.uri)

    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    one.get_layer("dense").set_weights([np.zeros((392, 16)), np.zeros(16)])
    assert np.any(other.get_layer("dense").get_weights()[0] != 0)
    assert StepRecord.read(trained.uri) == StepRecord()


TINY = """
import tf_keras
layers = tf_keras.layers
def build_model(hparams):
    x = layers.Input((784,), name="image")
    y = layers.Dense(10, activation="softmax", kernel_initializer="zeros")(layers.Dropout(0.2)(x))
    model = tf_keras.Model(x, y)
    rate = hparams.get("rate", 1e-6)
    if hparams.get("decays"):
        rate = tf_keras.optimizers.schedules.ExponentialDecay(rate, 30, 0.5)
    model.compile(
        tf_keras.optimizers.SGD(rate, momentum=0.5), "sparse_categorical_crossentropy", ["accuracy"]
    )
    return model
"""


def learning_rates(folder: Path) -> list[float]:
    found = EventAccumulator(str(folder / "train")).Reload()
    return [float(tf.make_ndarray(e.tensor_proto)) for e in found.Tensors("epoch_learning_rate")]


@pytest.mark.parametrize(
    ("hparams", "options", "rates"),
    [
        pytest.param({}, {"epochs": 2}, [1e-6, 1e-6], id="as compiled"),
        pytest.param({"decays": True}, {"epochs": 2}, [5e-7, 2.5e-7], id="as compiled, a schedule"),
        pytest.param({}, {"epochs": 2, "learning_rate": 3e-6}, [3e-6, 3e-6], id="as written"),
        pytest.param(
            {"decays": True}, {"epochs": 2, "learning_rate": 3e-6}, [3e-6, 3e-6],
            id="as written, in place of a schedule",
        ),
        pytest.param(
            {}, {"steps": 40, "learning_rate_schedule": {"kind": "linear"}}, [2.5e-7, 0.0],
            id="falling from what is compiled, in 40 steps",
        ),
        pytest.param(
            {"decays": True},
            {"steps": 60, "learning_rate": 4e-6, "learning_rate_schedule": {"kind": "cosine"}},
            [2e-6, 0.0], id="falling from what is written",
        ),
    ],
)  # fmt: skip
def test_the_baselines_learning_rate_is_the_one_compiled_or_the_one_written(
    hparams: dict, options: dict, rates: list[float], mnist_examples: Any, make_module: MakeModule,
    tmp_path: Path,
) -> None:  # fmt: skip
    options = TrainOptions(batch_size=50, **options)
    module = make_module(TINY)
    history = train_baseline(
        mnist_examples, str(tmp_path), str(tmp_path / "logs"), ModelDefinition(module, hparams), options, 1
    )

    assert learning_rates(tmp_path / "logs") == pytest.approx(rates, abs=1e-12)
    assert history.steps == (options.steps or 60)
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history["val_accuracy"][-1] > 0.3


def test_what_is_written_is_the_best_epoch(
    mnist_examples: Any, mnist_arrays: dict[str, Digits], make_module: MakeModule, tmp_path: Path
) -> None:
    # The learning rate is so high that accuracy goes up and down: it stops long before the last epoch.
    options = TrainOptions(
        epochs=50,
        batch_size=50,
        learning_rate=1e-3,
        early_stopping=EarlyStopping(monitor="val_accuracy", patience=2),
    )
    history = train_baseline(
        mnist_examples,
        str(tmp_path),
        str(tmp_path / "logs"),
        ModelDefinition(make_module(TINY)),
        options,
        1,
    )
    digits = mnist_arrays["eval"]
    kernel, bias = model_files.load(str(tmp_path)).get_weights()
    accuracy = np.mean(np.argmax(digits.images @ kernel + bias, axis=1) == digits.labels)

    assert history.kept == int(np.argmax(history["val_accuracy"]))
    assert history.kept == len(history["val_accuracy"]) - 3 < 47  # two epochs without a better one
    assert accuracy == pytest.approx(max(history["val_accuracy"]), abs=0.0026)


def test_curves_are_written(trained: Trained) -> None:
    assert list(Path(trained.uri).glob("logs/train/events.out.tfevents.*"))
    assert list(Path(trained.uri).glob("logs/validation/events.out.tfevents.*"))


def test_the_history_is_beside_the_model(trained: Trained) -> None:
    written = json.loads((Path(trained.uri) / "history.json").read_text(encoding="utf-8"))

    assert [row.pop("epoch") for row in written["epochs"]] == [1, 2, 3]
    assert [row.pop("learning_rate") for row in written["epochs"]] == pytest.approx([0.001] * 3)
    for name, values in trained.history.items():
        assert [row[name] for row in written["epochs"]] == values
    assert sorted(written["epochs"][0]) == sorted(trained.history)
    assert written["kept_epoch"] == 3


def test_inputs_reach_the_model_by_name_and_not_by_order(make_module: MakeModule, tmp_path: Path) -> None:
    from components.common.data.examples import Examples
    from tests.conftest import to_example, write_examples

    module = make_module(
        """
        import tf_keras
        layers = tf_keras.layers
        def build_model(hparams):
            second, first = layers.Input((1,), name="second"), layers.Input((1,), name="first")
            x = layers.Concatenate()([10 * second, first])
            model = tf_keras.Model([second, first], layers.Dense(1, use_bias=False, name="y")(x))
            model.compile(tf_keras.optimizers.SGD(0.0), "mse")
            return model
        """
    )
    schema = "".join(
        f'feature {{ name: "{name}" type: FLOAT presence {{ min_fraction: 1 }} '
        "shape { dim { size: 1 } } }"
        for name in ("first", "label", "second")
    )
    rows = [to_example({"first": float(i), "second": 0.5 * i, "label": 1.0}) for i in range(8)]
    folder = write_examples(tmp_path, schema, train=rows, eval=rows)
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    output = tmp_path / "model"
    train_baseline(
        examples, str(output), str(output), ModelDefinition(module), TrainOptions(epochs=1, batch_size=4), 1
    )

    a, b = model_files.load(str(output)).get_layer("y").get_weights()[0].ravel()
    signature = tf.saved_model.load(model_files.serving_dir(str(output))).signatures["serving_default"]
    answer = signature(first=tf.constant([[3.0]]), second=tf.constant([[7.0]]))["y"]
    assert float(answer[0, 0]) == pytest.approx(70.0 * a + 3.0 * b, rel=1e-5)


def test_a_feature_that_the_data_lack_is_named(
    mnist_examples: Any, make_module: MakeModule, tmp_path: Path
) -> None:
    module = make_module(
        """
        import tf_keras
        def build_model(hparams):
            inputs = [tf_keras.layers.Input((784,), name=n) for n in ("image", "thickness")]
            model = tf_keras.Model(inputs, tf_keras.layers.Concatenate()(inputs))
            model.compile("sgd", "mse")
            return model
        """
    )
    with pytest.raises(ExamplesError, match="input 'thickness' is not a feature of the data"):
        train_baseline(
            mnist_examples,
            str(tmp_path),
            str(tmp_path),
            ModelDefinition(module),
            TrainOptions(epochs=1, batch_size=1),
            1,
        )
    assert list(tmp_path.glob("Format-*")) == []


def test_run_fn_understands_tfxs_arguments(
    examples_artifact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("components.trainer.run_fn.train_baseline", lambda **given: seen.update(given))
    fn_args = types.SimpleNamespace(
        train_files=[str(examples_artifact / "examples/Split-train/*")],
        schema_path=str(examples_artifact / "schema/schema.pbtxt"),
        transform_graph_path=None,
        serving_model_dir=str(tmp_path / "model/Format-Serving"),
        model_run_dir=str(tmp_path / "run"),
        custom_config={
            "model_module": MNIST_MODULE, "hparams": json.dumps(MNIST_HPARAMS), "label": "label",
            "label_options": LABEL_OPTIONS,
            "model_source": "{}",
            "params": '{"epochs": 1, "batch_size": 300, "seed": null}', "seed": "1",
        },
    )  # fmt: skip
    run_fn(fn_args)

    examples = seen.pop("examples")
    assert len(examples.files("train")) == 1 and len(examples.files("eval")) == 1
    assert sorted(examples.feature_spec()) == ["image", "label"]
    assert seen == {
        "output": str(tmp_path / "model"),
        "log_dir": str(tmp_path / "run"),
        "definition": ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
        "options": TrainOptions(epochs=1, batch_size=300),
        "seed": 1,
    }
    fn_args.custom_config["params"] = TrainOptions(seed=8).model_dump_json()
    run_fn(fn_args)
    assert seen["seed"] == 8


def test_a_broken_module_ends_the_command_before_anything_is_written(
    mnist_examples: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserModuleError, match="filters"):
        train_baseline(
            mnist_examples,
            str(tmp_path),
            str(tmp_path),
            ModelDefinition(MNIST_MODULE),
            TrainOptions(epochs=1, batch_size=1),
            1,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_loaded_model_is_a_plain_tf_keras_model(trained: Trained) -> None:
    model = model_files.load(trained.uri)

    assert isinstance(model, tf_keras.Model)
    assert model.input_names == ["image"]
    assert not model._is_compiled
