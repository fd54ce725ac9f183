"""Model files that would run code, unpack to far more or read other files are refused without TensorFlow."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import h5py
import pytest

from tests.pipeline.checks.import_checks.model_files import (
    LAMBDA,
    field,
    graph_file,
    keras_file,
    layer,
    varint,
)
from tests.pipeline.checks.import_checks.sections import problems
from tests.project import Project

NESTED = json.dumps({"class_name": "Lambda", "config": {}})


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (layer("Lambda").replace('": "Lambda', '" \t: \n "Lambda'), "holds a Lambda layer"),
        (layer("Lambda").replace("Lambda", "\\u004cambda"), "holds a Lambda layer"),
        (layer("keras.layers>Lambda"), "holds a Lambda layer"),
        (layer("TimeDistributed", config={"layer": {"class_name": "Lambda"}}), "holds a Lambda layer"),
        (layer("Dense", config={"text": json.dumps([NESTED])}), "holds a Lambda layer"),
        (layer("Dense", config={"activation": {"class_name": "__lambda__"}}), "holds a lambda function"),
        (layer("system", module="os", registered_name=None), "holds 'system' of the Python module 'os'"),
        (
            layer("func_load", module="keras.src.utils.generic_utils"),
            "holds 'func_load' of the Python module",
        ),
        (layer("TensorFlowOpLayer"), "has 'TensorFlowOpLayer', whose code is not in the file"),
        (layer("function", module="builtins", config="eval"), "has 'eval', whose code is not in the file"),
        (
            layer("TFOpLambda", config={"function": "io.write_file"}),
            "holds a layer that calls 'io.write_file'",
        ),
        (layer("TFOpLambda", config={"function": "py_function"}), "holds a layer that calls 'py_function'"),
        (layer("Doubled", module="os", registered_name="Mine>Doubled"), "has 'Mine>Doubled', whose code"),
        (layer(["Dense"]), "holds an object of class"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("kind", ["keras", "h5", "saved_model", "pretrained"])
def test_code_that_a_file_names_is_refused_however_it_is_written(
    project: Project, tmp_path: Path, kind: str, config: str, reason: str
) -> None:
    path = {"keras": "x.keras", "h5": "x.h5", "saved_model": "layered", "pretrained": "x.keras"}[kind]
    if kind == "h5":
        with h5py.File(tmp_path / path, "w") as file:
            file.attrs["model_config"] = config
    elif kind == "saved_model":
        content = config.encode()
        node = b"\x2a" + varint(len(content)) + content  # metadata
        (tmp_path / path / "keras_metadata.pb").write_bytes(b"\x0a" + varint(len(node)) + node)
    else:
        keras_file(tmp_path / path, config=config)
    section = (
        "pretrained: {head: {classes: 3}, path: x.keras}" if kind == "pretrained" else f"import: {path}"
    )
    (problem,) = problems(project, f"{{{section}}}")

    key = "pretrained" if kind == "pretrained" else "import"
    assert problem.startswith(f"model.{key}.path: {path} {reason}")


def test_a_class_of_the_module_is_not_foreign(project: Project, tmp_path: Path) -> None:
    keras_file(tmp_path / "own.keras", config=layer("Mine", module="train", registered_name="Custom>Mine"))
    (tmp_path / "own.py").write_text(
        "class Mine:\n    pass\ndef build_student(hparams):\n    raise TypeError\n"
    )

    assert problems(project, "{module: own, import: own.keras}") == []
    (problem,) = problems(project, "{module: student, import: own.keras}")
    assert "own.keras has 'Custom>Mine', whose code is not in the file; define it in the module" in problem


@pytest.mark.parametrize("member", ["config.json", "model.weights.h5", "assets/more"])
def test_an_archive_that_would_unpack_to_far_more_is_refused_by_its_header(
    project: Project, tmp_path: Path, member: str
) -> None:
    entries = {
        "config.json": b"{}",
        "metadata.json": b"{}",
        "model.weights.h5": b"",
        member: bytes(80 * 2**20),
    }
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    (problem,) = problems(project, "import: bomb.keras")

    stored, unpacked = (tmp_path / "bomb.keras").stat().st_size, sum(map(len, entries.values()))
    assert f"bomb.keras has {stored:,} bytes and would unpack to {unpacked:,} or more" in problem


def test_an_hdf5_file_with_arrays_that_it_does_not_store_is_refused(
    project: Project, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.attrs["model_config"] = layer()
        file.create_dataset("w", (10**9, 10), "f4", chunks=(1000, 10), compression="gzip")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file.attrs["model_config"] = layer()
        file["w"] = h5py.ExternalLink("bomb.h5", "w")
    with h5py.File(tmp_path / "outside.h5", "w") as file:
        file.attrs["model_config"] = layer()
        file.create_dataset("w", (6,), "u1", external=[("secret", 0, 6)])

    stored = (tmp_path / "bomb.h5").stat().st_size
    for name, reported in (
        ("bomb", f"bomb.h5 has {stored:,} bytes and would unpack to {4 * 10**10:,} or more"),
        ("link", "link.h5 has a link 'w' to another file"),
        ("outside", "outside.h5 takes the values of 'w' from other files"),
    ):
        (problem,) = problems(project, f"import: {name}.h5")
        assert reported in problem


def test_a_file_that_is_two_formats_at_once_is_refused(project: Project, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "two.keras", "w") as file:
        file.attrs["model_config"] = layer()
    keras_file(tmp_path / "behind.keras", config=LAMBDA)
    with open(tmp_path / "two.keras", "ab") as both:
        both.write((tmp_path / "behind.keras").read_bytes())

    (problem,) = problems(project, "import: two.keras")
    assert "is both an HDF5 file and a zip archive" in problem


@pytest.mark.parametrize("where", ["graph", "function"])
@pytest.mark.parametrize(
    "operator", ["ReadFile", "WriteFile", "PyFunc", "EagerPyFunc", "TFRecordDataset", "PrintV2"]
)
def test_operators_that_reach_outside_are_refused_by_name(
    project: Project, tmp_path: Path, operator: str, where: str
) -> None:
    stream = field(5, field(1, b"output_stream") + field(2, field(2, b"file:///tmp/x")))
    node = field(1, b"n") + field(2, operator.encode()) + (stream if operator == "PrintV2" else b"")
    (tmp_path / "plain/saved_model.pb").write_bytes(graph_file(node, where))

    for options in ("", ", signature: serving_default"):
        (problem,) = problems(project, f"import: {{path: plain{options}}}")
        reported = (
            f"model.import.path: plain has the operator {operator}, which runs Python or reads or writes"
        )
        assert problem.startswith(reported)
    (problem,) = problems(project, "import: {path: plain, safe_mode: false}")
    assert "has no layers that `prune` could change" in problem


def test_an_asset_outside_of_the_folder_is_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "plain/saved_model.pb").write_bytes(field(2, field(6, field(2, b"../../etc/passwd"))))

    (problem,) = problems(project, "import: plain")
    assert "plain has an asset outside its folder, '../../etc/passwd'" in problem
