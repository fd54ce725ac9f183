"""Classes of image folders: their names, order and weights, and the model that they must fit."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from pipeline.config.config_file import load
from pipeline.config.problem import ConfigError
from pipeline.plan import data_files, image_nodes
from tests.pipeline.checks.image_folders.pictures import MODEL, PNG, Folder


def test_a_class_of_one_split_alone_is_named(folder: Folder) -> None:
    folder.write("train/owl/1.png", PNG)
    folder.write("eval/bee/1.png", PNG)
    assert [(problem.key(), problem.message) for problem in folder.check()] == [
        ("data.splits.train", "only the train split has images of owl: the eval split would not measure it; "
         "add some, or remove the folder"),
        ("data.splits.eval", "only the eval split has images of bee: the train split has no images to learn "
         "it; add some, or remove the folder"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [("data.classes=[cat, dog, owl]", "data.classes", "lists owl, but there is no folder of that name to train on"),
     ("data.classes=[cat, dgo]", "data.classes", "does not list dog, but there are folders of that name"),
     ("data.class_weights={dgo: 2}", "data.class_weights",
      "'dgo' is not a class of the train split; did you mean 'dog'?; it has cat, dog")],
)  # fmt: skip
def test_classes_that_have_no_folder_are_named(
    folder: Folder, written: str, key: str, message: str
) -> None:
    assert message in folder.message(written, key=key)


def test_more_classes_than_a_schema_lists_have_to_be_written(folder: Folder) -> None:
    for split in ("train", "eval"):
        for number in range(99):
            folder.write(f"{split}/class{number}/1.png", PNG)
    assert "is missing: the train split has 101 classes, and schemas list at most 100" in folder.message(
        key="data.classes"
    )
    for split in ("train", "eval"):
        shutil.rmtree(folder.root / f"data/{split}/class0")
    assert folder.check() == []


@pytest.mark.parametrize(
    ("written", "key", "message"),
    [("data.image=null", "data", "format: images needs a size"),
     ("data.label=image", "data", "label: image is the feature that holds the pixels"),
     ("data.format=tfrecord", "data", "write format: images, or remove image"),
     ("data.classes=[a, a]", "data.classes", "'a' is listed twice"),
     ("data.classes=[a, '']", "data.classes", "'' is not the name of a class"),
     ('data.classes=["a\\nb", c]', "data.classes", "is not the name of a class; write one line of text"),
     ("data.classes=[1, 2]", "data", "classes are names of folders, and so text; write each in quotes"),
     ("data.class_weights={cat: 0}", "data.class_weights", "the weight of 'cat' is 0; write a number above 0"),
     ("data.class_weights=even", "data.class_weights", "'even' is not balanced or {class: weight, …}")],
)  # fmt: skip
def test_options_that_cannot_be_meant(folder: Folder, written: str, key: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load(folder.root / "pipeline.yaml", ["data.label=label", written])
    assert message in str(refused.value) and key in str(refused.value)


def test_weights_of_classes_that_are_not_written(folder: Folder) -> None:
    with pytest.raises(
        ConfigError, match=r"class_weights: 'owl' is not one of the classes \['cat', 'dog'\]"
    ):
        load(folder.root / "pipeline.yaml", ["data.classes=[cat, dog]", "data.class_weights={owl: 2}"])


def test_the_model_must_fit_images_and_classes(folder: Folder) -> None:
    folder.write_model(MODEL.replace("Dense(2", "Dense(10"))
    (problem,) = folder.preflight("data.class_weights=balanced")
    assert problem.key() == "model.module"
    assert "the model has 10 outputs, and the label 2 classes: ['cat', 'dog']" in problem.message


def test_weights_are_refused_of_a_regression(folder: Folder) -> None:
    folder.write_model(MODEL.replace("sparse_categorical_crossentropy", "mse"))
    problems = folder.preflight("data.class_weights=balanced")
    (problem,) = [problem for problem in problems if problem.key() == "data.class_weights"]
    assert "the loss of a regression" in problem.message


def numbered(folder: Folder, names: list[str]) -> None:
    """Replaces the class folders."""
    for split in ("train", "eval"):
        shutil.rmtree(folder.root / "data" / split)
        for name in names:
            folder.write(f"{split}/{name}/1.png", PNG)


def test_folders_of_numbers_are_classes_in_the_order_of_their_values(folder: Folder) -> None:
    numbered(folder, ["0", "1", "2", "10"])
    assert folder.check() == []
    data = load(folder.root / "pipeline.yaml").config.data
    assert image_nodes.classes(data, data_files.trained_files(data)) == ["0", "1", "2", "10"]
    numbered(folder, ["c1", "c10", "c2"])
    assert image_nodes.classes(data, data_files.trained_files(data)) == ["c1", "c10", "c2"]


def test_an_imported_model_of_numbered_folders_needs_their_order(folder: Folder) -> None:
    numbered(folder, ["0", "1", "2", "10"])
    namespace: dict[str, Any] = {}
    exec(MODEL.replace("Dense(2", "Dense(4"), namespace)
    namespace["build_model"]({}).save(folder.root / "model.keras")
    (problem,) = folder.preflight("model={import: {path: model.keras}}")
    assert problem.key() == "data.classes"
    assert (
        "folders 0, 1, 2, 10 could be in this order or, as text, in the order 0, 1, 10, 2"
        in problem.message
    )
    assert (
        folder.preflight("model={import: {path: model.keras}}", "data.classes=['0', '1', '10', '2']") == []
    )
