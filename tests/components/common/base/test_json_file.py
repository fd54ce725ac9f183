"""JSON files: whole or not there, valid whatever is in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from components.common.base import json_file


def test_what_is_not_a_number_is_null_at_every_depth(tmp_path: Path) -> None:
    path = tmp_path / "new" / "values.json"
    value = {"a": [1.5, float("nan")], 3: {"b": float("-inf")}, "c": (True, None, "NaN")}
    json_file.write(str(path), value)

    text = path.read_text(encoding="utf-8")
    read = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert read == {"a": [1.5, None], "3": {"b": None}, "c": [True, None, "NaN"]}
    assert os.listdir(path.parent) == ["values.json"]


def test_keys_are_sorted_if_asked_for(tmp_path: Path) -> None:
    for sort_keys, expected in ((False, ["b", "a"]), (True, ["a", "b"])):
        json_file.write(str(tmp_path / "x.json"), {"b": 1, "a": 2}, sort_keys=sort_keys)
        assert list(json.loads((tmp_path / "x.json").read_text())) == expected


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    json_file.write("x.json", {"a": 1})
    with pytest.raises(TypeError):
        json_file.write("x.json", {"a": 2, "b": object()})

    assert os.listdir(tmp_path) == ["x.json"]
    assert json.loads(Path("x.json").read_text()) == {"a": 1}
