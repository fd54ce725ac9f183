"""What a model's files hold, as SHA-256: a file is known by its content, wherever it is copied to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

# Custom property of `Model` and `PushedModel` artifacts.
FILES = "files"
# Folders of a `Model` artifact that hold a model; beside them are records and logs.
MODEL_FOLDERS = ("Format-Serving", "Format-Keras")

_BLOCK = 1 << 20


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def digests(folder: str | os.PathLike[str]) -> dict[str, str]:
    """Path of each file below a folder, relative to it and with `/`, → SHA-256 of its content."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): digest(path) for path in files}


def model_digests(uri: str | os.PathLike[str]) -> dict[str, str]:
    """Path of each of a `Model` artifact's model files, relative to its folder, → SHA-256 of its content."""
    return {
        f"{part}/{path}": value
        for part in MODEL_FOLDERS
        for path, value in digests(Path(uri) / part).items()
    }


def as_property(found: Mapping[str, str]) -> str:
    """Digests as the text of the property `FILES`: JSON with sorted keys."""
    return json.dumps(dict(found), sort_keys=True)
