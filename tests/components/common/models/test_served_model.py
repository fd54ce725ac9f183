"""The SavedModel for raw features, called as its users call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from components.common.base import file_hashes
from components.common.data.model_inputs import signature_name
from components.common.models import model_files, served_model
from components.common.models.served_model import MISSING
from tests.components.transformed import Served, Transformed, features_by_numpy, rows
from tests.conftest import to_example

UNKNOWN_AT_SERVING = ("tips", "note")


def served_rows() -> list[dict[str, Any]]:
    """Raw rows of the eval split without what serving does not know."""
    return [{n: v for n, v in row.items() if n not in UNKNOWN_AT_SERVING} for row in rows("eval")]


def by_name(given: list[dict[str, Any]]) -> dict[str, Any]:
    kinds = {"amount": tf.float32, "hour": tf.int64, "kind": tf.string, "size (m)": tf.float32}
    return {
        signature_name(name): tf.constant([[row.get(name, MISSING[dtype])] for row in given], dtype)
        for name, dtype in kinds.items()
    }


@pytest.fixture(scope="module")
def signatures(served: Served) -> Any:
    return tf.saved_model.load(model_files.serving_dir(str(served.int8)))


def test_predictions_on_raw_examples_are_the_model_s_on_features_by_numpy(
    signatures: Any, served: Served
) -> None:
    given = served_rows()
    model = tf_keras.models.load_model(served.keras / "Format-Keras" / "model.h5", compile=False)
    expected = model.predict(features_by_numpy(given), verbose=0)
    examples = tf.constant([to_example(row) for row in given])
    found = signatures.signatures["serving_default"](examples=examples)["chance"].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 0.01


def test_tensors_by_name_give_the_same_as_examples(signatures: Any) -> None:
    given = served_rows()
    assert any("amount" not in row for row in given) and any("kind" not in row for row in given)
    examples = tf.constant([to_example(row) for row in given])
    for by_example, by_tensor in (
        ("serving_default", "raw_features"),
        ("transform_features", "transform_raw_features"),
    ):
        expected = signatures.signatures[by_example](examples=examples)
        found = signatures.signatures[by_tensor](**by_name(given))
        assert sorted(found) == sorted(expected)
        for name, values in expected.items():
            np.testing.assert_array_equal(found[name].numpy(), values.numpy())


def test_one_example_with_every_value_missing(signatures: Any) -> None:
    found = signatures.signatures["transform_raw_features"](**by_name([{"size (m)": 2.0}]))
    expected = features_by_numpy([{"size (m)": 2.0}])
    np.testing.assert_allclose(found["numbers"].numpy(), expected["numbers"], atol=1e-5)
    np.testing.assert_array_equal(found["words"].numpy(), expected["words"])


def test_the_file_takes_what_transform_features_gives(signatures: Any, served: Served) -> None:
    given = served_rows()[:20]
    features = signatures.signatures["transform_features"](
        examples=tf.constant([to_example(r) for r in given])
    )
    interpreter = Interpreter(model_files.tflite_file(str(served.float32)))
    runner = interpreter.get_signature_runner("serving_default")
    assert set(runner.get_input_details()) == set(features)
    predicted = signatures.signatures["serving_default"](
        examples=tf.constant([to_example(row) for row in given])
    )["chance"].numpy()
    for index in range(len(given)):
        output = runner(**{name: values.numpy()[index : index + 1] for name, values in features.items()})
        np.testing.assert_allclose(output["chance"][0], predicted[index], atol=1e-5)


def test_the_folder_holds_all_that_is_needed_and_lineage_hashes_it(
    served: Served, transformed: Transformed, tmp_path: Path
) -> None:
    files = sorted(file_hashes.model_digests(served.int8))
    assert files == [
        "Format-Serving/assets/kind",
        "Format-Serving/fingerprint.pb",
        "Format-Serving/saved_model.pb",
        "Format-Serving/tflite",
        "Format-Serving/variables/variables.data-00000-of-00001",
        "Format-Serving/variables/variables.index",
    ]
    moved = tmp_path / "1"
    (served.int8 / "Format-Serving").rename(moved)
    transformed.graph.rename(tmp_path / "graph")
    try:  # neither the model nor the graph is at its old place
        loaded = tf.saved_model.load(str(moved))
        given = tf.constant([to_example(row) for row in served_rows()[:3]])
        assert loaded.signatures["serving_default"](examples=given)["chance"].shape == (3, 1)
    finally:
        moved.rename(served.int8 / "Format-Serving")
        (tmp_path / "graph").rename(transformed.graph)


def test_the_converter_keeps_how_far_the_file_is_from_the_model(served: Served) -> None:
    assert served_model.read_error(str(served.float32)) < 1e-5
    error = served_model.read_error(str(served.int8))
    assert 1e-4 < error < 0.05
    kept = json.loads((served.int8 / "conversion.json").read_text(encoding="utf-8"))
    assert kept == {"max_error": error}


def test_compared_examples_are_the_same_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=(1500, 2)).astype(np.float32)
    chosen = served_model.compared({"x": values})
    assert len(chosen) == 1000
    turned = values[::-1]
    np.testing.assert_array_equal(turned[served_model.compared({"x": turned})], values[chosen])
