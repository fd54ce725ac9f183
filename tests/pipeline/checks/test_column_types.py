"""Types and gaps of features against the model, before a run: no format fails in the middle of one instead."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline.plan.node import EXAMPLE_GENS
from tests.project import Project, examples

MODEL = """\
import tf_keras


def build_model(hparams):
    a, b = (tf_keras.layers.Input((1,), name=name) for name in "ab")
    x = tf_keras.layers.Concatenate()([a, b])
    model = tf_keras.Model([a, b], tf_keras.layers.Dense(3, name="last")(x))
    model.compile("sgd", tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""
REGRESSION = MODEL.replace("Dense(3", "Dense(1").replace(
    "tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)", '"mse"'
)
ERROR = "{accuracy: {metric: MeanSquaredError, max_drop: 0.1}}"
TRANSFORM = """

def preprocessing_fn(inputs):
    import tensorflow as tf
    import tensorflow_transform as tft

    text = inputs["b"] if inputs["b"].dtype == tf.string else tf.strings.as_string(inputs["b"])
    return {
        "a": tft.scale_to_z_score(inputs["a"]),
        "b": tft.compute_and_apply_vocabulary(text),
        "label": inputs["label"],
    }
"""
DATA = "{format: csv, path: data, splits: {train: 'train*', eval: 'eval*'}, label: label}"
ROWS = [f"{i}.5,{i},{i % 3}" for i in range(30)]


def clear(project: Project) -> None:
    """Removes the records that the fixture wrote."""
    shutil.rmtree(project.root / "data", ignore_errors=True)


def tables(project: Project, row: str = "", evaluated: str = "", **sections: str) -> None:
    """Writes CSV files with a row more as the fourth, line 5 of the file."""
    clear(project)
    for split, more in (("train", row), ("eval", evaluated or row)):
        rows = [*ROWS[:3], *([more] if more else []), *ROWS[3:]]
        project.write(f"data/{split}.csv", "a,b,label\n" + "\n".join(rows) + "\n")
    project.write_config(**{"data": DATA, **sections})


@pytest.mark.parametrize(
    ("cell", "shown", "fix"),
    [
        ("NA", "'NA'", "if it means a missing value, write data.missing: [NA]"),
        ('"1,5"', "'1,5'", "write 1.5"),
        ("12%", "'12%'", "write 12 or 0.12, the same way in all rows"),
    ],
)
def test_text_in_a_column_of_numbers_is_named_by_its_cell(
    project: Project, cell: str, shown: str, fix: str
) -> None:
    project.write_model(MODEL)
    tables(project, f"{cell},1,0")
    problem = project.problem()
    assert problem.key() == "data.path"
    assert problem.message == (
        f"feature 'a' has a cell that is not a number, train.csv:5: {shown}, and the model's input 'a' takes numbers; "
        f"{fix}"
    )


def test_a_spelling_of_missing_values_makes_a_column_numbers_with_gaps(project: Project) -> None:
    project.write_model(MODEL)
    tables(project, "NA,1,0")
    problem = project.problem("data.missing=[NA]")
    assert problem.key() == "model.module"
    assert "the model's input 'a' has no value in 1 of 31 rows, first train.csv:5;" in problem.message
    tables(project, "1,NA,0", evaluated="2,3,0")
    assert project.problem().key() == "data.splits.eval"
    assert "train.csv:5 has 'NA'; if it means" in project.problem().message


@pytest.mark.parametrize(("row", "fault"), [("NA,1,0", "a"), ("1,NA,0", None), ("1.5,1,0", None)])
def test_a_preprocessing_fn_is_tried_with_the_text(project: Project, row: str, fault: str | None) -> None:
    project.write_model(MODEL + TRANSFORM)
    tables(project, row)
    if fault is None:
        assert project.looked_at() == []
        return
    problem = project.problem()
    assert problem.message.startswith(
        f"feature '{fault}' has a cell that is not a number, train.csv:5: 'NA', so all"
    )
    assert problem.message.endswith("write data.missing: [NA]")
    assert project.looked_at("data.missing=[NA]") == []


def test_labels_that_are_text_among_numbers(project: Project) -> None:
    project.write_model(MODEL)
    tables(project, "1.5,1,NA")
    problem = project.problem()
    assert problem.key() == "data.label"
    assert "a cell that is not a number, train.csv:5: 'NA'; remove such rows" in problem.message
    (problem,) = project.looked_at("data.classes=['0', '1', '2', NA]")
    assert "the model has 3 outputs, and the label 4 classes" in problem.message


def test_text_among_the_labels_of_a_regression(project: Project) -> None:
    project.write_model(REGRESSION)
    tables(project, '1.5,1,"2,5"', gate=ERROR)
    problem = project.problem()
    assert problem.key() == "data.label" and problem.message.endswith(
        "compiled with mean_squared_error; write 2.5"
    )


def test_text_for_an_input_of_numbers(project: Project) -> None:
    for split in ("train", "eval"):
        project.write_records(f"{split}.tfrecord.gz", [{**row, "x": list("1234")} for row in examples(9)])
    problem = project.problem()
    assert (
        "feature 'x' holds text, and the model's input 'x' takes numbers; convert it to numbers"
        in problem.message
    )


@pytest.mark.parametrize(
    ("index", "changed", "key", "message"),
    [
        (
            40,
            {"x": [1.0, 2.0, 3.0]},
            "model.module",
            "the model's input 'x' has 4 values in train.tfrecord.gz, record 1, and 3 in train.tfrecord.gz, record "
            "41; ",
        ),
        (
            40,
            {"x": []},
            "model.module",
            "the model's input 'x' has no value in 1 of 66 checked records, first train.tfrecord.gz, "
            "record 41; ",
        ),
        (
            0,
            {"label": []},
            "data.label",
            "'label' has no value in 1 of 66 checked records, first train.tfrecord.gz, record 1; remove ",
        ),
        (
            40,
            {"x": [1, 2, 3, 4]},
            "data.splits.train",
            "train.tfrecord.gz, record 41: feature 'x' holds integers, and floats in train.tfrecord.gz, record 1; "
            "write all records with one type, e.g. float_list",
        ),
        (
            40,
            {"x": list("1234")},
            "data.splits.train",
            "train.tfrecord.gz, record 41: feature 'x' holds text, and floats in train.tfrecord.gz, record 1; ",
        ),
    ],
    ids=["ragged", "missing", "no label", "integers and floats", "text and floats"],
)
def test_records_that_are_not_like_the_others(
    project: Project, index: int, changed: dict[str, Any], key: str, message: str
) -> None:
    rows = examples(60)
    rows[index] = {**rows[index], **changed}
    project.write_records("train.tfrecord.gz", rows)
    project.write_records("eval.tfrecord.gz", examples(6))
    problem = project.problem()
    assert problem.key() == key and problem.message.startswith(message)


def test_features_that_nothing_reads_may_be_ragged(project: Project) -> None:
    rows = [{**row, "z": [1] * (1 + index % 3)} for index, row in enumerate(examples(30))]
    project.write_records("train.tfrecord.gz", rows)
    project.write_records("eval.tfrecord.gz", rows)
    assert project.looked_at() == []


def records(project: Project) -> None:
    project.write_data()


def csv(project: Project) -> None:
    project.write_model(MODEL)
    tables(project)


def parquet(project: Project) -> None:
    clear(project)
    for split in ("train", "eval"):
        rows = {"x": [row["x"] for row in examples(12)], "label": [row["label"] for row in examples(12)]}
        target = io.BytesIO()
        pq.write_table(pa.table(rows), target)
        project.write(f"data/{split}.parquet", target.getvalue())
    project.write_config(data=DATA.replace("csv", "parquet"))


def images(project: Project) -> None:
    clear(project)
    for split in ("train", "eval"):
        for name in ("0", "1", "10"):
            target = io.BytesIO()
            Image.fromarray(np.zeros((2, 2), np.uint8)).save(target, "PNG")
            project.write(f"data/{split}/{name}/1.png", target.getvalue())
    project.write_config(
        data="{format: images, path: data, splits: {train: 'train/*/*', eval: 'eval/*/*'}, image: {size: [2, 2], "
        "channels: 1}}"
    )


@pytest.mark.parametrize("write", [records, csv, parquet, images])
def test_what_is_taken_before_a_run_is_taken_before_the_next(
    project: Project, write: Callable[[Project], None]
) -> None:
    write(project)
    assert project.looked_at() == []
    nodes = [node.id for node in project.plan().nodes]
    reader = next(node for node in nodes if node in EXAMPLE_GENS.values())
    assert project.looked_at(cached=[reader]) == []  # after a failure
    assert project.looked_at(cached=nodes) == []
