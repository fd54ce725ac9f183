"""Files known by their content."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from components.common.base import file_hashes


def test_digests_are_those_of_the_bytes(tmp_path: Path) -> None:
    contents = {
        "tflite": os.urandom((1 << 20) + 7),  # more than a block
        "variables/variables.index": b"",
        "assets/words/ä.txt": "ä".encode(),
    }
    for name, content in contents.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "empty").mkdir()

    found = file_hashes.digests(tmp_path)

    assert found == {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert found["variables/variables.index"].startswith("e3b0c442")
    assert file_hashes.digest(str(tmp_path / "tflite")) == found["tflite"]


def test_of_an_artifact_only_the_models_files_count(tmp_path: Path) -> None:
    names = (
        "Format-Serving/saved_model.pb",
        "Format-Serving/variables/variables.index",
        "Format-Keras/model.h5",
        "optimization.json",
        "history.json",
        "logs/train/events.out",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)

    found = file_hashes.model_digests(str(tmp_path))

    assert found == {name: hashlib.sha256(name.encode()).hexdigest() for name in names[:3]}
    text = file_hashes.as_property(found)
    assert json.loads(text) == found
    assert list(json.loads(text)) == sorted(found)


def test_an_artifact_without_a_model_has_no_files(tmp_path: Path) -> None:
    (tmp_path / "optimization.json").write_text("{}")
    assert file_hashes.model_digests(tmp_path) == {}
    assert file_hashes.as_property({}) == "{}"
