"""A split is decoded once for all its readers, and gives the same examples from files as in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.base.label import SAME_AS_INPUT
from components.common.data import decoded, shared_folder
from components.common.data.column import Column
from components.common.data.examples import Examples
from components.common.data.model_inputs import ExamplesError, InputSpec
from tests.conftest import to_example, write_examples

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 3 } } }
feature { name: "word" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "y" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
INPUTS = {"x": InputSpec((3,), np.float32), "word": InputSpec((1,), np.dtype(object))}


def rows(count: int) -> list[dict[str, Any]]:
    return [{"x": [float(i), i / 2, -i], "word": f"w{i % 4}", "y": i % 3} for i in range(count)]


def written(root: Path, train: list[dict[str, Any]], in_memory: bool | None = None) -> Examples:
    """Examples where a run has them: below its pipeline root."""
    below = root / "ImportExampleGen/examples/1"
    folder = write_examples(root / "made", SCHEMA, train=[to_example(row) for row in train])
    below.parent.mkdir(parents=True)
    (folder / "examples").rename(below)
    return Examples(str(below), str(folder / "schema"), None, "y", in_memory=in_memory)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that were decoded into."""
    found: list[str] = []
    whole = decoded._decode
    monkeypatch.setattr(
        decoded, "_decode", lambda *arguments: found.append(str(arguments[-1])) or whole(*arguments)
    )
    return found


def test_in_files_or_in_memory_examples_are_the_same(tmp_path: Path) -> None:
    held = written(tmp_path / "a", rows(50), in_memory=True).load("train", INPUTS)
    examples = written(tmp_path / "b", rows(50)[::-1], in_memory=False)
    streamed = examples.load("train", INPUTS)

    assert isinstance(held.features["x"], np.ndarray) and isinstance(streamed.features["x"], Column)
    assert streamed.in_files() and not held.in_files() and not streamed.read().in_files()
    for name in INPUTS:
        np.testing.assert_array_equal(streamed.feature_arrays()[name], held.features[name])
    np.testing.assert_array_equal(streamed.labels, held.labels)
    drawn, expected = streamed.draw(7, 3), held.draw(7, 3)
    assert isinstance(drawn.features["x"], np.ndarray)
    np.testing.assert_array_equal(drawn.features["x"], expected.features["x"])
    np.testing.assert_array_equal(drawn.labels, expected.labels)


@pytest.mark.parametrize(("available", "in_files"), [(4 * 50 * 3 * 4, True), (4 * 50 * 3 * 4 + 1, False)])
def test_a_quarter_of_the_memory_is_the_bound(
    tmp_path: Path, available: int, in_files: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.common.data.examples.available_memory", lambda: available)
    examples = written(tmp_path, rows(50)).load("train", {"x": INPUTS["x"]})
    assert examples.in_files() == in_files


def test_an_autoencoders_labels_are_in_files_too(tmp_path: Path) -> None:
    examples = written(tmp_path, rows(20), in_memory=False)
    of_itself = Examples(examples.uri, examples.schema_uri, None, SAME_AS_INPUT, in_memory=False)
    found = of_itself.load("train", {"x": INPUTS["x"]})
    assert isinstance(found.labels, Column)
    np.testing.assert_array_equal(np.asarray(found.labels), found.feature_arrays()["x"])


def test_a_run_decodes_once_and_leaves_nothing(tmp_path: Path, counted: list[str]) -> None:
    examples = written(tmp_path, rows(20))
    left = tmp_path / shared_folder.NAME / "left"
    left.mkdir(parents=True)
    with shared_folder.made(tmp_path):
        assert not left.exists()
        examples.load("train", INPUTS)
        examples.open("train", INPUTS)
        # Other features have an order of their own.
        examples.load("train", {"x": INPUTS["x"]})
        # Another process.
        script = f"""
from tests.components.common.data.test_decoded import INPUTS, Examples, decoded
decoded._decode = None
print(len(Examples({examples.uri!r}, {examples.schema_uri!r}, None, "y").load("train", INPUTS)))
"""
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.split()[-1] == "20"
        assert len(counted) == 2
        assert {os.path.dirname(folder) for folder in counted} == {str(tmp_path / shared_folder.NAME)}
    assert not (tmp_path / shared_folder.NAME).exists()


def test_without_a_run_a_process_has_a_folder_of_its_own(tmp_path: Path, counted: list[str]) -> None:
    examples = written(tmp_path, rows(20))
    before = sorted(tmp_path.rglob("*"))
    examples.load("train", INPUTS)
    examples.load("train", INPUTS)
    assert len(counted) == 1 and sorted(tmp_path.rglob("*")) == before


def test_files_that_changed_are_decoded_again(tmp_path: Path, counted: list[str]) -> None:
    examples = written(tmp_path, rows(20))
    examples.load("train", INPUTS)
    (file,) = examples.files("train")
    other = write_examples(tmp_path / "other", SCHEMA, train=[to_example(row) for row in rows(9)])
    (content,) = (other / "examples").rglob("*.gz")
    Path(file).write_bytes(content.read_bytes())
    assert len(examples.load("train", INPUTS)) == 9
    assert len(counted) == 2


def test_what_is_refused_leaves_no_half(tmp_path: Path) -> None:
    with shared_folder.made(tmp_path):
        examples = written(tmp_path, [*rows(20), {"x": [1.0, 2.0, 3.0], "word": "w"}])
        for _ in range(2):
            with pytest.raises(ExamplesError, match="Feature: y"):
                examples.load("train", INPUTS)
        left = [path.suffix for path in (tmp_path / shared_folder.NAME).iterdir()]
        assert left == [".lock"]
