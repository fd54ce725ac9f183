"""Examples from TFRecord files: what TFX's Beam pipeline would write, in an order that can be repeated."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.components.example_gen.import_example_gen import executor as tfx_executor
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.proto import example_gen_pb2
from tfx.types import standard_artifacts

from components.import_example_gen.executor import Executor
from components.import_example_gen.records import RecordError
from tests.conftest import read_records, to_example

TWO_SPLITS = {"splits": [{"name": "train", "pattern": "train*"}, {"name": "eval", "pattern": "test*"}]}
ONE_SPLIT = {"splits": [{"name": "all", "pattern": "*"}]}
BY_HASH: dict[str, Any] = {
    "split_config": {
        "splits": [{"name": "train", "hash_buckets": 3}, {"name": "eval", "hash_buckets": 1}],
    }
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hundred examples in a raw and two compressed files."""
    folder = tmp_path_factory.mktemp("records")
    for name, begin, end in (("train-0.gz", 0, 80), ("train-1", 80, 150), ("test.gz", 150, 200)):
        with tf.io.TFRecordWriter(str(folder / name), "GZIP" if name.endswith(".gz") else "") as writer:
            for index in range(begin, end):
                writer.write(to_example({"x": [index / 2], "user": [f"user {index % 20}"]}))
    return folder


def splits_of(executor: Any, data: Path, output: Path, given: Any, wanted: Any = None) -> tuple[Any, Any]:
    """The artifact, and split → its records in order."""
    made = standard_artifacts.Examples()
    made.uri = str(output)
    context = BaseBeamExecutor.Context(beam_pipeline_args=[], tmp_dir=str(output / "tmp"), unique_id="1")
    properties = {
        "input_base": str(data),
        "input_config": json.dumps(given),
        "output_config": json.dumps(wanted or {}),
        "output_data_format": example_gen_pb2.FORMAT_TF_EXAMPLE,
        "output_file_format": example_gen_pb2.FORMAT_TFRECORDS_GZIP,
    }
    executor(context).Do({}, {"examples": [made]}, properties)
    found = {
        split: [
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for path in sorted((output / f"Split-{split}").glob("*.gz"))
            for record in read_records(path)
        ]
        for split in json.loads(made.split_names)
    }
    return made, found


def by_user(config: dict[str, Any]) -> dict[str, Any]:
    return {"split_config": {**config["split_config"], "partition_feature_name": "user"}}


@pytest.mark.parametrize(
    ("given", "wanted"),
    [(TWO_SPLITS, None), (ONE_SPLIT, BY_HASH), (ONE_SPLIT, by_user(BY_HASH))],
    ids=["two splits", "by hash", "by hash of a feature"],
)
def test_the_splits_are_those_of_tfx(folder: Path, tmp_path: Path, given: Any, wanted: Any) -> None:
    ours, found = splits_of(Executor, folder, tmp_path / "ours", given, wanted)
    theirs, expected = splits_of(tfx_executor.Executor, folder, tmp_path / "theirs", given, wanted)
    assert {s: Counter(records) for s, records in found.items()} == {
        s: Counter(records) for s, records in expected.items()
    }
    assert sum(map(len, found.values())) == 200 and all(found.values())
    assert ours.split_names == theirs.split_names
    for name in ("payload_format", "file_format"):
        assert ours.get_string_custom_property(name) == theirs.get_string_custom_property(name) != ""


def test_the_order_is_random_and_can_be_repeated(folder: Path, tmp_path: Path) -> None:
    _, first = splits_of(Executor, folder, tmp_path / "first", TWO_SPLITS)
    _, second = splits_of(Executor, folder, tmp_path / "second", TWO_SPLITS)
    assert first == second
    values = [
        tf.train.Example.FromString(r).features.feature["x"].float_list.value[0] for r in first["train"]
    ]
    assert sorted(values) == [index / 2 for index in range(150)]
    assert sum(later < earlier for earlier, later in itertools.pairwise(values)) > 50


def test_a_record_that_is_not_an_example_is_refused(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "train"), "") as writer:
        writer.write(b"\xff\xff\xff")
    with pytest.raises(RecordError, match=r"a record of train is not a tf\.train\.Example"):
        splits_of(Executor, tmp_path, tmp_path / "out", {"splits": [{"name": "train", "pattern": "train"}]})


def test_an_example_without_the_hashed_feature_is_refused(folder: Path, tmp_path: Path) -> None:
    wanted = {"split_config": {**BY_HASH["split_config"], "partition_feature_name": "x"}}
    with pytest.raises(RecordError, match="no text and no whole number in 'x'"):
        splits_of(Executor, folder, tmp_path, ONE_SPLIT, wanted)


@pytest.mark.parametrize(("given", "wanted"), [(TWO_SPLITS, None), (ONE_SPLIT, BY_HASH)])
def test_a_split_without_a_file_is_refused(tmp_path: Path, given: Any, wanted: Any) -> None:
    pattern = f"{tmp_path}/none/{given['splits'][0]['pattern']}"
    with pytest.raises(RecordError, match=f"^no file matches {pattern.replace('*', '[*]')}$"):
        splits_of(Executor, tmp_path / "none", tmp_path / "out", given, wanted)
