"""Slices that only train has: counted as TFMA counts those of eval, of raw and of transformed features."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib

from components.common.data import shared_folder
from components.common.data.examples import Examples
from components.measurer.measured import SliceValue, slice_text
from components.measurer.params import Metric
from components.measurer.train_slices import LISTED, count_slices, unjudged
from tests.components.transformed import Transformed, rows
from tests.conftest import to_example, write_examples

SCHEMA = """
feature { name: "word" type: BYTES presence { min_count: 1 } }
feature { name: "number" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "share" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "pair" type: INT presence { min_fraction: 1 } shape { dim { size: 2 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
TRAIN: list[dict[str, Any]] = [
    {"word": ["é", "b"], "number": 1, "share": 0.1, "pair": [4, 4], "label": 0},
    {"word": ["b", "b"], "number": 2, "share": 0.1, "pair": [4, 5], "label": 1},
    {"number": 2, "share": 0.25, "pair": [6, 5], "label": 1},
    {"word": "c", "number": 3, "share": 1e-7, "pair": [4, 6], "label": 0},
]
EVAL: list[dict[str, Any]] = [{"word": "b", "number": 1, "share": 0.1, "pair": [4, 5], "label": 0}]


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Examples:
    folder = write_examples(
        tmp_path_factory.mktemp("slices"),
        SCHEMA,
        train=[to_example(row) for row in TRAIN],
        eval=[to_example(row) for row in EVAL],
    )
    return Examples(str(folder / "examples"), str(folder / "schema"), None, "label")


def metric(*by: Any) -> Metric:
    return Metric.model_validate({"metric": "BinaryAccuracy", "slices": [{"by": names} for names in by]})


@pytest.mark.parametrize("by", [["word"], ["number"], ["share"], ["pair"], ["number", "word"]])
def test_slices_are_counted_as_tfma_counts_them(examples: Examples, by: list[str]) -> None:
    expected: Counter[str] = Counter()
    spec = slicer_lib.SingleSliceSpec(spec=tfma.SlicingSpec(feature_keys=by))
    for row in TRAIN:
        features = {
            name: np.array(value.float_list.value, np.float32)
            if value.HasField("float_list")
            else np.array([*value.bytes_list.value, *value.int64_list.value])
            for name, value in tf.train.Example.FromString(to_example(row)).features.feature.items()
        }
        for key in set(slicer_lib.get_slices_for_features_dicts([], features, [spec])):
            expected[",".join(f"{name}={text(value)}" for name, value in key)] += 1
    found = count_slices(by, examples)
    assert {slice_text(slice_): count for slice_, count in found.items()} == expected


def text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_values_that_only_train_has_are_counted_the_most_frequent_ones_first(examples: Examples) -> None:
    judged = list(count_slices(["number"], examples, split="eval"))
    (found,) = unjudged(metric("number"), judged, examples)
    assert (found.features, found.slices, found.examples) == (("number",), 2, 3)
    assert found.most_frequent == ((SliceValue("number", "2"),), (SliceValue("number", "3"),))
    assert found.text == (
        "2 slices by number are not judged: train has 3 examples of them and eval none (number=2; number=3)"
    )


def test_the_measurements_of_a_run_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted goes by the features, the split and the files, which are read again if they change."""

    folder = write_examples(
        tmp_path / "root/ExampleGen/examples",
        SCHEMA,
        train=[*map(to_example, TRAIN)],
        eval=[*map(to_example, EVAL)],
    )
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    reads: list[str] = []
    read = Examples.records
    monkeypatch.setattr(Examples, "records", lambda of, split: reads.append(split) or read(of, split))
    with shared_folder.made(tmp_path / "root"):
        first = count_slices(["word", "number"], examples)
        assert count_slices(["word", "number"], examples) == first and len(first) == 4
        assert reads == ["train"]
        assert len(count_slices(["number"], examples)) == 3
        assert len(count_slices(["number"], examples, split="eval")) == 1
        assert reads == ["train", "train", "eval"]
        with tf.io.TFRecordWriter(examples.files("train")[0], "GZIP") as writer:
            writer.write(to_example(TRAIN[0]))
        assert len(count_slices(["number"], examples)) == 1


def test_slices_that_eval_has_are_not_a_finding(examples: Examples) -> None:
    everything = list(count_slices(["number"], examples))
    assert unjudged(metric("number"), everything, examples) == ()
    assert unjudged(metric(), [], examples) == ()


def test_a_crossed_slice_is_the_same_in_any_order_of_features(examples: Examples) -> None:
    judged = [(SliceValue("word", "b"), SliceValue("number", "1"))]
    (found,) = unjudged(metric(["word", "number"]), judged, examples)
    assert found.features == ("number", "word")
    assert [slice_text(slice_) for slice_ in found.most_frequent] == [
        "number=1,word=é",
        "number=2,word=b",
        "number=3,word=c",
    ]


def test_a_long_list_is_cut_and_its_number_kept(tmp_path: Path) -> None:
    row = {"number": 1, "share": 0.1, "pair": [1, 1], "label": 0}
    many = [to_example({**row, "word": f"w{index:03}"}) for index in range(50)]
    folder = write_examples(tmp_path, SCHEMA, train=many, eval=many[:1])
    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label")
    (found,) = unjudged(metric("word"), [(SliceValue("word", "w000"),)], examples)
    assert (found.slices, found.examples, len(found.most_frequent)) == (49, 49, LISTED)
    assert found.text.endswith("(word=w001; word=w002; word=w003; word=w004; word=w005, …)")


def test_of_transformed_examples_raw_and_transformed_features(transformed: Transformed) -> None:
    train = rows("train")
    kinds = Counter(row["kind"] for row in train if "kind" in row)
    labels = Counter((int(row["tips"] > row.get("amount", 0.0) * 0.2), row.get("kind")) for row in train)
    given = (transformed.examples(), transformed.raw_examples())

    def found(*by: str) -> dict[str, int]:
        return {slice_text(slice_): count for slice_, count in count_slices(by, *given).items()}

    assert found("kind") == {f"kind={kind}": count for kind, count in kinds.items()}
    by_label = Counter(label for label, _ in labels.elements())
    assert found("label") == {f"label={label}": count for label, count in by_label.items()}
    assert found("kind", "label") == {
        f"kind={kind},label={label}": count for (label, kind), count in labels.items() if kind
    }
