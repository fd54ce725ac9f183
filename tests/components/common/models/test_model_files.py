"""SavedModels of models that hold more than variables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from components.common.models import model_files


@pytest.mark.parametrize("from_file", [False, True])
def test_a_lookup_table_is_saved_with_its_vocabulary(from_file: bool, tmp_path: Path) -> None:
    words = ["cash", "card", "none"]
    (tmp_path / "words").write_text("\n".join(words), encoding="utf-8")
    given = tf_keras.layers.Input((1,), dtype="string", name="kind")
    vocabulary = str(tmp_path / "words") if from_file else words
    indices = tf_keras.layers.StringLookup(vocabulary=vocabulary, output_mode="one_hot")(given)
    model = tf_keras.Model(given, tf_keras.layers.Dense(2, name="scores")(indices))
    values = np.array([["card"], ["gold"], ["none"]], object)
    expected = model.predict(tf.constant(values, tf.string), verbose=0)
    assert len({row.tobytes() for row in expected}) == 3

    model_files.save_serving(model, str(tmp_path / "saved"), ["kind"])
    (tmp_path / "words").unlink()
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    found = signature(kind=tf.constant(values, tf.string))["scores"].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-6)
