"""Labels that a loss gives no meaning to: what TensorFlow makes of them, and how they are refused."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras

from components.common.data.arrays import Arrays
from components.common.data.label_range import refuse_outside
from components.common.data.model_inputs import ExamplesError
from components.common.training import fitting


def model_of(loss: object, units: int = 3) -> tf_keras.Model:
    feature = tf_keras.layers.Input((2,), name="x")
    activation = "softmax" if units > 1 else "sigmoid"
    model = tf_keras.Model(feature, tf_keras.layers.Dense(units, activation=activation)(feature))
    model.compile("sgd", loss)
    return model


def arrays(labels: list[float]) -> Arrays:
    return Arrays({"x": np.ones((len(labels), 2), np.float32)}, np.array(labels))


@pytest.mark.parametrize(
    ("train", "evaluation", "reported"),
    [
        (
            [0, 1, 3],
            [0],
            "label 3 of split 'train' (1 of 3) has no output: build_model returns a model with 3 outputs, for "
            "classes 0 to 2; give it one for each class",
        ),
        ([0, 1, 2], [3, 3], "label 3 of split 'eval' (2 of 2) has no output"),
        ([0, -1, 2], [0], "label -1 of split 'train' (1 of 3) is not a class"),
        ([0, 0.5], [0], "label 0.5 of split 'train' (1 of 2) is not a class"),
        ([0, np.nan], [0], "label nan of split 'train' (1 of 2) is not a number"),
    ],
)
@pytest.mark.parametrize(
    "loss", ["sparse_categorical_crossentropy", tf_keras.losses.SparseCategoricalCrossentropy()]
)
def test_classes_that_the_model_does_not_have(
    loss: object, train: list[float], evaluation: list[float], reported: str, tmp_path: object
) -> None:
    with pytest.raises(ExamplesError) as refusal:
        fitting.fit(
            model_of(loss),
            arrays(train),
            arrays(evaluation),
            {"batch_size": 2, "epochs": 1},
            0,
            str(tmp_path),
        )
    assert str(refusal.value).startswith(reported)


def test_tensorflow_itself_trains_on_labels_that_are_not_probabilities() -> None:
    """The reason for all this: the surer the model, the lower the loss, without an end."""
    sure, unsure = tf_keras.losses.binary_crossentropy(
        np.array([[2.0], [2.0]]), np.array([[0.999], [0.5]], np.float32)
    ).numpy()
    assert sure < -5 < 0 < unsure


def test_what_a_loss_can_be_computed_of_passes() -> None:
    refuse_outside("sparse_categorical_crossentropy", 3, np.array([[0.0, 1.0], [2.0, 0.0]]), "train")
    refuse_outside("binary_crossentropy", 1, np.array([0.0, 0.1, 1.0]), "train")
    refuse_outside("mse", 1, np.array([-3.5, 1e6]), "train")
    refuse_outside(lambda labels, outputs: 0.0, 2, np.array([-1, 7]), "train")
    ignoring = tf_keras.losses.SparseCategoricalCrossentropy(ignore_class=-1)
    refuse_outside(ignoring, 3, np.array([-1, 2]), "train")
    with pytest.raises(ExamplesError, match=r"label 2 of split 'eval' \(1 of 2\) is not a probability"):
        refuse_outside(tf_keras.losses.BinaryCrossentropy(), 1, np.array([0, 2]), "eval")
    with pytest.raises(ExamplesError, match="label inf of split 'eval'"):
        refuse_outside("mse", 1, np.array([1.0, np.inf]), "eval")


def test_losses_of_an_output_by_name_and_of_several() -> None:
    feature = tf_keras.layers.Input((2,), name="x")
    price = tf_keras.layers.Dense(1, name="price")(feature)
    kind = tf_keras.layers.Dense(3, activation="softmax", name="kind")(feature)
    model = tf_keras.Model(feature, [price, kind])
    model.compile("sgd", {"kind": "sparse_categorical_crossentropy", "price": "mse"})
    fitting.refuse_labels(model, {"train": [np.array([-9.5]), np.array([2])]})
    with pytest.raises(ExamplesError, match="label 9 of split 'eval'"):
        fitting.refuse_labels(model, {"eval": [np.array([-9.5]), np.array([9])]})
