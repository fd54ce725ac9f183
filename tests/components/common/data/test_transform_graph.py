"""The transform graph on raw examples, held against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.common.data.model_inputs import InputSpec
from components.common.data.transform_graph import TransformError, TransformGraph
from tests.components.transformed import WIDTHS, Transformed, features_by_numpy, rows
from tests.conftest import to_example

INPUTS = {name: InputSpec((width,), np.float32) for name, width in WIDTHS.items()}


def test_raw_features_are_those_that_the_model_s_are_made_of(transformed: Transformed) -> None:
    graph = TransformGraph(str(transformed.graph))
    assert sorted(graph.raw_spec(WIDTHS)) == ["amount", "hour", "kind", "size (m)"]  # neither tips nor note
    assert sorted(graph.raw_spec(["words"])) == ["kind"]
    assert sorted(graph.raw_spec(["label"])) == ["amount", "tips"]
    with pytest.raises(TransformError, match="the transform graph makes no feature 'colour'"):
        graph.raw_spec(["words", "colour"])


def test_records_become_what_numpy_makes_of_them(transformed: Transformed) -> None:
    given = rows("eval")
    graph = TransformGraph(str(transformed.graph))
    raw = tf.io.parse_example([to_example(row) for row in given], graph.raw_spec(INPUTS))
    found = {name: value.numpy() for name, value in graph.transform(raw, INPUTS).items()}
    for name, expected in features_by_numpy(given).items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], expected, rtol=1e-5, atol=1e-6)
    assert 0 < found["words"][:, 3].sum() < len(given)  # other and missing kinds


def test_all_features_hold_the_label(transformed: Transformed) -> None:
    given = rows("eval")
    graph = TransformGraph(str(transformed.graph))
    found = graph.transform_all([to_example(row) for row in given])
    assert sorted(found) == ["label", "numbers", "words"]
    expected = [row["tips"] > np.float32(row.get("amount", 0.0)) * np.float32(0.2) for row in given]
    np.testing.assert_array_equal(found["label"].numpy()[:, 0], expected)
