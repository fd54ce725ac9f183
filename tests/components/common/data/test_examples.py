"""Examples as arrays: the order of records, shapes, and what is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError, InputSpec, match_features, shaped
from tests.conftest import MNIST_SCHEMA, Digits, to_example, write_examples

IMAGE = {"image": InputSpec((28, 28, 1), np.float32)}

# A feature without a shape may have any number of values.
RAGGED_SCHEMA = """\
feature { name: "x" type: FLOAT presence { min_count: 1 } }
feature { name: "y" type: INT presence { min_count: 1 } }
"""


def examples_of(folder: Path, label: str = "label") -> Examples:
    return Examples(str(folder / "examples"), str(folder / "schema"), None, label)


def records_of(digits: Digits, order: list[int], reverse_features: bool = False) -> list[bytes]:
    """Records of a few digits; a message's fields may come in any order, and features are such fields."""
    records = []
    for index in order:
        image = to_example({"image": digits.images[index]})
        label = to_example({"label": digits.labels[index]})
        # Concatenated messages merge.
        records.append(label + image if reverse_features else image + label)
    return records


def pairs(images: np.ndarray, labels: np.ndarray) -> set[bytes]:
    return {image.tobytes() + bytes([label]) for image, label in zip(images, labels, strict=True)}


def test_images_take_the_shape_and_dtype_of_the_input(mnist_examples: Any, mnist_arrays: dict) -> None:
    arrays = mnist_examples.load("eval", IMAGE)

    assert len(arrays) == 400
    assert arrays.features["image"].shape == (400, 28, 28, 1)
    assert arrays.features["image"].dtype == np.float32
    assert arrays.labels.shape == (400,)
    digits = mnist_arrays["eval"]
    # The same pairs of image and label, as a set: their order is another.
    rows = arrays.features["image"].reshape(400, 784).astype(np.int64)
    assert pairs(rows, arrays.labels) == pairs(digits.images, digits.labels)
    # Rows stay rows: the reshaped image is not transposed.
    first = next(image for image in digits.images if image.tobytes() == rows[0].tobytes())
    assert arrays.features["image"][0, 3, 17, 0] == first[3 * 28 + 17]


@pytest.mark.parametrize("reverse_features", [False, True], ids=["same-bytes", "other-bytes"])
def test_order_and_encoding_of_records_do_not_matter(
    tmp_path: Path, mnist_arrays: dict, reverse_features: bool
) -> None:
    digits = mnist_arrays["eval"]
    order = list(range(60))
    first = write_examples(tmp_path / "a", MNIST_SCHEMA, train=records_of(digits, order))
    random.Random(3).shuffle(order)
    second = write_examples(tmp_path / "b", MNIST_SCHEMA, train=records_of(digits, order, reverse_features))

    one = examples_of(first).load("train", IMAGE)
    other = examples_of(second).load("train", IMAGE)

    np.testing.assert_array_equal(one.features["image"], other.features["image"])
    np.testing.assert_array_equal(one.labels, other.labels)


def test_more_records_than_are_parsed_together(
    tmp_path: Path, mnist_arrays: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = records_of(mnist_arrays["eval"], list(range(25)))
    whole = examples_of(write_examples(tmp_path / "a", MNIST_SCHEMA, train=records)).load("train", IMAGE)
    monkeypatch.setattr("components.common.data.decoded._PARSED_TOGETHER", 10)
    parts = examples_of(write_examples(tmp_path / "b", MNIST_SCHEMA, train=records)).load("train", IMAGE)

    np.testing.assert_array_equal(parts.features["image"], whole.features["image"])
    np.testing.assert_array_equal(parts.labels, whole.labels)


def test_features_of_strings_are_sorted_by_content_too(tmp_path: Path) -> None:
    schema = """
    feature { name: "x" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
    feature { name: "y" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
    """
    rows = [{"x": f"taxi {i}", "y": i % 3} for i in range(20)]
    inputs = {"x": InputSpec((1,), np.dtype(object))}
    loaded = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        folder = write_examples(tmp_path / name, schema, train=[to_example(row) for row in order])
        loaded.append(examples_of(folder, "y").load("train", inputs))

    assert loaded[0].features["x"].ravel().tolist() == loaded[1].features["x"].ravel().tolist()
    assert sorted(loaded[0].features["x"].ravel().tolist()) == sorted(r["x"].encode() for r in rows)


def test_take_picks_features_and_labels_alike(mnist_examples: Any) -> None:
    arrays = mnist_examples.load("eval", IMAGE)
    taken = arrays.take([7, 3])

    np.testing.assert_array_equal(taken.labels, arrays.labels[[7, 3]])
    np.testing.assert_array_equal(taken.features["image"], arrays.features["image"][[7, 3]])


def test_a_missing_feature_is_named(mnist_examples: Any) -> None:
    with pytest.raises(ExamplesError, match=r"no feature 'picture'; they have \['image', 'label'\]"):
        mnist_examples.load("train", {"picture": InputSpec((784,), np.float32)})


def test_another_number_of_elements_is_named(mnist_examples: Any) -> None:
    with pytest.raises(ExamplesError, match=r"feature 'image' has shape \(784,\).*\(32, 32, 1\)"):
        mnist_examples.load("train", {"image": InputSpec((32, 32, 1), np.float32)})


def test_an_empty_split_is_named(mnist_examples: Any) -> None:
    with pytest.raises(ExamplesError, match="split 'test' has no examples"):
        mnist_examples.load("test", IMAGE)


@pytest.mark.parametrize(
    ("rows", "feature"),
    [
        pytest.param([{"x": 1.0, "y": 1}, {"x": 2.0}], "y", id="a-missing-label-is-not-class-0"),
        pytest.param([{"x": 1.0, "y": 1}, {"y": 2}], "x", id="a-missing-value-is-not-0"),
        pytest.param([{"x": [1.0, 2.0], "y": 1}, {"x": 1.0, "y": 1}], "x", id="ragged"),
    ],
)
@pytest.mark.parametrize("together", [1, 100])
def test_values_are_never_made_up(
    tmp_path: Path, rows: list, feature: str, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.common.data.decoded._PARSED_TOGETHER", together)
    folder = write_examples(tmp_path, RAGGED_SCHEMA, train=[to_example(row) for row in rows])

    with pytest.raises(ExamplesError, match=f"feature '{feature}' has"):
        examples_of(folder, "y").load("train", {"x": InputSpec((None,), np.float32)})


def test_a_feature_without_shape_is_fine_if_all_examples_agree(tmp_path: Path) -> None:
    rows = [{"x": [float(i), 0.5], "y": i} for i in range(5)]
    folder = write_examples(tmp_path, RAGGED_SCHEMA, train=[to_example(row) for row in rows])
    arrays = examples_of(folder, "y").load("train", {"x": InputSpec((2,), np.float32)})

    rows_by_label = dict(zip(arrays.labels.tolist(), arrays.features["x"].tolist(), strict=True))
    assert rows_by_label == {i: [float(i), 0.5] for i in range(5)}


@pytest.mark.parametrize(
    ("other", "reported"),
    [
        ({"x": 1.0}, r"Feature: y \(data type: int64\) is required but could not be found"),
        ({"x": 1.0, "y": [1, 1]}, "Key: y, .*Number of int64 values != expected"),
        ({"x": 1.0, "y": 0.5}, "Key: y, .*Data types don't match"),
    ],
)
def test_examples_other_than_the_schema_are_named(tmp_path: Path, other: dict, reported: str) -> None:
    schema = RAGGED_SCHEMA.replace("min_count: 1 }", "min_fraction: 1 } shape { dim { size: 1 } }")
    right = to_example({"x": 1.0, "y": 1})
    folder = write_examples(tmp_path, schema, train=[right], eval=[right, to_example(other)])
    examples = examples_of(folder, "y")
    assert len(examples.load("train", {"x": InputSpec((1,), np.float32)})) == 1
    with pytest.raises(
        ExamplesError, match=rf"^an example of split 'eval' is other .*\({reported}"
    ) as refused:
        examples.load("eval", {"x": InputSpec((1,), np.float32)})
    assert "Op:" not in str(refused.value)


def test_transformed_examples_are_read_by_the_transformed_schema(tmp_path: Path) -> None:
    folder = write_examples(
        tmp_path,
        RAGGED_SCHEMA,
        train=[to_example({"scaled": [0.25, 0.75], "y": 1}), to_example({"scaled": [0.5, 0.5], "y": 0})],
    )
    metadata = tmp_path / "transform" / "transformed_metadata"
    metadata.mkdir(parents=True)
    (metadata / "schema.pbtxt").write_text(
        """
        feature { name: "scaled" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 2 } } }
        feature { name: "y" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
        """,
        encoding="utf-8",
    )
    examples = Examples(str(folder / "examples"), str(folder / "schema"), str(tmp_path / "transform"), "y")

    assert sorted(examples.feature_spec()) == ["scaled", "y"]
    arrays = examples.load("train", {"scaled": InputSpec((2,), np.float32)})
    assert sorted(arrays.labels.tolist()) == [0, 1]
    assert arrays.features["scaled"].sum() == 2.0


def test_a_free_dimension_takes_what_is_there() -> None:
    values = np.arange(12).reshape(2, 6)

    assert shaped(values, InputSpec((None, 3), np.float32), "x").shape == (2, 2, 3)
    with pytest.raises(ExamplesError, match="'x'"):
        shaped(values, InputSpec((None, 4), np.float32), "x")


@pytest.mark.parametrize(
    ("names", "features", "expected"),
    [
        pytest.param(["image"], ["image", "label"], {"image": "image"}, id="by-name"),
        pytest.param(["input_1"], ["pixels", "label"], {"input_1": "pixels"}, id="the-only-one"),
        pytest.param(["a", "b"], ["b", "a", "c", "label"], {"a": "a", "b": "b"}, id="two-by-name"),
        pytest.param(["a"], ["b", "a", "label"], {"a": "a"}, id="one-of-two"),
    ],
)
def test_inputs_find_their_features(names: list, features: list, expected: dict) -> None:
    assert match_features(names, features, "label") == expected


@pytest.mark.parametrize(
    ("names", "features"),
    [
        pytest.param(["input_1"], ["a", "b", "label"], id="one-input-of-two-features"),
        pytest.param(["input_1", "a"], ["a", "label"], id="two-inputs-of-one-feature"),
    ],
)
def test_an_input_without_a_feature_is_named(names: list, features: list) -> None:
    with pytest.raises(ExamplesError, match=r"input 'input_1' is not a feature of the data.*'a'"):
        match_features(names, features, "label")


@pytest.mark.parametrize(
    ("values", "dtype", "reported"),
    [
        (
            [1, 3_000_000_000],
            np.int32,
            "holds 3000000000, which the model's input of int32 cannot hold: it would be -129",
        ),
        (
            [1, 300],
            np.uint8,
            "holds 300, which the model's input of uint8 cannot hold: it would be 44 (1 of 2 values)",
        ),
        ([-1, 3], np.uint8, "holds -1, which the model's input of uint8 cannot hold: it would be 255"),
        ([2**24, 2**24 + 1], np.float32, "holds 16777217, which the model's input of float32 cannot hold"),
        ([0, 2**63 - 1], np.float32, "holds 9223372036854775807, which"),
        ([4, 2], np.bool_, "holds 4, which the model's input of bool cannot hold"),
        ([1.0, 0.7], np.int32, "holds 0.7"),
        ([1.0, np.nan], np.int32, "holds nan, which the model's input of int32 cannot hold"),
        (
            [1.0, 70_000.0],
            np.float16,
            "holds 70000.0, which the model's input of float16 cannot hold: it would be inf",
        ),
    ],
)
def test_values_that_the_input_would_change_are_refused(values: list, dtype: Any, reported: str) -> None:
    """NumPy's astype wraps around, cuts off and rounds, and says nothing."""
    array = np.array(values) if isinstance(values[0], int) else np.array(values, np.float32)
    with pytest.raises(ExamplesError) as refusal:
        shaped(array, InputSpec((), dtype), "seconds")
    assert str(refusal.value).startswith(f"feature 'seconds' {reported}")
    assert str(refusal.value).endswith("in preprocessing_fn")


@pytest.mark.parametrize(
    "name", ["petal.width", "sepal length (cm)", "_x", "1st", "a-b", "petal_width", "größe"]
)
def test_names_that_tensorflow_would_change_are_refused(name: str) -> None:
    import tensorflow as tf

    spec = {name: tf.TensorSpec([None], tf.float32, name=name)}
    function = tf.function(lambda **tensors: next(iter(tensors.values()))).get_concrete_function(**spec)
    (kept,) = function.structured_input_signature[1]
    if kept == name:
        assert match_features(["x"], [name, "y"], "y") == {"x": name}
        return
    for inputs, features in ((["x"], [name, "y"]), ([name], [name, "z", "y"])):
        with pytest.raises(
            ExamplesError, match=f"cannot be an input of a deployed model: .* call it {kept!r}"
        ):
            match_features(inputs, features, "y")


def test_values_that_the_input_can_hold_are_cast() -> None:
    for values, dtype in (
        ([0, 255], np.uint8),
        ([-(2**31), 2**31 - 1], np.int32),
        ([2**24, -(2**24), 2**40], np.float32),
        ([0, 1], np.bool_),
        ([2048, 7], np.float16),
    ):
        cast = shaped(np.array(values, np.int64), InputSpec((), dtype), "x")
        assert cast.dtype == dtype and cast.astype(np.int64).tolist() == values
    numbers = np.array([0.1, np.nan, np.inf], np.float32)
    np.testing.assert_array_equal(
        shaped(numbers, InputSpec((), np.float16), "x"), numbers.astype(np.float16)
    )
    assert shaped(np.array([1.0, 2.0], np.float32), InputSpec((), np.int32), "x").tolist() == [1, 2]


def test_text_is_not_read_as_numbers() -> None:
    with pytest.raises(ExamplesError, match="feature 'x' holds text, and the model's input is float32"):
        shaped(np.array([b"1.5", b"2"], object), InputSpec((), np.float32), "x")
    with pytest.raises(ExamplesError, match="feature 'x' holds numbers, and the model's input is object"):
        shaped(np.array([1, 2]), InputSpec((), np.object_), "x")
    text = np.array([[b"a"], [b"b"]], object)
    assert shaped(text, InputSpec((1,), np.object_), "x").tolist() == [[b"a"], [b"b"]]
