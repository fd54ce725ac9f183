"""Folders of versions that appear, vanish, break and are replaced."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from components.common.serving.request_error import RequestError
from components.common.serving.versions import Model, State
from components.targets.server.deployment import server_files
from components.targets.server.params import ServingOptions
from tests.components.common.serving.small_file import INPUTS, KERNEL, content, push


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "mnist"
    push(made, 1)
    return made


def served(model: Model) -> list[int]:
    return [number for number, version in model.versions.items() if version.servable]


def states(model: Model) -> dict[int, State]:
    return {number: version.state for number, version in model.versions.items()}


def test_the_newest_version_is_served_by_number_and_not_by_text(folder: Path) -> None:
    push(folder, 9)
    push(folder, 10)
    (folder / ".11.partial-ab").mkdir()
    (folder / "notes").mkdir()
    model = Model("mnist", folder)
    model.refresh()
    assert served(model) == [10]
    number, servable = model.find()
    (made,) = servable.predict("serving_default", [{"image": np.ones((2, INPUTS), np.float32)}])
    assert number == 10
    assert not isinstance(made, Exception)
    assert made["probabilities"] == pytest.approx(np.stack([KERNEL.sum(1) * 10] * 2), rel=1e-5)


def test_a_version_appears_and_the_older_one_goes_after_it(folder: Path) -> None:
    model = Model("mnist", folder)
    model.refresh()
    push(folder, 2)
    held = model.find()[1]
    model.refresh()
    assert states(model) == {2: State.AVAILABLE, 1: State.END}
    # Who holds the older one finishes on it.
    assert not isinstance(
        held.predict("serving_default", [{"image": np.ones((1, INPUTS), np.float32)}])[0], Exception
    )
    with pytest.raises(RequestError, match=r"Servable not found for request: Specific\(mnist, 1\)"):
        model.find(1)


def test_several_versions_are_kept_and_one_that_vanishes_is_let_go(folder: Path) -> None:
    for number in (2, 3):
        push(folder, number)
    model = Model("mnist", folder, keep=2)
    model.refresh()
    assert served(model) == [3, 2]
    shutil.rmtree(folder / "3")
    model.refresh()
    assert served(model) == [2, 1]
    assert model.find()[0] == 2


def test_one_that_breaks_leaves_the_older_one_and_is_tried_again_when_it_changes(folder: Path) -> None:
    push(folder, 2, content(2)[:200])
    model = Model("mnist", folder)
    model.refresh()
    assert served(model) == [1]
    assert "2/tflite" in model.versions[2].error
    tried = model.versions[2]
    model.refresh()
    assert model.versions[2] is tried
    (folder / "2" / "tflite").write_bytes(content(2))
    model.refresh()
    assert served(model) == [2]
    assert not model.versions[2].error


def test_a_folder_that_is_replaced_is_loaded_again(folder: Path) -> None:
    model = Model("mnist", folder)
    model.refresh()
    first = model.find()[1]
    shutil.rmtree(folder / "1")
    push(folder, 1, content(7))
    model.refresh()
    assert model.find()[1] is not first
    (folder / "1" / "tflite").write_bytes(b"no model")
    replaced = model.find()[1]
    model.refresh()
    assert model.find()[1] is replaced
    assert "lacks the identifier" in model.versions[1].error


def test_a_folder_that_cannot_be_read_changes_nothing(folder: Path) -> None:
    model = Model("mnist", folder)
    model.refresh()
    folder.rename(folder.with_name("away"))
    model.refresh()
    assert served(model) == [1]
    folder.mkdir()
    model.refresh()
    assert served(model) == []
    with pytest.raises(RequestError, match=r"Latest\(mnist\)"):
        model.find()


@pytest.mark.parametrize("saved_model", [False, True])
def test_an_empty_version_says_what_it_lacks(folder: Path, saved_model: bool) -> None:
    (folder / "2").mkdir()
    model = Model("mnist", folder, saved_model=saved_model)
    model.refresh()
    assert "does not have" in model.versions[2].error
    assert model.ready != saved_model


def test_labelled_versions_are_served_and_no_others(folder: Path) -> None:
    for version in (2, 3, 4):
        push(folder, version)

    def label(version: int, text: dict[str, int] | str) -> None:
        if isinstance(text, dict):
            text = server_files("mnist", ServingOptions(labels=text))["models.config"]
        deploy = folder / str(version) / "deploy"
        deploy.mkdir(exist_ok=True)
        (deploy / "models.config").write_text(text, encoding="utf-8")

    label(1, {"old": 1})
    label(3, {"stable": 1, "canary": 3, "next": 9})
    model = Model("mnist", folder)
    model.refresh()
    assert served(model) == [3, 1]
    assert [model.find(wanted)[0] for wanted in ("stable", "canary", 1, None)] == [1, 3, 1, 3]
    for wanted in ("next", "old", "2", 2, 4):
        with pytest.raises(RequestError):
            model.find(wanted)

    label(3, {"stable": 3, "canary": 4})  # moved, while it is served
    model.refresh()
    assert served(model) == [4, 3]
    assert [model.find(wanted)[0] for wanted in ("stable", "canary", None)] == [3, 4, 4]
    label(3, "no config")
    model.refresh()
    assert [model.find(wanted)[0] for wanted in ("stable", "canary")] == [3, 4]
    label(3, {})
    model.refresh()
    assert served(model) == [4]
