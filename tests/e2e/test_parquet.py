"""A run on Parquet files that a hash splits, with a small model of numbers and no Transform."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.e2e.project import Project, empty_project

pytestmark = pytest.mark.e2e

ROWS = 600

MODEL = '''
"""Which of two classes a row is of."""

import tf_keras


def build_model(hparams):
    inputs = [tf_keras.layers.Input((1,), name=name) for name in ("width", "count")]
    hidden = tf_keras.layers.Dense(8, activation="relu")(tf_keras.layers.Concatenate()(inputs))
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1, activation="sigmoid", name="wide")(hidden))
    model.compile(tf_keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model
'''

CONFIG = """
name: tabular
data:
  format: parquet
  path: data
  splits: {pattern: "day-{SPAN}/*.parquet", eval_fraction: 0.25, hash_by: key}
  label: wide
model: {module: model, train: {epochs: 8, batch_size: 32}}
candidates:
  float16: [{convert: {quantization: float16}}]
gate:
  accuracy: {metric: BinaryAccuracy, min: 0.8, slices: [{by: wide, min: 0.5}]}
  latency: {repetitions: 60, warmup: 5}
  size: {max_ratio: 20}
push: {directory: serving}
run: {seed: 3}
"""


def table(rows: int, seed: int) -> pa.Table:
    """Rows whose label follows from two numbers; zeros are values like any other."""
    rng = np.random.default_rng(seed)
    width = np.round(rng.uniform(-2, 2, rows), 1)  # some are 0.0
    count = rng.integers(0, 4, rows)
    return pa.table(
        {
            "key": [f"k{index % 300}" for index in range(rows)],
            "width": width,
            "count": count,
            "wide": width > count - 1.5,
        }
    )


def is_eval(key: str) -> bool:
    """Whether TFX's hash puts a key into the last of four buckets.

    The hash is of a serialized `Feature`: field 1, bytes_list, with field 1, the value.
    """
    value = key.encode()
    inner = b"\x0a" + bytes([len(value)]) + value
    feature = b"\x0a" + bytes([len(inner)]) + inner
    return int(hashlib.sha256(feature).hexdigest(), 16) % 4 == 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("parquet")
    project = empty_project(root)
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    (root / "pipeline.yaml").write_text(CONFIG, encoding="utf-8")
    for span in (1, 2):
        (root / f"data/day-{span}").mkdir(parents=True)
        half = table(ROWS, span).slice
        pq.write_table(half(0, ROWS // 2), root / f"data/day-{span}/a.parquet")
        pq.write_table(half(ROWS // 2), root / f"data/day-{span}/b.parquet")
    return project


def test_a_hashed_split_of_the_latest_span_is_learned_from_and_pushed(project: Project) -> None:
    result = project.run()
    assert result["nodes"]["ParquetExampleGen"]["state"] == "ran"
    rows = table(ROWS, 2).to_pylist()
    held = [row for row in rows if is_eval(row["key"])]
    assert 0.15 * ROWS < len(held) < 0.35 * ROWS
    assert {row["key"] for row in held}.isdisjoint(row["key"] for row in rows if not is_eval(row["key"]))

    # The gate's accuracy is what the pushed file has on exactly the rows of those keys, zeros among them.
    assert any(row["width"] == 0 for row in held) and any(not row["wide"] for row in held)
    model = Interpreter(str(Path(result["pushed"]) / "tflite")).get_signature_runner("serving_default")
    right = 0
    for row in held:
        given = {name: np.array([[row[name]]], np.float32) for name in ("width", "count")}
        right += (model(**given)["wide"][0, 0] > 0.5) == row["wide"]
    measured = result["candidates"]["float16"]["measured"]["accuracy"]
    assert measured["examples"] == len(held)
    assert measured["candidate"] == float(f"{right / len(held):.7g}")
    assert measured["candidate"] > 0.9

    assert project.would_run() == set()
    (project.root / "data/day-1/a.parquet").touch()  # of a span that is not read
    assert project.would_run() == set()
    planned = json.loads(project.paredown("plan", "pipeline.yaml", "--json").out)
    assert planned["data"] == {"span": 2, "version": None, "patterns": {"all": "day-2/*.parquet"}}

    lineage = project.paredown("lineage", "serving").out
    for name in ("a", "b"):
        file = project.root / f"data/day-2/{name}.parquet"
        assert hashlib.sha256(file.read_bytes()).hexdigest()[:12] in lineage
    assert "day-1" not in lineage and "ParquetExampleGen" in lineage

    shutil.copytree(project.root / "data/day-2", project.root / "data/day-3")
    assert "ParquetExampleGen" in project.would_run()
