"""SavedModels: tensors and text in batches, and errors of one request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from components.common.serving.request_error import Fault, RequestError
from components.common.serving.saved_model_servable import SavedModelServable
from components.common.serving.servable import ServableError, Values
from components.common.serving.versions import load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tensorflow as tf

    class Twice(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])  # type: ignore[misc]
        def numbers(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": 2 * x}

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])  # type: ignore[misc]
        def text(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"number": tf.strings.to_number(text), "again": text}

    module = Twice()
    made = tmp_path_factory.mktemp("saved") / "1"
    tf.saved_model.save(
        module, str(made), signatures={"serving_default": module.numbers, "text": module.text}
    )
    return made


def texts(*values: bytes) -> Values:
    return {"text": np.array(values, object)}


def test_requests_of_a_batch_run_as_one_and_each_gets_its_own(folder: Path) -> None:
    servable = load(folder, threads=1, saved_model=False)
    assert isinstance(servable, SavedModelServable)
    signature = servable.signature("serving_default")
    assert (signature.inputs["x"].shape, signature.inputs["x"].dtype) == ((None, 2), np.float32)
    assert servable.signature("text").inputs["text"].dtype == object
    requests = [{"x": np.full((rows, 2), rows, np.float32)} for rows in (1, 3)]
    one, three = servable.predict("serving_default", requests)
    assert isinstance(one, dict) and isinstance(three, dict)
    assert one["y"].tolist() == [[2, 2]]
    assert three["y"].tolist() == [[6, 6]] * 3


def test_the_error_of_one_request_is_not_that_of_the_others(folder: Path) -> None:
    servable = SavedModelServable(folder)
    good, bad, other = servable.predict("text", [texts(b"1", b"2"), texts(b"x"), texts(b"4")])
    assert isinstance(good, dict) and isinstance(other, dict)
    assert (good["number"].tolist(), good["again"].tolist()) == ([1, 2], [b"1", b"2"])
    assert other["number"].tolist() == [4]
    # What the client sent is at fault, and nothing else.
    assert isinstance(bad, RequestError) and bad.fault is Fault.INVALID
    assert "StringToNumberOp could not correctly convert string: x" in str(bad)


def test_a_broken_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ServableError, match="does not load on TensorFlow"):
        SavedModelServable(tmp_path)
