"""Trunks of pretrained models, and what is built on them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import grafting, model_format, pretrained
from components.common.models.model_definition import ModelDefinition
from components.common.models.pretrained import PretrainedError
from components.common.models.user_module import UserModuleError
from tests.components.conftest import MakeModule

layers = tf_keras.layers

IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)

ON_THE_TRUNK = """
    import tf_keras

    def build_model(hparams, pretrained):
        x = tf_keras.layers.Dense(3, name="new")(pretrained.output)
        model = tf_keras.Model(pretrained.inputs, x)
        model.compile("sgd", "mse")
        return model

    def build_student(hparams):
        x = tf_keras.layers.Input((8, 8, 1), name="image")
        y = tf_keras.layers.Dense(3)(tf_keras.layers.Flatten()(x))
        return tf_keras.Model(x, y)
"""


def a_model(filters: int = 4) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(filters, 3, name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Flatten(name="flatten")(layers.ReLU(name="relu")(x))
    x = layers.Dense(6, activation="relu", name="features")(x)
    x = layers.Dense(5, name="classes")(x)
    model = tf_keras.Model(image, layers.Softmax(name="softmax")(x))
    for weight in model.get_layer("norm").weights:  # else moving statistics are 0 and 1
        weight.assign(np.linspace(0.5, 1.5, filters))
    return model


def options(saved: Path | str = "", **changes: Any) -> dict[str, Any]:
    """What a plan says of a pretrained file."""
    digest = model_format.digest(saved) if saved and Path(saved).exists() else ""
    origin = {"path": str(saved), "application": None, "weights": None}
    rest = {"options": {}, "cut_at": None, "freeze": ["*"], "freeze_batch_norm": True, "head": None}
    return {**origin, **rest, "file": str(saved), "sha256": digest, **changes}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with all its layers frozen, as HDF5, which keeps that."""
    model = a_model()
    model.trainable = False
    path = tmp_path_factory.mktemp("saved") / "model.h5"
    model.save(path, include_optimizer=False)
    return path


def up_to(model: tf_keras.Model, layer: str) -> np.ndarray:
    return tf_keras.Model(model.input, model.get_layer(layer).output)(IMAGES).numpy()


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_a_trunk_computes_what_the_saved_model_does_up_to_there(name: str, tmp_path: Path) -> None:
    # AutoGraph would rewrite Keras, for half a minute.
    tf.autograph.experimental.do_not_convert(a_model().save)(tmp_path / name)

    trunk = pretrained.trunk(options(tmp_path / name, cut_at="flatten"))

    np.testing.assert_allclose(trunk(IMAGES).numpy(), up_to(a_model(), "flatten"), atol=1e-6)
    assert trunk.input_names == ["image"]


def test_without_a_layer_to_cut_at_a_trunk_ends_before_the_classifier(saved: Path, tmp_path: Path) -> None:
    assert [layer.name for layer in pretrained.trunk(options(saved)).layers][-1] == "features"

    whole = a_model()
    headless = tf_keras.Model(whole.input, whole.get_layer("relu").output)
    headless.save(tmp_path / "headless.h5")
    trunk = pretrained.trunk(options(tmp_path / "headless.h5"))
    assert [layer.name for layer in trunk.layers][-1] == "relu"


def test_what_a_file_says_is_frozen_trains_again(saved: Path) -> None:
    assert not tf_keras.models.load_model(saved, compile=False).trainable_weights

    assert len(pretrained.trunk(options(saved)).trainable_weights) == 6


def test_models_inside_a_pretrained_model_are_taken_apart(tmp_path: Path) -> None:
    inner = a_model()
    image = layers.Input((8, 8, 1), name="picture")
    nested = tf_keras.Sequential([inner, layers.Dense(2, name="last")], name="outer")
    model = tf_keras.Model(image, nested(layers.Activation("tanh", name="first")(image)))
    model.save(tmp_path / "nested.h5")

    trunk = pretrained.load(options(tmp_path / "nested.h5"))

    assert not grafting.is_nested(trunk)
    assert [layer.name for layer in trunk.layers if layer.weights] == [
        "conv",
        "norm",
        "features",
        "classes",
        "last",
    ]
    np.testing.assert_allclose(trunk(IMAGES).numpy(), model(IMAGES).numpy(), atol=1e-6)


def test_a_trunk_is_grafted_on_tensors_of_the_users_own(saved: Path) -> None:
    trunk = pretrained.trunk(options(saved))
    raw = layers.Input((8, 8, 1), name="raw")
    model = tf_keras.Model(raw, grafting.graft(trunk, layers.Rescaling(0.5, name="scaled")(raw)))

    assert not grafting.is_nested(model) and model.input_names == ["raw"]
    np.testing.assert_allclose(model(2 * IMAGES).numpy(), trunk(IMAGES).numpy(), atol=1e-5)
    assert model.get_layer("conv") is not trunk.get_layer("conv")


def test_layers_that_are_used_twice_are_copied_once(tmp_path: Path) -> None:
    one, other = layers.Input((3,), name="one"), layers.Input((3,), name="other")
    shared = layers.Dense(2, name="shared")
    model = tf_keras.Model([one, other], layers.Add(name="sum")([shared(one), 2.0 * shared(other)]))

    flat = grafting.flatten(model)

    features = [np.full((1, 3), 0.5, np.float32), np.full((1, 3), -2.0, np.float32)]
    np.testing.assert_allclose(flat(features).numpy(), model(features).numpy(), atol=1e-6)
    assert flat.count_params() == model.count_params() == 8


def test_a_subclassed_model_cannot_be_grafted() -> None:
    class Own(tf_keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    with pytest.raises(grafting.GraftingError, match=r"^own is a subclassed model"):
        grafting.graft(Own(name="own"), layers.Input((3,)))


def test_the_users_function_gets_the_trunk_and_students_do_not(
    saved: Path, make_module: MakeModule
) -> None:
    definition = ModelDefinition(make_module(ON_THE_TRUNK), {}, {"pretrained": options(saved)})

    model = definition.build()

    assert model.output_shape == (None, 3)
    np.testing.assert_array_equal(
        model.get_layer("conv").get_weights()[0], a_model().get_layer("conv").get_weights()[0]
    )
    assert definition.build("build_student", compiled=False).output_shape == (None, 3)
    assert definition.build() is not model


def test_a_head_needs_no_function(saved: Path, make_module: MakeModule) -> None:
    source = {"pretrained": options(saved, cut_at="relu", head={"classes": 3, "dropout": 0.2})}

    model = ModelDefinition(make_module(""), {}, source).build()

    assert [layer.name for layer in model.layers][-3:] == ["head_pool", "head_dropout", "probabilities"]
    np.testing.assert_allclose(model(IMAGES).numpy().sum(axis=1), np.ones(4), atol=1e-6)
    assert model._is_compiled


def test_a_trunk_that_is_called_is_taken_apart(saved: Path, make_module: MakeModule) -> None:
    called = """
import tf_keras

def build_model(hparams, pretrained):
    x = tf_keras.layers.Input((8, 8, 1), name="image")
    y = tf_keras.layers.Dense(3, name="new")(pretrained(x, training=False))
    model = tf_keras.Model(x, y)
    model.compile("sgd", "mse")
    return model
"""
    definition = ModelDefinition(make_module(called), {}, {"pretrained": options(saved)})

    model = definition.build()

    assert not grafting.is_nested(model) and model._is_compiled
    trunk = definition.trunk_of(model)
    assert trunk is not None and not model.get_layer("conv").trainable


def test_models_inside_a_model_are_taken_apart(make_module: MakeModule) -> None:
    """Names of layers, inputs and outputs stay, and so do outputs; ambiguous names are distinguished."""
    source = """
import tf_keras
from tf_keras import layers

def encoder(name):
    x = layers.Input((4,))
    y = layers.BatchNormalization(name="norm")(layers.Dense(3, activation="relu", name="dense")(x))
    return tf_keras.Model(x, y, name=name)

def nested():
    tf_keras.utils.set_random_seed(3)
    left, right = layers.Input((4,), name="left"), layers.Input((4,), name="right")
    shared, other = encoder("shared"), encoder("other")
    joined = layers.Concatenate(name="joined")([shared(left, training=False), shared(right), other(right)])
    head = tf_keras.Sequential([layers.Dense(2, name="scores")], name="answer")
    model = tf_keras.Model([right, left], [head(joined), layers.Dense(1, name="amount")(joined)], name="whole")
    model.compile("sgd", {"answer": "mse", "amount": "mae"}, loss_weights={"answer": 2.0, "amount": 1.0})
    return model

def build_model(hparams):
    return nested()
"""
    module = make_module(source)
    flat = ModelDefinition(module).build()
    nested = importlib.import_module(module).nested()

    found = {layer.name for layer in flat.layers if layer.weights}
    assert found == {"dense", "norm", "other_dense", "other_norm", "scores", "amount"}
    assert (flat.input_names, flat.output_names) == (["right", "left"], ["answer", "amount"])
    values = [np.full((2, 4), value, np.float32) for value in (0.5, -1.5)]
    for own, other in zip(flat(values), nested(values), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-6)
    labels = [np.ones((2, 2), np.float32), np.ones((2, 1), np.float32)]
    measured, wanted = (m.evaluate(values, labels, verbose=0, return_dict=True) for m in (flat, nested))
    assert measured == pytest.approx(wanted)
    # As `shared` is called the first time, its BatchNormalization does not train.
    modes = [node.call_kwargs.get("training") for node in flat.get_layer("norm").inbound_nodes]
    assert sorted(map(str, modes)) == ["False", "None"]


MISUSE = {
    "not used": (
        "x = tf_keras.layers.Input((8, 8, 1), name='image')\n"
        "    y = tf_keras.layers.Dense(3)(tf_keras.layers.Flatten()(x))",
        "does not use the trunk that it gets",
    ),
    "made again": (
        "x = tf_keras.layers.Input((8, 8, 1), name='image')\n"
        "    y = tf_keras.layers.Dense(3)(tf_keras.models.clone_model(pretrained, x).output)",
        "layer conv of build_model's model has the name of a layer of the pretrained model, but other",
    ),
}


@pytest.mark.parametrize("case", MISUSE)
def test_a_trunk_that_is_not_used_as_it_is_is_refused(
    case: str, saved: Path, make_module: MakeModule
) -> None:
    body, message = MISUSE[case]
    module = make_module(
        "import tf_keras\n\n\ndef build_model(hparams, pretrained):\n"
        f"    {body}\n    model = tf_keras.Model(x, y)\n    model.compile('sgd', 'mse')\n    return model\n"
    )

    with pytest.raises(PretrainedError, match=message) as refused:
        ModelDefinition(module, {}, {"pretrained": options(saved)}).build()

    assert refused.value.option == "" and isinstance(refused.value, UserModuleError)


WRONG = {
    "cut_at": (
        {"cut_at": "flaten"},
        "cut_at",
        "^the pretrained model has no layer 'flaten'; did you mean 'flatten'",
    ),
    "a cut without weights": ({"cut_at": "image"}, "cut_at", "^there are no weights up to layer 'image'"),
    "a file that changed": ({"sha256": "0" * 64}, "path", "SHA-256"),
    "no such application": (
        {"path": None, "file": "", "application": "MobilNetV2"},
        "application",
        "^tf_keras.applications has no 'MobilNetV2'; did you mean 'MobileNetV2'",
    ),
    "an argument that it does not have": (
        {"path": None, "file": "", "application": "MobileNetV2", "options": {"width": 3}},
        "options",
        "^MobileNetV2 refuses these options: ",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_option_is_named(case: str, saved: Path) -> None:
    changes, option, message = WRONG[case]

    with pytest.raises(PretrainedError, match=message) as refused:
        pretrained.trunk(options(saved, **changes))

    assert refused.value.option == option


def test_weights_of_other_options_are_reported_with_the_application(tmp_path: Path) -> None:
    shape = {"input_shape": (32, 32, 3), "include_top": False}
    file = tmp_path / "half.h5"
    tf_keras.applications.MobileNet(weights=None, alpha=0.25, **shape).save_weights(file)
    given = {"input_shape": [32, 32, 3], "include_top": False, "alpha": 0.5}
    asked = options(file, path=None, application="MobileNet", weights=str(file), options=given, sha256="")

    with pytest.raises(PretrainedError) as refused:
        pretrained.load(asked)

    assert refused.value.option == "weights"
    reported = str(refused.value)
    assert reported.startswith(
        f"{file} does not fit application MobileNet with options "
        '{"alpha": 0.5, "include_top": false, "input_shape": [32, 32, 3]}: layer conv1 has weights of shapes '
        "(3, 3, 3, 16), the file (3, 3, 3, 8); write the options"
    )
    assert "build_model" not in reported


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(PretrainedError, match=r"none\.h5 does not exist"):
        pretrained.load(options(tmp_path / "none.h5"))


def trunk_in(saved: Path, make_module: MakeModule, **changes: Any) -> tuple[tf_keras.Model, Any]:
    definition = ModelDefinition(make_module(ON_THE_TRUNK), {}, {"pretrained": options(saved, **changes)})
    model = definition.build()
    return model, definition.trunk_of(model)


def frozen_in(model: tf_keras.Model) -> list[str]:
    return [layer.name for layer in model.layers if layer.weights and not layer.trainable]


def test_patterns_freeze_and_unfreeze_layers_of_the_trunk(saved: Path, make_module: MakeModule) -> None:
    model, trunk = trunk_in(saved, make_module)
    assert frozen_in(model) == ["conv", "norm", "features"]

    trunk.unfreeze(["feat*"])
    assert frozen_in(model) == ["conv", "norm"]
    trunk.unfreeze(["*"])
    assert frozen_in(model) == ["norm"]  # stays as it is
    assert trunk.trained() == ["conv", "features"]

    trunk.release()
    assert frozen_in(model) == []


def test_batch_normalization_trains_with_the_others_if_asked_for(
    saved: Path, make_module: MakeModule
) -> None:
    model, trunk = trunk_in(saved, make_module, freeze=["conv"], freeze_batch_norm=False)
    assert frozen_in(model) == ["conv"]

    trunk.unfreeze(["*"])
    assert frozen_in(model) == []


def test_a_pattern_that_freezes_or_unfreezes_nothing_is_refused(
    saved: Path, make_module: MakeModule
) -> None:
    with pytest.raises(
        PretrainedError, match=r"^pattern 'block_' matches no layer with weights; those are "
    ):
        trunk_in(saved, make_module, freeze=["block_"])
    with pytest.raises(PretrainedError, match=r"those are conv, norm, features of the trunk$"):
        trunk_in(saved, make_module, freeze=["new"])  # of the head

    _, trunk = trunk_in(saved, make_module)
    with pytest.raises(PretrainedError, match="'norm' matches only BatchNormalization"):
        trunk.unfreeze(["norm"])
    trunk.unfreeze(["conv"])
    with pytest.raises(PretrainedError, match="'conv' matches no layer that is frozen by then"):
        trunk.unfreeze(["conv"])


def test_a_head_gives_way_to_layers_of_the_trunk(tmp_path: Path, make_module: MakeModule) -> None:
    image = layers.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, name="head_pool")(image)
    x = layers.Conv2D(4, 3, name="head_pool_1")(x)
    trunk = tf_keras.Model(image, layers.Dropout(0.1, name="head_dropout")(x))
    trunk.save(tmp_path / "named.h5")
    source = {"pretrained": options(tmp_path / "named.h5", head={"classes": 3, "dropout": 0.2})}
    model = ModelDefinition("", {}, source).build()

    last = ["head_dropout", "head_pool_2", "head_dropout_1", "probabilities"]
    assert [layer.name for layer in model.layers][-4:] == last
    taken = tf_keras.Model(image, layers.ReLU(name="probabilities")(trunk.output))
    taken.save(tmp_path / "taken.h5")
    source = {"pretrained": options(tmp_path / "taken.h5", head={"classes": 3, "dropout": 0})}
    with pytest.raises(
        PretrainedError, match="the trunk has a layer 'probabilities', which is the name of the"
    ):
        ModelDefinition("", {}, source).build()
