"""What is wrong with the import of a model is said without TensorFlow, by the key, the file and the fix."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import pytest

from pipeline.plan.node import MODEL_IMPORTER
from pipeline.plan.plan import Plan
from tests.project import Project

ROOT = Path(__file__).resolve().parents[3]

CANDIDATES = """
  int8:
    - convert: {quantization: int8}
  pruned:
    - STEP
    - convert: {quantization: int8}
"""

LAMBDA = json.dumps({"layers": [{"class_name": "Lambda"}]})


def keras_file(path: Path, version: str = "2.16.0", config: str = "{}", compiled: bool = True) -> None:
    whole = {"config": json.loads(config), "compile_config": {"loss": "mse"} if compiled else None}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", json.dumps(whole))
        archive.writestr("model.weights.h5", b"weights")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """One with a module, and a model of each kind as far as it is looked at without TensorFlow."""
    made = Project(tmp_path, monkeypatch)
    for split in ("train", "eval"):
        made.write(f"data/{split}.tfrecord", b"x")
    (tmp_path / "student.py").write_text("def build_student(hparams):\n    raise AssertionError\n")
    (tmp_path / "whole.py").write_text("def build_model(hparams):\n    raise AssertionError\n")
    keras_file(tmp_path / "model.keras")
    keras_file(tmp_path / "keras3.keras", "3.12.4")
    keras_file(tmp_path / "lambda.keras", config=LAMBDA)
    keras_file(tmp_path / "bare.keras", compiled=False)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file.create_group("layers")
    for folder, extra in (("plain", False), ("layered", True)):
        (tmp_path / folder / "variables").mkdir(parents=True)
        (tmp_path / folder / "saved_model.pb").write_bytes(b"\x12\0")  # one empty graph
        (tmp_path / folder / "variables/variables.index").write_bytes(b"index")
        if extra:
            (tmp_path / folder / "keras_metadata.pb").write_bytes(b"")
    (tmp_path / "deployed.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(80))
    return made


def written(project: Project, model: str, step: str = "prune: {sparsity: 0.5}") -> Path:
    """The config of an import."""
    project.write_config(name="imported", model=f"\n  {model}", candidates=CANDIDATES.replace("STEP", step))
    return project.config


def problems(project: Project, model: str, step: str = "prune: {sparsity: 0.5}") -> list[str]:
    """`key: message` of each mistake."""
    written(project, model, step)
    return [f"{'.'.join(map(str, problem.location))}: {problem.message}" for problem in project.checked()]


def plan_of(project: Project, model: str) -> Plan:
    written(project, model)
    return project.plan()


@pytest.mark.parametrize(
    "model",
    [
        "import: model.keras",
        "import: {path: model.keras, inputs: {input_1: image}, safe_mode: true}",
        "import: {path: lambda.keras, safe_mode: false}",
        "import: layered",
        "{module: whole, hparams: {units: 3}, import: {weights: w.weights.h5}}",
        "{module: whole, import: bare.keras}",
        "import: bare.keras",  # learns from itself
        "{module: student, import: model.keras}",
    ],
)
def test_what_can_be_imported_is_accepted(project: Project, model: str) -> None:
    assert problems(project, model) == []


def test_learning_from_labels_needs_a_loss(project: Project) -> None:
    step = "prune: {sparsity: 0.5, teacher: labels}"
    (problem,) = problems(project, "import: bare.keras", step)
    assert problem.startswith(
        "candidates.pruned.0.prune: bare.keras was saved without loss and optimizer, which learning from labels needs"
    )
    assert problems(project, "import: model.keras", step) == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("import: nothing.keras", "model.import.path: nothing.keras does not exist; . holds bare.keras, "),
        ("import: data", "model.import.path: data is a folder without saved_model.pb; write a Keras file "),
        ("import: keras3.keras", "model.import.path: keras3.keras was saved by Keras 3.12.4, whose layers"),
        (
            "import: deployed.tflite",
            "model.import.path: deployed.tflite is a TFLite file: it is converted ",
        ),
        (
            "import: lambda.keras",
            "model.import.path: lambda.keras holds a Lambda layer: Python code, which loading it runs",
        ),
        (
            "import: gs://b/model.keras",
            "model.import.path: gs://b/model.keras is not on this machine, and a run",
        ),
        (
            "import: w.weights.h5",
            "model.import.path: w.weights.h5 holds weights without a model; write import",
        ),
        (
            "{module: whole, import: {weights: layered}}",
            "model.import.weights: layered is a SavedModel, which is a whole model; write import: {path: …}",
        ),
        (
            "import: {path: model.keras, signature: serve}",
            "model.import.signature: model.keras is a Keras file, which has no signatures; remove it",
        ),
        (
            "import: {path: model.keras, sha256: " + "a" * 64 + "}",
            "model.import.sha256: is not that of model.keras, which is ",
        ),
        (
            "import: {path: model.keras, sha256: abc}",
            "model.import.sha256: 'abc' is not a SHA-256; write 64 ",
        ),
        (
            "import: {inputs: {a: b}}",
            "model.import: path (a whole model) and weights (for build_model's) are ",
        ),
        (
            "import: {path: model.keras, inputs: {a: image, b: image}}",
            "model.import.inputs: gives the feature 'image' to two inputs; write a feature for each",
        ),
        (
            "import: {path: model.keras, input: {}}",
            "model.import.input: unknown key; did you mean 'inputs'?",
        ),
        ("imports: model.keras", "model.imports: unknown key; did you mean 'import'?"),
        ("hparams: {}", "model: is missing: a Python module with build_model(hparams) -> compiled "),
        (
            "import: {weights: w.weights.h5}",
            "model.import: weights need a model; write module: with a module whose",
        ),
        (
            "{import: model.keras, hparams: {a: 1}}",
            "model.hparams: hparams are for a module's build_model, ",
        ),
        (
            "{import: model.keras, train: {epochs: 2}}",
            "model.train: the imported model is not trained; remove",
        ),
        (
            "{module: student, import: {weights: w.weights.h5}}",
            "model.module: student.py has no function 'build_model' at its top level; did you mean",
        ),
        (
            "import: plain",
            "candidates.pruned.0.prune: the imported SavedModel has no layers that `prune` could change, only",
        ),
        (
            "import: {path: layered, signature: serving_default}",
            "candidates.pruned.0.prune: the imported SavedModel has no layers that `prune` could change, only",
        ),
    ],
)
def test_each_mistake_gives_one_message(project: Project, model: str, expected: str) -> None:
    found = problems(project, model)

    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_a_student_needs_a_module(project: Project) -> None:
    (told,) = problems(project, "import: model.keras", "distill: {}")

    assert told == (
        "candidates.pruned.0.distill: needs a module that defines build_student; write module: beside import:"
    )
    assert problems(project, "{module: student, import: model.keras}", "distill: {}") == []
    (told,) = problems(project, "{module: whole, import: model.keras}", "distill: {}")
    assert "has no function 'build_student'" in told


def test_the_plan_imports_in_place_of_training(project: Project) -> None:
    planned = plan_of(project, "import: {path: model.keras, inputs: {input_1: image}}")

    assert [node.id for node in planned.nodes if node.id in ("Trainer", MODEL_IMPORTER)] == [MODEL_IMPORTER]
    assert planned.node("convert-float32").inputs["base_model"].node == MODEL_IMPORTER
    source = json.loads(str(planned.node(MODEL_IMPORTER).parameters["model_source"]))
    assert source == {
        "import": {
            "path": str(project.root / "model.keras"),
            "kind": "path",
            "format": "keras",
            "sha256": hashlib.sha256((project.root / "model.keras").read_bytes()).hexdigest(),
            "signature": None,
            "inputs": {"input_1": "image"},
            "safe_mode": True,
        }
    }
    readers = [node for node in planned.nodes if "model_source" in node.parameters]
    assert {node.parameters["model_source"] for node in readers} == {json.dumps(source, sort_keys=True)}
    assert len(readers) == 5


def test_another_content_under_the_same_path_is_another_plan(project: Project) -> None:
    before = plan_of(project, "import: model.keras").node(MODEL_IMPORTER)
    keras_file(project.root / "model.keras", "2.15.0")
    after = plan_of(project, "import: model.keras").node(MODEL_IMPORTER)

    changed = {key for key in before.parameters if before.parameters[key] != after.parameters[key]}
    assert changed == {"model_source"}


def layer(class_name: str = "Dense", **fields: Any) -> str:
    """JSON of a model with one layer."""
    entry = {"class_name": class_name, "config": {}, **fields}
    return json.dumps({"class_name": "Functional", "config": {"layers": [entry]}})


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


@pytest.mark.parametrize("options", ["", ", safe_mode: false"])
@pytest.mark.parametrize(
    ("class_name", "fields", "why"),
    [
        ("LSTM", {"stateful": True}, "keeps values from one prediction to the next (stateful: true)"),
        ("TFOpLambda", {"function": "random.normal"}, "draws random numbers when it predicts (tf.random.normal)"),
        ("TFOpLambda", {"function": "nn.dropout"}, "draws random numbers when it predicts (tf.nn.dropout)"),
    ],
)  # fmt: skip
def test_a_model_that_does_not_predict_the_same_again_is_refused_by_its_layer(
    project: Project, tmp_path: Path, class_name: str, fields: dict[str, Any], why: str, options: str
) -> None:
    inner = {"class_name": class_name, "config": {"name": "deep", **fields}}
    model = {"layers": [{"class_name": "TimeDistributed", "config": {"name": "outer", "layer": inner}}]}
    keras_file(tmp_path / "odd.keras", config=json.dumps(model))

    (problem,) = problems(project, f"import: {{path: odd.keras{options}}}")
    assert problem.startswith(f"model.import.path: odd.keras cannot be judged: layer 'deep' {why}")


def varint(number: int) -> bytes:
    rest, last = divmod(number, 128)
    return bytes([last | 128]) + varint(rest) if rest else bytes([last])


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
    for name, told in (
        ("bomb", f"bomb.h5 has {stored:,} bytes and would unpack to {4 * 10**10:,} or more"),
        ("link", "link.h5 has a link 'w' to another file"),
        ("outside", "outside.h5 takes the values of 'w' from other files"),
    ):
        (problem,) = problems(project, f"import: {name}.h5")
        assert told in problem


def test_a_file_that_is_two_formats_at_once_is_refused(project: Project, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "two.keras", "w") as file:
        file.attrs["model_config"] = layer()
    keras_file(tmp_path / "behind.keras", config=LAMBDA)
    with open(tmp_path / "two.keras", "ab") as both:
        both.write((tmp_path / "behind.keras").read_bytes())

    (problem,) = problems(project, "import: two.keras")
    assert "is an HDF5 file and a zip archive at once" in problem


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message, with its length."""
    return varint(number * 8 + 2) + varint(len(content)) + content


def graph_file(node: bytes, where: str) -> bytes:
    """saved_model.pb with one node, in the graph or in a function of its library."""
    if where == "function":
        library = field(1, field(1, field(1, b"f")) + field(3, node))
        return field(2, field(2, field(2, library)))
    return field(2, field(2, field(1, node)))


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
        told = f"model.import.path: plain has the operator {operator}, which runs Python or reads or writes"
        assert problem.startswith(told)
    (problem,) = problems(project, "import: {path: plain, safe_mode: false}")
    assert "has no layers that `prune` could change" in problem


def test_an_asset_outside_of_the_folder_is_refused(project: Project, tmp_path: Path) -> None:
    (tmp_path / "plain/saved_model.pb").write_bytes(field(2, field(6, field(2, b"../../etc/passwd"))))

    (problem,) = problems(project, "import: plain")
    assert "plain has an asset outside of its folder, '../../etc/passwd'" in problem
