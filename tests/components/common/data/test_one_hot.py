"""Labels in the form that a loss takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from components.common.data.arrays import Arrays
from components.common.data.class_weights import ClassWeights
from components.common.data.model_inputs import ExamplesError
from components.common.data.one_hot import as_losses_take
from components.common.data.vocabulary import Vocabulary, VocabularyError


def examples(labels: Any, **more: Any) -> Arrays:
    return Arrays({"x": np.zeros((2, 1), np.float32)}, labels, **more)


@pytest.mark.parametrize(
    ("labels", "shape", "loss", "expected"),
    [
        ([2, 0], (3,), "categorical_crossentropy", [[0, 0, 1], [1, 0, 0]]),
        ([[0, 0, 1], [1, 0, 0]], (3,), "categorical_crossentropy", [[0, 0, 1], [1, 0, 0]]),
        ([2, 0], (3,), "sparse_categorical_crossentropy", [2, 0]),
        ([[1, 0], [0, 1]], (2, 2), "kl_divergence", [[[0, 1], [1, 0]], [[1, 0], [0, 1]]]),
        ([[1, 2, 3, 4], [5, 6, 7, 8]], (2, 2, 1), "mse", [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]]),
        ([1.5, 2.5], (1,), "mse", [1.5, 2.5]),
        ([1, 0], (1,), "binary_crossentropy", [1, 0]),
    ],
)  # fmt: skip
def test_indices_become_one_value_for_each_class_and_flat_lists_get_the_outputs_shape(
    labels: Any, shape: tuple[int, ...], loss: str, expected: Any
) -> None:
    made = as_losses_take(examples(np.array(labels)), ["y"], [shape], [loss], "train")
    np.testing.assert_array_equal(made.labels, expected)


def test_weights_of_classes_stay_with_their_examples() -> None:
    weights = ClassWeights({2: 5.0}, {0: "0", 1: "1", 2: "2"})
    given = examples(np.array([2, 0]), class_weights=weights)
    made = as_losses_take(given, ["y"], [(3,)], ["categorical_crossentropy"], "train")
    np.testing.assert_array_equal(made.weights(), [5, 1])


def test_outputs_that_a_wrapper_renamed() -> None:
    given = examples({"side": np.array([1, 0]), "gap": np.array([0.5, 1.0])})
    made = as_losses_take(
        given, ["side", "gap"], [(2,), (1,)], ["categorical_crossentropy", "mse"], "train"
    )
    assert isinstance(made.labels, dict)
    np.testing.assert_array_equal(made.labels["side"], [[0, 1], [1, 0]])
    np.testing.assert_array_equal(made.labels["gap"], [0.5, 1.0])


def test_an_index_without_an_output_is_refused_with_the_classes_to_write() -> None:
    with pytest.raises(
        ExamplesError, match=r"label 2 of split 'train'.*or write data\.classes: \[1, 2, …\]"
    ):
        as_losses_take(examples(np.array([1, 2])), ["y"], [(2,)], ["categorical_crossentropy"], "train")


def test_numbers_that_do_not_begin_at_0_are_classes() -> None:
    classes = Vocabulary(("1", "2"))
    np.testing.assert_array_equal(classes.indices(np.array([2, 1, 2]), "kind", "eval"), [1, 0, 1])
    np.testing.assert_array_equal(classes.indices(np.array([1.0, 2.0], np.float32), "kind", "eval"), [0, 1])
    with pytest.raises(VocabularyError, match="'3'"):
        classes.indices(np.array([3]), "kind", "eval")
