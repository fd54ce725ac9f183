"""Formats are recognized by content, and damaged or foreign files are refused with the fix."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import h5py
import pytest

from components.common.models import model_format
from components.common.models.model_format import ModelFormatError, digest, recognise
from tests.components.saved_files import WEIGHTS, WHOLE, SavedFiles


@pytest.mark.parametrize(
    ("name", "kind", "files", "compiled"),
    [
        ("model.keras", "keras", 1, True),
        ("uncompiled.keras", "keras", 1, False),
        ("model.h5", "h5", 1, True),
        ("model", "keras_saved_model", 5, None),
        ("plain", "saved_model", 4, None),
        ("model.weights.h5", "weights", 1, None),
        ("old.h5", "weights", 1, None),
        ("checkpoint/w", "checkpoint", 2, None),
        ("checkpoint/w.index", "checkpoint", 2, None),
        ("checkpoint", "checkpoint", 2, None),
    ],
)
def test_each_format_is_recognised(
    saved_files: SavedFiles, name: str, kind: str, files: int, compiled: bool | None
) -> None:
    found = recognise(saved_files.path(name))

    assert (found.kind, len(found.files), found.compiled, found.executes) == (kind, files, compiled, ())


def test_a_format_is_recognized_by_content_and_not_by_name(saved_files: SavedFiles, tmp_path: Path) -> None:
    for name, kind in (("model.h5", "h5"), ("model.weights.h5", "weights")):
        shutil.copy(saved_files.path(name), tmp_path / "any.name")
        assert recognise(tmp_path / "any.name").kind == kind


def test_classes_that_keras_does_not_have_are_named(saved_files: SavedFiles) -> None:
    assert recognise(saved_files.path("custom.keras")).foreign == ("Doubled",)
    assert recognise(saved_files.path("model.keras")).foreign == ()


@pytest.mark.parametrize("name", ["lambda.keras", "lambda.h5", "lambda"])
def test_python_code_in_a_file_is_seen(saved_files: SavedFiles, name: str) -> None:
    assert recognise(saved_files.path(name)).executes == ("a Lambda layer",)


def test_the_digest_of_one_file_is_its_own_and_that_of_a_folder_is_what_sha256sum_says(
    saved_files: SavedFiles,
) -> None:
    content = Path(saved_files.path("model.keras")).read_bytes()
    script = "export LC_ALL=C; sha256sum $(find * -type f | sort) | sha256sum"
    reported = subprocess.run(
        ["bash", "-c", script], cwd=saved_files.path("model"), capture_output=True, text=True, check=True
    )

    assert digest(saved_files.path("model.keras")) == hashlib.sha256(content).hexdigest()
    assert digest(saved_files.path("model")) == reported.stdout.split()[0]


@pytest.mark.parametrize("changed", ["variables/variables.data-00000-of-00001", "keras_metadata.pb"])
def test_the_digest_of_a_folder_sees_each_file(
    saved_files: SavedFiles, tmp_path: Path, changed: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(saved_files.path("model"), copy)
    same = digest(copy)
    (copy / changed).write_bytes((copy / changed).read_bytes() + b"\x78\0")  # a field that protobuf skips

    assert same == digest(saved_files.path("model"))
    assert digest(copy) != same


def refusal(path: Path | str) -> str:
    with pytest.raises(ModelFormatError) as raised:
        recognise(path)
    return str(raised.value)


def test_only_the_current_format_of_keras_3_is_accepted(saved_files: SavedFiles) -> None:
    text = refusal(saved_files.path("keras3.h5"))
    assert re.match(r"is an HDF5 file that was saved by Keras 3\.\d+\.\d+\. ", text)
    assert "write model.save('model.keras') and import that file" in text
    found = recognise(saved_files.path("keras3.keras"))
    assert (found.kind, found.keras_3, found.executes, found.foreign) == (model_format.KERAS, True, (), ())
    assert not recognise(saved_files.path("model.keras")).keras_3


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("truncated.keras", r"is a damaged Keras file \(File is not a zip file\); fetch or save it again"),
        ("truncated.h5", r"is a damaged HDF5 file \(.*truncated file.*\); fetch or save it again"),
        ("truncated.weights.h5", r"is a damaged HDF5 file \(.*truncated file.*\); fetch or save it again"),
        ("no_variables", "is a SavedModel without variables/variables.index; copy the whole folder"),
        ("nothing.keras", "does not exist; .* holds .*"),
        ("model/saved_model.pb", "is part of a SavedModel; write its folder, .*/model"),
        ("", "is a folder without saved_model.pb; write a Keras file .*"),
    ],
)
def test_what_is_damaged_or_not_there_is_refused(saved_files: SavedFiles, name: str, reason: str) -> None:
    assert re.fullmatch(reason, refusal(saved_files.path(name)))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty; fetch or save it again"),
        (b"\x1c\0\0\0TFL3" + bytes(80), "is a TFLite file, which is already converted .*"),
        (pickle.dumps({"weights": [1.0]}), "is a pickle, which can run any code when it is loaded, .*"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a pointer of Git LFS, .*; write git lfs pull",
        ),
        (b"layers: 3", "is not a model; write a Keras file .*"),
    ],
)
def test_a_foreign_file_is_refused_by_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.h5"
    path.write_bytes(content)

    assert re.fullmatch(reason, refusal(path))


def test_archives_and_hdf5_files_of_others_are_refused(saved_files: SavedFiles, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("model/data.pkl", b"x")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["table"] = [1, 2]
    shutil.copy(saved_files.path("model.keras"), tmp_path / "model.zip")

    assert refusal(tmp_path / "model.pt").startswith("is a PyTorch file, but not a Keras file; write")
    assert refusal(tmp_path / "data.h5").startswith("is an HDF5 file, but not one of Keras; write")
    assert refusal(tmp_path / "model.zip").endswith("by its suffix; name it model.keras")


def test_of_several_checkpoints_one_has_to_be_named(saved_files: SavedFiles, tmp_path: Path) -> None:
    for name in ("index", "data-00000-of-00001"):
        for number in (1, 2):
            shutil.copy(saved_files.path(f"checkpoint/w.{name}"), tmp_path / f"w-{number}.{name}")

    assert refusal(tmp_path) == "holds several checkpoints; name one of them: w-1, w-2"
    (tmp_path / "w-1.data-00000-of-00001").unlink()
    assert refusal(tmp_path / "w-1").startswith("is a checkpoint that lacks files w-1.data-")


def test_the_constants_are_what_the_files_are(saved_files: SavedFiles) -> None:
    assert {recognise(saved_files.path(name)).kind for name in WHOLE.values()} == model_format.WITH_LAYERS
    kinds = {recognise(saved_files.path(WEIGHTS[name])).kind for name in ("weights", "checkpoint")}
    assert kinds == model_format.WEIGHTS_ALONE
