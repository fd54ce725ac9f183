"""Transfer learning: training in stages on a pretrained trunk, measured on digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.data.arrays import Arrays
from components.common.models import model_format
from components.common.models.model_definition import ModelDefinition
from components.common.models.pretrained import PretrainedError
from components.common.models.stock_layers import without_autograph
from components.common.training import history, seeding
from components.common.training.error import TrainingError
from components.tflite_converter.params import ConvertOptions
from components.trainer import stages
from components.trainer.params import TrainOptions
from tests.components.conftest import MakeModule
from tests.conftest import DATA, Digits, read_digits

HPARAMS = {"filters": [8, 16, 32], "learning_rate": 0.002}
MODULE = "configs.transfer.model"
SHOTS = 10
BN = ["conv1_bn", "conv2_bn", "conv3_bn"]
CONV = ["conv1", "conv2", "conv3"]


def arrays_of(digits: Digits, first: int, per_class: int | None = None) -> Arrays:
    """Five classes, from `first` on, labelled from 0."""
    places = [np.flatnonzero(digits.labels == first + n)[:per_class] for n in range(5)]
    chosen = np.sort(np.concatenate(places))
    images = digits.images[chosen].reshape(-1, 28, 28, 1).astype(np.float32)
    return Arrays({"image": images}, digits.labels[chosen] - first)


@pytest.fixture(scope="module")
def few() -> tuple[Arrays, Arrays]:
    """Ten of each of the digits 5 to 9 to train on, and some hundreds to test on."""
    train = arrays_of(read_digits(DATA / "train.tfrecord.gz", 400), 5, SHOTS)
    return train, arrays_of(read_digits(DATA / "test.tfrecord.gz", 1200), 5)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's model, trained on digits 0 to 4 in plain Keras."""
    digits = arrays_of(read_digits(DATA / "train.tfrecord.gz", 8000), 0)
    tf_keras.utils.set_random_seed(0)
    from configs.transfer.model import build_model

    model = build_model(HPARAMS)
    model.train_step = without_autograph(model.train_step, model)
    model.fit(digits.features["image"], digits.labels, epochs=4, batch_size=50, verbose=0)
    path = tmp_path_factory.mktemp("digits") / "digits-0-4.h5"
    model.save(path, include_optimizer=False)
    return path


def definition_of(saved: Path | None, module: str = MODULE, **changes: Any) -> ModelDefinition:
    """The example's model on the saved one, or from scratch."""
    if saved is None:
        return ModelDefinition(module, HPARAMS)
    options = {
        "path": str(saved),
        "application": None,
        "weights": None,
        "options": {},
        "cut_at": "flatten",
        "freeze": ["*"],
        "freeze_batch_norm": True,
        "head": None,
        "file": str(saved),
        "sha256": model_format.digest(saved),
        **changes,
    }
    return ModelDefinition(module, HPARAMS, {"pretrained": options})


def train(
    definition: ModelDefinition,
    splits: tuple[Arrays, Arrays],
    options: dict[str, Any],
    folder: Path,
    seed: int = 1,
) -> tuple[tf_keras.Model, history.History]:
    """Builds and trains as the Trainer does."""
    seeding.seed_everything(seed)
    model = definition.build()
    trunk = definition.trunk_of(model)
    history = stages.train(
        model, trunk, splits, TrainOptions(**{"batch_size": 25, **options}), seed, str(folder)
    )
    return model, history


def weights_of(model: tf_keras.Model, names: list[str]) -> list[np.ndarray]:
    return [weight for name in names for weight in model.get_layer(name).get_weights()]


def equal(one: list[np.ndarray], other: list[np.ndarray]) -> list[bool]:
    return [np.array_equal(a, b) for a, b in zip(one, other, strict=True)]


def test_frozen_layers_stay_bit_for_bit_and_stages_thaw_what_they_say(
    saved: Path, few: tuple[Arrays, Arrays], tmp_path: Path
) -> None:
    small = few[0], few[1].take(np.arange(20))
    file = tf_keras.models.load_model(saved, compile=False)
    first = {"epochs": 2}
    second = {"steps": 3, "unfreeze": ["conv3"], "learning_rate": 0.001, "trunk_learning_rate": 0.0001}

    one, _ = train(definition_of(saved), small, {"stages": [first]}, tmp_path)
    both, history = train(definition_of(saved), small, {"stages": [first, second]}, tmp_path)

    assert all(equal(weights_of(one, CONV + BN), weights_of(file, CONV + BN)))
    assert all(equal(weights_of(both, ["conv1", "conv2", *BN]), weights_of(file, ["conv1", "conv2", *BN])))
    assert not any(equal(weights_of(both, ["conv3"]), weights_of(file, ["conv3"])))
    # Adam moves each weight by the learning rate at most, so that three steps show which one it was.
    moved = np.abs(weights_of(both, ["conv3"])[0] - weights_of(file, ["conv3"])[0]).max()
    assert 0.00005 < moved < 0.00035
    moved = np.abs(weights_of(both, ["probabilities"])[0] - weights_of(one, ["probabilities"])[0]).max()
    assert 0.0005 < moved < 0.0035
    # What one training froze is not what the next steps leave alone.
    assert all(layer.trainable for layer in both.layers)
    assert len(history["loss"]) == 4 and history.steps == 7 and history.kept == 3
    assert history.learning_rates == pytest.approx([0.002, 0.002, 0.001, 0.001])
    assert {path.name for path in tmp_path.iterdir()} >= {"stage-1", "stage-2"}


def test_a_training_without_stages_freezes_too_and_repeats(
    saved: Path, few: tuple[Arrays, Arrays], tmp_path: Path
) -> None:
    small = few[0], few[1].take(np.arange(20))
    definition = definition_of(saved, freeze=["conv1", "conv2"], freeze_batch_norm=False)

    model, _ = train(definition, small, {"epochs": 1}, tmp_path)
    again, _ = train(definition, small, {"epochs": 1}, tmp_path)

    file = tf_keras.models.load_model(saved, compile=False)
    assert all(equal(weights_of(model, ["conv1", "conv2"]), weights_of(file, ["conv1", "conv2"])))
    assert not any(equal(weights_of(model, ["conv3", *BN]), weights_of(file, ["conv3", *BN])))
    assert all(equal(model.get_weights(), again.get_weights()))


@pytest.mark.soak  # six trainings; which layers learn is shown above, and by tests/e2e/test_transfer.py
def test_ten_examples_of_each_digit_teach_more_to_a_model_that_has_seen_others(
    saved: Path, few: tuple[Arrays, Arrays], tmp_path: Path
) -> None:
    quick = few[0], few[1].take(np.arange(5))  # accuracy is measured when training is over
    transferred = [{"epochs": 15}, {"epochs": 5, "unfreeze": ["conv3"], "trunk_learning_rate": 0.0005}]
    accuracy: dict[str, list[float]] = {"transfer": [], "scratch": []}
    for seed in (1, 2, 3):
        for name, definition, options in (
            ("transfer", definition_of(saved), {"stages": transferred}),
            ("scratch", definition_of(None), {"epochs": 20}),
        ):
            model, _ = train(definition, quick, options, tmp_path, seed)
            predicted = model.predict_on_batch(few[1].features["image"]).argmax(axis=1)
            accuracy[name].append(float(np.mean(predicted == few[1].labels)))

    # Half of what these seeds gain, 0.067: 0.659 against 0.593.
    margin = np.mean(accuracy["transfer"]) - np.mean(accuracy["scratch"])
    assert margin > 0.03, accuracy
    assert np.mean(accuracy["transfer"]) > 0.6, accuracy


def test_a_schedule_of_build_models_own_leaves_no_room_for_a_second_rate(
    saved: Path, few: tuple[Arrays, Arrays], make_module: MakeModule, tmp_path: Path
) -> None:
    module = make_module(
        """
        import tf_keras
        from configs.transfer import model as example

        def build_model(hparams, pretrained):
            model = example.build_model(hparams, pretrained)
            rate = tf_keras.optimizers.schedules.CosineDecay(0.001, 10)
            model.compile(tf_keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
            return model
        """
    )
    options = {"epochs": 1, "trunk_learning_rate": 0.0001}

    with pytest.raises(TrainingError, match="its own learning rate schedule; write learning_rate"):
        train(definition_of(saved, module, freeze=["conv1"]), few, options, tmp_path)


def test_stages_are_gone_through_before_anything_is_trained(saved: Path) -> None:
    def check(options: dict[str, Any]) -> None:
        definition = definition_of(saved)
        stages.check(definition.trunk_of(definition.build()), TrainOptions(**options))

    check({"stages": [{"epochs": 1}, {"epochs": 1, "unfreeze": ["*"], "trunk_learning_rate": 0.1}]})
    with pytest.raises(
        PretrainedError, match=r"^stages\[1\]: pattern 'conv9' matches no layer that is froz"
    ):
        check({"stages": [{"epochs": 1}, {"epochs": 1, "unfreeze": ["conv9"]}]})
    with pytest.raises(PretrainedError, match="all of which are frozen; unfreeze some"):
        check({"stages": [{"epochs": 1, "trunk_learning_rate": 0.1}]})
    with pytest.raises(PretrainedError, match=r"write pretrained: \{freeze: \[\]\}"):
        check({"epochs": 1, "trunk_learning_rate": 0.1})


def test_an_application_is_built_on_trained_and_quantized(make_module: MakeModule, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from components.common.models import model_files
    from components.tflite_converter.executor import convert

    arguments = {"input_shape": [32, 32, 3], "alpha": 0.25, "include_top": False}
    tf_keras.utils.set_random_seed(5)
    source = tf_keras.applications.MobileNet(weights=None, **{**arguments, "input_shape": (32, 32, 3)})
    file = tmp_path / "mobilenet.weights.h5"
    source.save_weights(file)
    application = {"application": "MobileNet", "path": None, "weights": str(file), "cut_at": None}
    module = make_module(
        """
        import tf_keras
        from components.common.grafting import graft

        def build_model(hparams, pretrained):
            image = tf_keras.layers.Input((32, 32, 3), name="image")
            x = tf_keras.layers.GlobalAveragePooling2D(name="pool")(graft(pretrained, image))
            x = tf_keras.layers.Dense(5, activation="softmax", name="probabilities")(x)
            model = tf_keras.Model(image, x)
            model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
            return model
        """
    )
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (8, 32, 32, 3)).astype(np.float32)
    examples = Arrays({"image": images}, np.arange(8) % 5)

    definition = definition_of(file, module, **application, options=arguments)
    model, history = train(definition, (examples, examples), {"steps": 1, "batch_size": 8}, tmp_path)

    assert history.steps == 1
    trunk = [layer for layer in source.layers if layer.weights]
    assert len(trunk) > 50
    for layer in trunk:
        assert all(equal(model.get_layer(layer.name).get_weights(), layer.get_weights())), layer.name
    saved_model = str(tmp_path / "saved_model")
    model_files.save_serving(model, saved_model, ["image"])
    content = convert(saved_model, ConvertOptions(quantization="int8"), False, examples)
    interpreter = Interpreter(model_content=content)
    predict = interpreter.get_signature_runner("serving_default")
    quantized = np.concatenate([predict(image=image[None])["probabilities"] for image in images])
    np.testing.assert_allclose(quantized, model(images).numpy(), atol=0.1)
    kinds = {d["dtype"] for d in interpreter.get_tensor_details() if "conv" in d["name"].lower()}
    assert np.int8 in kinds

    wider = {**arguments, "alpha": 0.5}
    with pytest.raises(
        PretrainedError, match=r"mobilenet\.weights\.h5 does not fit application MobileNet "
    ) as refused:
        definition_of(file, module, **application, options=wider).build()
    assert refused.value.option == "weights"
