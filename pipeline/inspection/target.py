"""The models at a path."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

from pipeline.inspection.contents import KERAS, SAVED_MODEL, TFLITE, InspectionError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_KNOWN = (
    "a .tflite, .h5 or .keras file, the folder of a SavedModel (with saved_model.pb), of a pushed model "
    "(with tflite) or of a Model artifact (with Format-Serving)"
)

Target = tuple[str, Path]


def find(path: Path) -> list[Target]:
    """Format and path of each model at a path, the one that is deployed first.

    Args:
        path: A file or folder. Of folders named by numbers, as the Pusher writes them, the newest counts.

    Raises:
        InspectionError: If there is none.
    """
    try:
        _refuse_special(path)
        found = _find_in_folder(path) if path.is_dir() else [_find_file(path)]
    except OSError as error:
        raise InspectionError(f"cannot be read: {error.strerror or error}") from error
    if not found:
        raise InspectionError(f"has no model in it; name {_KNOWN}")
    return found


def _refuse_special(path: Path) -> None:
    """Refuses FIFOs, devices and sockets, which would be waited for or never end."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        for below in path.rglob("*"):
            if os.path.exists(below) and not os.path.isfile(below) and not os.path.isdir(below):
                raise InspectionError(f"has a FIFO, device or socket in it, {below}; remove it")
    elif not stat.S_ISREG(mode):
        raise InspectionError("is not a regular file")


def _find_file(path: Path) -> Target:
    from components.common.tflite import tflite_file

    with open(path, "rb") as file:
        start = file.read(len(_HDF5))
    if not start:
        raise InspectionError("is empty")
    if tflite_file.has_identifier(path) or path.suffix == ".tflite":
        return TFLITE, path
    if start == _HDF5 or path.suffix in (".h5", ".hdf5", ".keras"):
        return KERAS, path
    if path.name == "saved_model.pb":
        return SAVED_MODEL, path.parent
    if zipfile.is_zipfile(path):
        raise InspectionError("is a zip archive; a Keras model in one has the suffix .keras")
    raise InspectionError(f"is not a model; name {_KNOWN}")


def _find_in_folder(folder: Path) -> list[Target]:
    deployed = [(TFLITE, folder / "tflite")] if (folder / "tflite").is_file() else []
    if (folder / "saved_model.pb").is_file():
        deployed.append((SAVED_MODEL, folder))
    if deployed:
        return deployed
    serving, keras = folder / "Format-Serving", folder / "Format-Keras" / "model.h5"
    found = _find_in_folder(serving) if serving.is_dir() else []
    found += [(KERAS, keras)] if keras.is_file() else []
    if found:
        return found
    versions = sorted((p for p in folder.iterdir() if p.is_dir() and p.name.isdecimal()), key=_number)
    for version in reversed(versions):
        if found := _find_in_folder(version):
            return found
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix in (".tflite", ".h5", ".keras"))
    if len(files) > 1:
        raise InspectionError(f"has several models, name one: {', '.join(p.name for p in files)}")
    return [_find_file(file) for file in files]


def _number(folder: Path) -> int:
    return int(folder.name)
