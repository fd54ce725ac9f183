"""Problems of tables that are reported before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import data_preflight, table_preflight
from pipeline.config.data_options import Data, Splits
from tests.project import Project

ROWS = "id,width,label\na,1.5,0\nb,0,1\na,2,1\n"


def mistakes(
    root: Path, transforms: bool = False, label: str = "label", **files: str
) -> list[tuple[str, str]]:
    options: dict[str, Any] = {}
    for name, text in files.items():
        if name in ("pattern", "hash_by"):
            options[name] = text
        else:
            (root / f"{name}.csv").write_text(text, encoding="utf-8")
    if "pattern" in options:
        options["eval_fraction"] = 0.25
    data = Data(format="csv", path=str(root), splits=Splits(**options), label=label)
    found = table_preflight.check(data, table_preflight.read(data, whole=True), transforms)
    return [(problem.key(), problem.message) for problem in found]


def test_tables_without_mistakes(tmp_path: Path) -> None:
    assert mistakes(tmp_path, train=ROWS, eval="id,width,label\nz,1.0,0\n") == []
    assert mistakes(tmp_path, pattern="*", hash_by="id") == []


def test_fault_of_a_row_is_reported_at_its_split(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, train=ROWS, eval="id,width,label\nz,1.0\n")
    assert found == (
        "data.splits.eval",
        "eval.csv:2: has 2 fields, and the header has 3; write as many, and put fields with commas in quotes",
    )
    (found,) = mistakes(tmp_path, pattern="*")
    assert found[0] == "data.splits.pattern"


def test_splits_with_other_columns_or_kinds(tmp_path: Path) -> None:
    found = mistakes(tmp_path, train=ROWS, eval="id,width,length\nz,1,0\n")
    assert [location for location, _ in found] == ["data.splits.eval"] * 3
    answered = [message for _, message in found]
    assert answered[0].startswith("its files have no column 'label'")
    assert answered[1].startswith("its files have a column 'length'")
    assert answered[2].startswith("the column 'width' holds integers, and floats in the train split")


def test_rows_without_a_label(tmp_path: Path) -> None:
    train = ROWS + "c,3,\nd,4,\n"
    (found,) = mistakes(tmp_path, train=train, eval="id,width,label\nz,1.0,0\n")
    assert found[0] == "data.label"
    assert found[1].startswith("'label' has no value in 2 of 5 rows, first train.csv:5")
    # preprocessing_fn may make the label of another column.
    assert mistakes(tmp_path, transforms=True) == []


def test_classes_are_those_of_text(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(ROWS, encoding="utf-8")
    splits = Splits(pattern="*", eval_fraction=0.25)
    data = Data(format="csv", path=str(tmp_path), splits=splits, label="label", classes=["0", "1"])
    tables = table_preflight.read(data, whole=True)
    (problem,) = table_preflight.check(data, tables, transforms=False)
    assert problem.key() == "data.classes"
    assert problem.message.startswith("are text, and 'label' holds integers")
    # preprocessing_fn may make text of it.
    assert list(table_preflight.check(data, tables, transforms=True)) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ids", "'ids' is not a column of the data; did you mean 'id'?"),
        ("width", "'width' holds floats, and TFX hashes integers and text"),
        ("label", "'label' has no value in 1 of 4 rows, first all.csv:5"),
    ],
)
def test_column_that_cannot_be_hashed(tmp_path: Path, name: str, message: str) -> None:
    found = mistakes(tmp_path, transforms=True, pattern="*", hash_by=name, all=ROWS + "c,1.5,\n")
    assert len(found) == 1 and found[0][0] == "data.splits.hash_by" and found[0][1].startswith(message)


SECTIONS = {
    "data": '{format: csv, path: data, splits: {pattern: "*.csv", eval_fraction: 0.25}, label: label}',
    "gate": "{accuracy: {metric: BinaryAccuracy, max_drop: 0.01, slices: [{by: id, min: 0.5}]}}",
}

MODEL = """\
import tf_keras


def build_model(hparams):
    model = tf_keras.Sequential(
        [tf_keras.layers.Input((1,), name="width"), tf_keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile("sgd", "binary_crossentropy")
    return model
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One over a table."""
    made = Project(tmp_path, monkeypatch)
    made.write("data/all.csv", ROWS + "c,5,0\n")
    made.write_config(**SECTIONS)
    made.write_model(MODEL)
    return made


def test_examples_that_train_are_counted(project: Project) -> None:
    facts, found = data_preflight.check_data(project.load().config, False, True)
    assert found == []
    assert (facts.features, facts.examples) == ({"id": 1, "width": 1, "label": 1}, 3)


def test_slices_and_label_go_by_the_header(project: Project) -> None:
    problem = project.problem("data.label=lable")
    assert problem.key() == "data.label"
    assert "'lable' is not a feature of the data, which has ['id', 'label', 'width']" in problem.message
    problem = project.problem("gate.accuracy.slices=[{by: ids, min: 0.5}]")
    assert problem.key() == "gate.accuracy.slices[0].by" and "did you mean 'id'?" in problem.message


def test_a_column_that_no_signature_can_be_of_is_named(project: Project) -> None:
    project.write("data/all.csv", ROWS.replace("width", "petal.width"))
    project.write_model(MODEL.replace("width", "petal.width"))
    problem = project.problem()
    assert problem.key() == "model.module"
    assert problem.message.startswith(
        "'petal.width' cannot be an input of a deployed model: TensorFlow would call it 'pet"
    )


def test_input_with_gaps_is_refused_if_nothing_fills_them(project: Project) -> None:
    assert project.looked_at() == []
    project.write("data/all.csv", ROWS + "c,,0\n")
    problem = project.problem()
    assert problem.key() == "model.module"
    assert problem.message == (
        "the model's input 'width' has no value in 1 of 4 rows, first all.csv:5; models take a value in every "
        "example, so fill them in, or write a preprocessing_fn(inputs) that does"
    )
