"""Models saved elsewhere load unchanged, or are refused with the fix."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tf_keras

from components.common.models import model_format, saved_models, saved_weights
from components.common.models.saved_models import SavedModelError
from tests.components import saved_files as files
from tests.components.saved_files import WEIGHTS, WHOLE, SavedFiles


def refusal(path: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(SavedModelError) as raised:
        saved_models.load(path, *arguments, **options)
    assert str(raised.value).startswith(path)
    return str(raised.value).removeprefix(path).strip()


@pytest.mark.parametrize("name", WHOLE.values())
def test_a_keras_model_predicts_as_before_it_was_saved(saved_files: SavedFiles, name: str) -> None:
    model = saved_models.load(saved_files.path(name), compiled=True)

    np.testing.assert_allclose(model(saved_files.inputs), saved_files.outputs, atol=1e-6)
    assert (model.input_names, model.output_names) == (["input_1"], ["probabilities"])
    assert saved_models.holds_layers(model)
    # Each format brings it back in another form.
    assert getattr(model.loss, "__name__", model.loss) == "sparse_categorical_crossentropy"
    assert isinstance(model.optimizer, tf_keras.optimizers.Adam)


@pytest.mark.parametrize(("name", "output"), [("plain", "scores"), ("model", "probabilities")])
def test_a_signature_predicts_as_the_model_and_has_its_names(
    saved_files: SavedFiles, name: str, output: str
) -> None:
    model = saved_models.load(saved_files.path(name), signature="serving_default")

    np.testing.assert_allclose(model(saved_files.inputs), saved_files.outputs, atol=1e-6)
    assert model.output_names == [output]
    assert not saved_models.holds_layers(model)
    assert model.count_params() == 4 * 8 + 8 + 8 * 3 + 3
    assert not model.trainable_weights


def test_a_plain_saved_model_needs_no_signature_named_and_may_have_several_outputs(
    saved_files: SavedFiles,
) -> None:
    assert saved_models.load(saved_files.path("plain")).output_names == ["scores"]
    scores, twice = saved_models.load(saved_files.path("plain"), signature="both")(saved_files.inputs)

    np.testing.assert_allclose(2 * scores, twice, atol=1e-6)


@pytest.mark.parametrize("name", ["custom.keras", "custom.h5", "custom"])
def test_layers_of_ones_own_need_their_code(saved_files: SavedFiles, name: str) -> None:
    reported = refusal(saved_files.path(name))
    model = saved_models.load(saved_files.path(name), {"Doubled": files.Doubled})

    assert reported.startswith("has 'Doubled', whose code is not in the file; define it in the module that")
    assert isinstance(model.get_layer("hidden0"), files.Doubled)


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "lambda"])
def test_code_in_a_file_runs_only_if_asked_for(saved_files: SavedFiles, name: str) -> None:
    reported = refusal(saved_files.path(name))
    model = saved_models.load(saved_files.path(name), safe_mode=False)

    assert re.match(
        "holds a Lambda layer: Python code, which loading it runs; write safe_mode: false", reported
    )
    np.testing.assert_allclose(model(saved_files.inputs), 2 * saved_files.outputs, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("truncated", {}, "has a damaged saved_model.pb (Error parsing message"),
        ("keras3.h5", {}, "is an HDF5 file that was saved by Keras 3."),
        ("model.weights.h5", {}, "holds weights without a model; write {weights: …} and a module"),
        ("model.keras", {"signature": "x"}, "is a Keras file, which has no signatures; leave"),
        (
            "plain",
            {"signature": "x"},
            "has no signature 'x'; write signature: one of both, one, serving_default",
        ),
        ("plain", {"signature": "one"}, "takes 1 examples at a time (input 'x' of shape (1, 4)); save it"),
        ("model.h5", {"sha256": "0" * 64}, "is not the planned file: its SHA-256 is "),
    ],
)
def test_what_cannot_be_used_is_refused(
    saved_files: SavedFiles, name: str, options: dict[str, str], reason: str
) -> None:
    reported = refusal(saved_files.path(name), **options)

    if name == "plain" and options == {"signature": "x"}:
        known = reported.partition("one of ")[2].split(", ")
        assert sorted(known) == ["both", "one", "serving_default"]
        reason = reason.partition("one of ")[0]
    assert reported.startswith(reason)


def test_content_is_compared_with_what_was_planned(saved_files: SavedFiles) -> None:
    path = saved_files.path("model")

    assert saved_models.load(path, sha256=model_format.digest(path)).built


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("compiled", [True, False])
def test_weights_go_into_the_model_that_they_were_saved_from(
    saved_files: SavedFiles, name: str, compiled: bool
) -> None:
    model = files.build(compiled=compiled)
    saved_weights.load(saved_files.path(WEIGHTS[name]), model)

    np.testing.assert_allclose(model(saved_files.inputs), saved_files.outputs, atol=1e-6)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"units": 9},
            r".*hidden0.*\(4, 9\).*\(4, 8\).*|.*incompatible tensor with shape \(8,\).*hidden0/bias.*",
        ),
        (
            {"layers": 2},
            ".*(holds 4 weights of layers, and the model has 6|2 layers, and the model 3 .*hidden1 in).*",
        ),
        # Keras would load these without a word, and leave the last layer out.
        (
            {"end": False},
            ".*(holds 4 weights of layers, and the model has 2|2 layers, and the model 1 .*probab).*",
        ),
    ],
)
def test_weights_of_another_model_are_refused_by_the_layer(
    saved_files: SavedFiles, name: str, change: dict[str, Any], reason: str
) -> None:
    path = saved_files.path(WEIGHTS[name])
    with pytest.raises(SavedModelError) as raised:
        saved_weights.load(path, files.build(**change))

    reported = str(raised.value)
    assert reported.startswith(f"{path} does not fit the model that build_model returns: ")
    assert reported.endswith("; build the model that the weights were saved from")
    assert re.fullmatch(reason, reported)


def test_a_saved_model_is_not_a_file_of_weights(saved_files: SavedFiles) -> None:
    with pytest.raises(SavedModelError, match="is a SavedModel, not weights; write"):
        saved_weights.load(saved_files.path("model"), files.build())


def test_what_stands_at_a_uri_is_copied_while_it_is_read(saved_files: SavedFiles) -> None:
    # TensorFlow's own scheme for files in memory, as gs:// is for those in the cloud.
    import tensorflow as tf

    uri = "ram://bucket/models"
    tf.io.gfile.makedirs(f"{uri}/plain/variables")
    for name in ("model.keras", "old.h5"):
        tf.io.gfile.copy(saved_files.path(name), f"{uri}/{name}")
    for file in model_format.recognise(saved_files.path("plain")).files:
        tf.io.gfile.copy(str(file), f"{uri}/plain/{file.relative_to(saved_files.path('plain'))}")

    digest = model_format.digest(saved_files.path("plain"))
    whole = saved_models.load(f"{uri}/plain", sha256=digest)
    weights = files.build()
    saved_weights.load(f"{uri}/old.h5", weights)
    for model in (whole, weights, saved_models.load(f"{uri}/model.keras")):
        np.testing.assert_allclose(model(saved_files.inputs), saved_files.outputs, atol=1e-6)
    with saved_models.local_copy(f"{uri}/model.keras") as local:
        assert local.endswith("/model.keras")
    assert re.match("does not (exist|load)", refusal(f"{uri}/nothing.keras"))
