"""Sequences, from training to the gate."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import datasets

from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError
from components.common.models import model_files
from components.quantization_aware_trainer.executor import prepare
from components.quantization_aware_trainer.support import refusals
from tests.conftest import to_example, write_examples


def digits(first: int, last: int) -> dict[str, np.ndarray]:
    found = datasets.load_digits()
    rows = (found.images[first:last] / 16).astype(np.float32)
    return {"rows": rows.reshape(len(rows), 64), "digit": found.target[first:last].astype(np.int64)}


def test_rows_of_a_digit_as_a_sequence(make_kind: Any) -> None:
    found = make_kind("recurrent", "digit", digits(0, 1200), digits(1200, 1500))
    candidate = found.converted("int8", quantization="int8", io="int8")
    verdict = found.judged(candidate, {"metric": "SparseCategoricalAccuracy", "min": 0.8, "max_drop": 0.03})
    assert verdict.blessed, verdict.reasons
    right = found.predicted(candidate)["digit"].argmax(axis=1) == found.columns["digit"]
    assert verdict.measured.accuracy.candidate == pytest.approx(right.mean(), abs=1e-6)
    ((layer, reason),) = [
        (one.layer, one.reason) for one in refusals(prepare(found.definition.build()), [])
    ]
    assert layer == "memory" and reason.startswith("GRU has no fake quantization in TFMOT")
    convolutional = dataclasses.replace(found.definition, hparams={"kind": "convolutional"})
    assert refusals(prepare(convolutional.build()), []) == []


def test_sequences_of_several_lengths_are_refused_by_name(tmp_path: Path) -> None:
    schema = (
        'feature { name: "steps" type: FLOAT } '
        'feature { name: "y" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }'
    )
    rows = [to_example({"steps": np.ones(count, np.float32), "y": 1}) for count in (3, 5)]
    written = write_examples(tmp_path, schema, train=rows)
    data = Examples(str(written / "examples"), str(written / "schema"), None, "y")
    with pytest.raises(
        ExamplesError, match=r"'steps' has 3 values in one example and 5 in another.*pad sequences"
    ):
        data.load("train", {"steps": model_files.InputSpec((None,), np.float32)})
