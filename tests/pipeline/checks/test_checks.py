"""What is wrong with a config's files, module, metric and folders is said before anything runs."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.checks.config_checks import check, split_files
from pipeline.checks.tfma_metrics import arguments, known_metrics
from pipeline.config.config_file import load
from pipeline.config.problem import Problem
from pipeline.plan.model_source import find_module, has_function

ROOT = Path(__file__).resolve().parents[3]

# `# here` marks the line that a problem must name.
CONFIG = """\
name: digits
data:
  path: data
  label: label
  splits:
    train: train*
    eval: test*
model:
  module: my.model
candidates:
  int8:
    - convert: {quantization: int8}
gate:
  accuracy:
    metric: SparseCategoricalAccuracy
    max_drop: 0.01
push:
  directory: serving
run:
  pipeline_root: out
"""

MODEL = """\
import tf_keras

def build_model(hparams):
    raise AssertionError("executed")

def build_student(hparams):
    raise AssertionError("executed")

raise AssertionError("executed")
"""


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working directory with data, a model module that must not be executed, and no outputs."""
    write(tmp_path / "data" / "train-0.tfrecord", "x")
    write(tmp_path / "data" / "train-1.tfrecord", "x")
    write(tmp_path / "data" / "test-0.tfrecord", "x")
    write(tmp_path / "my" / "model.py", MODEL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def change(old: str, new: str) -> str:
    assert CONFIG.count(old) == 1
    return CONFIG.replace(old, new)


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Everything in a folder: times of modification and contents."""
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.read_bytes() if path.is_file() and not path.is_symlink() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }


def problems(project: Path, text: str) -> list[Problem]:
    path = write(project / "pipeline.yaml", text)
    before = state(project)
    found = check(load(path))
    assert state(project) == before
    return found


def problem(project: Path, text: str) -> Problem:
    """The one problem of a config; it is on the line that is marked."""
    found = problems(project, text)
    assert len(found) == 1, "\n".join(map(str, found))
    lines = [n for n, line in enumerate(text.splitlines(), start=1) if "# here" in line]
    assert found[0].line == (lines[0] if lines else None)
    return found[0]


def test_shipped_config_has_no_problems(monkeypatch):
    monkeypatch.chdir(ROOT)

    assert check(load(ROOT / "configs" / "mnist" / "pipeline.yaml")) == []


def test_good_project_has_no_problems(project):
    assert problems(project, CONFIG) == []


# Data.


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "path: data",
            "path: dta  # here",
            "data.path",
            "there is no folder dta; did you mean 'data'?",
            id="folder that is not there",
        ),
        pytest.param(
            "path: data",
            "path: dat/digits/2024  # here",
            "data.path",
            "there is no folder dat/digits/2024; did you mean 'data'?",
            id="folder below one that is not there",
        ),
        pytest.param(
            "path: data",
            "path: nested/folders/digts  # here",
            "data.path",
            "there is no folder nested/folders/digts; did you mean 'nested/folders/digits'?",
            id="folder in folders that are there",
        ),
        pytest.param(
            "path: data",
            "path: zebra/x  # here",
            "data.path",
            "there is no folder zebra/x; write an existing one",
            id="folder that is like no other",
        ),
        pytest.param(
            "path: data",
            f"path: {'d' * 300}  # here",
            "data.path",
            "there is no folder ddd",
            id="folder whose name is too long",
        ),
        pytest.param(
            "path: data",
            "path: data/train-0.tfrecord  # here",
            "data.path",
            "data/train-0.tfrecord is a file; write the folder that holds it",
            id="file where a folder belongs",
        ),
        pytest.param(
            "path: data",
            "path: empty  # here",
            "data.path",
            "empty holds no files; write the folder of the examples",
            id="folder without files",
        ),
        pytest.param(
            "eval: test*",
            "eval: val*  # here",
            "data.splits.eval",
            "'val*' matches no file in data, which holds test-0.tfrecord, train-0.tfrecord, "
            "train-1.tfrecord; write a pattern that matches the eval files",
            id="pattern that matches nothing",
        ),
        pytest.param(
            "train: train*",
            "train: tra  # here",
            "data.splits.train",
            "'tra' matches no file in data, which holds ",
            id="pattern that matches a part of a name",
        ),
        pytest.param(
            "    eval: test*",
            "    # the default is eval*",
            "data.splits.eval",
            "'eval*' matches no file in data, which holds ",
            id="default pattern that matches nothing",
        ),
        pytest.param(
            "eval: test*",
            "eval: ../empty/*  # here",
            "data.splits.eval",
            "'../empty/*' matches no file in data, which holds ",
            id="pattern in another folder that matches nothing",
        ),
        pytest.param(
            "eval: test*",
            "eval: /data/test*  # here",
            "data.splits.eval",
            "'/data/test*' is not a pattern below data.path, such as 'train*'",
            id="absolute pattern",
        ),
        pytest.param(
            "eval: test*",
            'eval: ""  # here',
            "data.splits.eval",
            "'' is not a pattern below data.path, such as 'train*'",
            id="empty pattern",
        ),
        pytest.param(
            "eval: test*",
            'eval: "**/test*"  # here',
            "data.splits.eval",
            "'**/test*' has '**', which TFX does not match consistently; write '*' for each level",
            id="pattern for any depth",
        ),
        pytest.param(
            "eval: test*",
            "eval: t*-0*  # here",
            "data.splits.eval",
            "'t*-0*' and 'train*', the train split, both match train-0.tfrecord; accuracy on "
            "trained examples says nothing, so narrow one of the patterns",
            id="file in both splits",
        ),
    ],
)
def test_data_that_cannot_be_read_is_refused(project, old, new, key, message):
    (project / "empty").mkdir()
    (project / "nested" / "folders" / "digits").mkdir(parents=True)
    text = change(old, new)
    found = problems(project, text)

    assert [p.key() for p in found] == [key]
    assert found[0].message.startswith(message)
    lines = [n for n, line in enumerate(text.splitlines(), start=1) if "# here" in line]
    assert found[0].line == (lines[0] if lines else 5)  # of `splits` where eval is not written


def test_empty_file_in_a_split_is_refused(project):
    write(project / "data" / "test-1.tfrecord", b"")
    found = problem(project, change("eval: test*", "eval: test*  # here"))

    assert found.key() == "data.splits.eval"
    assert found.message == ("'test*' matches files of 0 bytes: test-1.tfrecord; remove or replace them")


def test_long_lists_of_files_are_shortened(project):
    for number in range(10, 30):
        write(project / "data" / "more" / f"shard-{number}", "x")
    found = problem(project, change("eval: test*", "eval: val*  # here"))

    assert (
        "which holds more/shard-10, more/shard-11, more/shard-12, more/shard-13, more/shard-14, "
        "more/shard-15 and 17 more; write" in found.message
    )


def test_both_splits_can_be_wrong(project):
    write(project / "data" / "test-0.tfrecord", b"")
    text = change("train: train*", "train: training*")

    assert [(p.line, p.key()) for p in problems(project, text)] == [
        (6, "data.splits.train"),
        (7, "data.splits.eval"),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", [".hidden", "a-0", "b-1"]),
        ("?-[01]", ["a-0", "b-1"]),
        ("b-1", ["b-1"]),
        ("deep/*", ["deep/c"]),
        ("*/c", ["deep/c"]),
        ("dee*", []),
        ("[", []),
    ],
)
def test_split_files_are_those_that_tfx_matches(tmp_path, pattern, names):
    for name in ("a-0", "b-1", ".hidden", "deep/c"):
        write(tmp_path / name, "x")

    found = split_files(tmp_path, pattern)

    assert [str(path.relative_to(tmp_path)) for path in found] == names


# The model module.


@pytest.mark.parametrize(
    ("name", "file"),
    [
        pytest.param("my.model", "my/model.py", id="file in a folder without __init__"),
        pytest.param("flat", "flat.py", id="file in the working directory"),
        pytest.param("both", "both/__init__.py", id="package before module"),
        pytest.param("near", "configs/near.py", id="file beside the config"),
        pytest.param("configs.near", "configs/near.py", id="the same from the working directory"),
        pytest.param("flat.deeper", None, id="file as a package"),
        pytest.param("my", None, id="folder without __init__"),
        pytest.param("nowhere", None, id="nothing"),
    ],
)
def test_module_is_found_as_a_file_without_executing_it(project, name, file):
    for path in ("flat.py", "both.py", "both/__init__.py", "configs/near.py"):
        write(project / path, MODEL)

    found = find_module(name, "configs/pipeline.yaml")

    assert found == (project / file if file else None)
    assert not {"my", "flat", "both", "near"} & set(sys.modules)


def test_module_is_found_on_sys_path_last(project, monkeypatch):
    elsewhere = write(project / "elsewhere" / "far" / "model.py", MODEL).parents[1]
    write(elsewhere / "my" / "model.py", MODEL)
    monkeypatch.syspath_prepend(elsewhere)

    assert find_module("far.model", "pipeline.yaml") == elsewhere / "far" / "model.py"
    assert find_module("my.model", "pipeline.yaml") == project / "my" / "model.py"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("my.modle", "there is no my/modle.py in {cwd}, beside the config or on sys.path; did you "
        "mean 'my.model'?"),
        ("mine.model", "there is no mine/model.py in {cwd}, beside the config or on sys.path; "
        "write the module as Python imports it"),
    ],
)  # fmt: skip
def test_module_that_does_not_exist_is_refused(project, module, message):
    found = problem(project, change("module: my.model", f"module: {module}  # here"))

    assert found.key() == "model.module"
    assert found.message == message.format(cwd=project)


def test_module_beside_the_config_is_suggested(project):
    path = write(project / "configs" / "pipeline.yaml", change("my.model", "model"))
    write(project / "configs" / "model2.py", MODEL)

    assert "; did you mean 'model2'?" in check(load(path))[0].message


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param(
            "import os\ndef build_model(hparams)\n    return 1\n",
            "my/model.py:2 is not Python: ",
            id="syntax error",
        ),
        pytest.param("a = 1\0\n", "my/model.py is not Python: ", id="null byte"),
        pytest.param("a = 'é'\n".encode("latin-1"), "my/model.py", id="Latin-1"),
        pytest.param(
            "",
            "my/model.py has no function 'build_model' at its top level; write `def build_model(hparams)`",
            id="nothing",
        ),
        pytest.param(
            "def build_modle(hparams): ...\n",
            "my/model.py has no function 'build_model' at its top level; did you mean 'build_modle'?",
            id="misspelt function",
        ),
        pytest.param(
            "class Models:\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function in a class",
        ),
        pytest.param(
            "def outer():\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function in a function",
        ),
        pytest.param(
            "if __name__ == '__main__':\n    def build_model(hparams): ...\n",
            "my/model.py has no function 'build_model'",
            id="function that an import does not define",
        ),
        pytest.param(
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import build_model\n",
            "my/model.py has no function 'build_model'",
            id="import for type checkers",
        ),
        pytest.param(
            "build_model: object\nx = [build_model for build_model in 'ab']\n",
            "my/model.py has no function 'build_model'",
            id="annotation and comprehension",
        ),
        pytest.param(
            "from string import *\nfrom .base import *\n",
            "my/model.py has no function 'build_model'",
            id="star import without it",
        ),
        *[
            pytest.param(
                f"\n{signature}: ...\n",
                "build_model in my/model.py:2 cannot be called with hparams alone; write `def "
                "build_model(hparams)`",
                id=signature,
            )
            for signature in (
                "def build_model()",
                "def build_model(filters, units)",
                "def build_model(*, hparams)",
                "def build_model(hparams, *, units)",
                "async def build_model(hparams)",
            )
        ],
    ],
)
def test_module_without_a_usable_build_model_is_refused(project, source, message):
    write(project / "my" / "model.py", source)
    write(project / "my" / "base.py", "def build_something_else(hparams): ...\n")
    found = problem(project, change("module: my.model", "module: my.model  # here"))

    assert found.key() == "model.module"
    assert found.message.startswith(message)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("def build_model(hparams): ...", id="function"),
        pytest.param("def build_model(hparams, units=10, **more): ...", id="with defaults"),
        pytest.param("def build_model(*args): ...", id="with *args"),
        pytest.param("def build_model(h, /): ...", id="positional only"),
        pytest.param("@cached(2)\ndef build_model(): ...", id="decorated"),
        pytest.param("class build_model: ...", id="class"),
        pytest.param("build_model = make(3)", id="assignment"),
        pytest.param("build_model: object = make(3)", id="annotated assignment"),
        pytest.param("(a, [*build_model]) = make(3)", id="unpacking"),
        pytest.param("from elsewhere import build_model", id="import"),
        pytest.param("from elsewhere import build as build_model", id="import under the name"),
        pytest.param("import build_model.deeper", id="import of a module"),
        pytest.param("if big:\n    pass\nelse:\n    def build_model(hparams): ...", id="in else"),
        pytest.param("try:\n    import x\nexcept ImportError:\n    build_model = None", id="in except"),
        pytest.param("for build_model in (f, g): pass", id="loop variable"),
        pytest.param("with x as build_model: pass", id="with"),
        pytest.param("print(build_model := f)", id="walrus"),
        pytest.param("from unknown_package import *", id="star import that cannot be followed"),
        pytest.param("from .base import *", id="star import of a file beside it"),
        pytest.param("from my.base import *", id="star import by its full name"),
        pytest.param("from . import *", id="star import of the folder"),
        pytest.param("def __getattr__(name): ...", id="module with __getattr__"),
        pytest.param(
            "if big:\n    def build_model(): ...\nelse:\n    def build_model(h): ...",
            id="two definitions, one usable",
        ),
    ],
)
def test_build_model_can_be_bound_in_any_way(project, source):
    write(project / "my" / "model.py", source)
    write(project / "my" / "base.py", "from .model import *\ndef build_model(hparams): ...\n")

    assert problems(project, CONFIG) == []


STUDENTS = """\
  a:
    - distill: {student: build_student}
    - convert: {quantization: int8}
  b:
    - distill:
        student: build_studnet  # here
    - convert: {quantization: int8}
  c:
    - distill: {student: build_studnet, epochs: 2}
    - convert: {quantization: int8}
"""


def test_student_that_does_not_exist_is_refused_once(project):
    found = problem(project, change("gate:\n", STUDENTS + "gate:\n"))

    assert found.key() == "candidates.b[0].distill.student"
    assert found.message == (
        "my/model.py has no function 'build_studnet' at its top level; did you mean 'build_student'?"
    )


def test_student_that_is_not_named_is_build_student(project):
    write(project / "my" / "model.py", "def build_model(hparams): ...\n")
    text = change("    - convert", "    - distill: {epochs: 1}  # here\n    - convert")
    found = problem(project, text)

    assert found.key() == "candidates.int8[0].distill.student"
    assert found.message.startswith("my/model.py has no function 'build_student'")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def preprocessing_fn(inputs): ...", True),
        ("from .base import *", True),
        ("from unknown_package import *", False),
        ("# preprocessing_fn", False),
    ],
)
def test_has_function_answers_for_the_top_level(project, source, expected):
    write(project / "my" / "base.py", "preprocessing_fn = str")
    path = write(project / "my" / "model.py", source)

    assert has_function(path, "preprocessing_fn") is expected


# The metric.


@pytest.mark.parametrize(
    ("metric", "suggestion"),
    [
        ("SparseCategoricalAcuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("sparse_categorical_accuracy", "; did you mean 'SparseCategoricalAccuracy'?"),
        ("accuracy", "; did you mean 'Accuracy'?"),
        ("Foo", "; see https://www.tensorflow.org/tfx/model_analysis/metrics"),
        ("MeanMetricWrapper", ""),
        ("CalibrationPlot", "; did you mean 'Calibration'?"),
    ],
)
def test_metric_that_tfma_cannot_compute_is_refused(project, metric, suggestion):
    found = problem(project, change("metric: SparseCategoricalAccuracy", f"metric: {metric}  # here"))

    assert found.key() == "gate.accuracy.metric"
    assert found.message.startswith(
        f"{metric!r} is not a metric of TFMA or tf_keras that gives one number{suggestion}"
    )


@pytest.mark.parametrize(
    ("metric", "config", "key", "message"),
    [
        (
            "PrecisionAtRecall",
            "{}",
            "gate.accuracy.config",
            "PrecisionAtRecall needs recall; write config: {recall: …}",
        ),
        (
            "OneHotIoU",
            "{num_classes: 3}",
            "gate.accuracy.config",
            "OneHotIoU needs target_class_ids; write config: {target_class_ids: …}",
        ),
        (
            "RecallAtPrecision",
            "{precison: 0.9}",
            "gate.accuracy.config.precison",
            "RecallAtPrecision has no argument 'precison'; did you mean 'precision'?",
        ),
        (
            "SparseTopKCategoricalAccuracy",
            "{top_k: 3}",
            "gate.accuracy.config.top_k",
            "SparseTopKCategoricalAccuracy has no argument 'top_k'",
        ),
    ],
)
def test_metric_with_wrong_arguments_is_refused(project, metric, config, key, message):
    text = change(
        "metric: SparseCategoricalAccuracy",
        f"metric: {metric}\n    config: {config}  # here",
    )
    found = problem(project, text)

    assert found.key() == key
    assert found.message == message


@pytest.mark.parametrize(
    ("metric", "config"),
    [
        ("MeanSquaredError", "{dtype: float32}"),
        ("BinaryAccuracy", "{threshold: 0.3}"),
        ("AUC", "{curve: PR, num_thresholds: 100}"),
        ("PrecisionAtRecall", "{recall: 0.9}"),
        ("SparseTopKCategoricalAccuracy", "{k: 3}"),
    ],
)
def test_metric_with_its_arguments_is_accepted(project, metric, config):
    text = change("metric: SparseCategoricalAccuracy", f"metric: {metric}\n    config: {config}")

    assert problems(project, text) == []


RESOLVE = """
import json, os, sys
os.environ.update(TF_USE_LEGACY_KERAS="1", TF_CPP_MIN_LOG_LEVEL="3")
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics import metric_specs
found = {}
for name, required in json.loads(sys.argv[1]).items():
    config = {key: 1 for key in required}
    try:
        metric = metric_specs.metric_instance(
            tfma.MetricConfig(class_name=name, config=json.dumps(config)))
        found[name] = type(metric).__module__
    except ValueError as error:
        found[name] = str(error).split(":")[0]
    except (TypeError, AttributeError):
        found[name] = "resolved; its arguments are wrong"
print(json.dumps(found))
"""


def test_known_metrics_are_those_that_tfma_resolves():
    known = known_metrics()
    required = {name: arguments(name).required for name in known}
    strangers = {"Foo": (), "FixedSizeSample": (), "MeanSquareError": ()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RESOLVE, json.dumps(required | strangers)],
        capture_output=True,
        text=True,
        check=True,
    )
    resolved = json.loads(done.stdout.splitlines()[-1])

    unknown = "Unknown metric function"
    assert {name for name, where in resolved.items() if where == unknown} == set(strangers)
    assert resolved["SparseCategoricalAccuracy"] == "tf_keras.src.metrics.accuracy_metrics"
    tfma = "tensorflow_model_analysis.metrics."
    assert resolved["AUC"] == resolved["BinaryAccuracy"] == tfma + "confusion_matrix_metrics"
    assert resolved["MeanSquaredError"] == tfma + "mean_regression_error"
    assert resolved["ExampleCount"] == tfma + "example_count"
    assert len(known) > 100


# Folders and the metadata store.


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        pytest.param(
            "directory: serving",
            "directory: data/test-0.tfrecord/mnist  # here",
            "push.directory",
            "data/test-0.tfrecord/mnist cannot be written: data/test-0.tfrecord is a file; name a "
            "folder that can be",
            id="push below a file",
        ),
        pytest.param(
            "directory: serving",
            "directory: data/test-0.tfrecord  # here",
            "push.directory",
            "data/test-0.tfrecord cannot be written: data/test-0.tfrecord is a file",
            id="push to a file",
        ),
        pytest.param(
            "directory: serving",
            "directory: /proc/serving  # here",
            "push.directory",
            "/proc/serving cannot be written: /proc: ",
            id="push where the system refuses",
        ),
        pytest.param(
            "directory: serving",
            "directory: gone/mnist  # here",
            "push.directory",
            "gone/mnist cannot be written: gone is a broken link",
            id="push below a broken link",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: data/test-0.tfrecord/out  # here",
            "run.pipeline_root",
            "data/test-0.tfrecord/out cannot be written: data/test-0.tfrecord is a file",
            id="pipeline root below a file",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: /proc/out  # here",
            "run.pipeline_root",
            "/proc/out cannot be written: /proc: ",
            id="pipeline root where the system refuses",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: out\n  metadata: sqlite:///data/test-0.tfrecord/store  # here",
            "run.metadata",
            "data/test-0.tfrecord cannot be written: data/test-0.tfrecord is a file",
            id="metadata store below a file",
        ),
        pytest.param(
            "pipeline_root: out",
            "pipeline_root: out\n  metadata: sqlite:////proc/store  # here",
            "run.metadata",
            "/proc cannot be written: /proc: ",
            id="metadata store where the system refuses",
        ),
    ],
)
def test_folder_that_cannot_be_written_is_refused(project, old, new, key, message):
    (project / "gone").symlink_to(project / "nothing")
    found = problem(project, change(old, new))

    assert found.key() == key
    assert found.message.startswith(message)


def test_default_pipeline_root_that_cannot_be_written_is_refused(project):
    write(project / ".paredown", "a file")
    found = problem(project, change("run:\n  pipeline_root: out\n", ""))

    assert found.key() == "run.pipeline_root"
    assert found.message.startswith(".paredown/digits cannot be written: .paredown is a file")


def test_folders_that_exist_or_can_be_made_are_accepted(project):
    (project / "serving").mkdir()
    text = change("pipeline_root: out", "pipeline_root: a/b/c\n  metadata: sqlite:///store.db")

    assert problems(project, text) == []


def new_store(path: Path) -> bytes:
    """A store as ML Metadata makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = metadata_store_pb2.ConnectionConfig()
    connection.sqlite.filename_uri = str(path)
    connection.sqlite.connection_mode = 3  # READWRITE_OPENCREATE
    metadata_store.MetadataStore(connection)
    return path.read_bytes()


def other_database(path: Path) -> bytes:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE songs (title TEXT)")
    database.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(
            lambda store: random.Random(0).randbytes(5000),
            "is damaged (file is not a database)",
            id="random bytes",
        ),
        pytest.param(
            lambda store: store[: len(store) // 2],
            "is damaged (database disk image is malformed)",
            id="first half",
        ),
        pytest.param(
            lambda store: store[:60],
            "is damaged (database disk image is malformed)",
            id="first bytes",
        ),
        pytest.param(
            lambda store: store[:12288] + random.Random(0).randbytes(8192) + store[20480:],
            "is damaged (",
            id="random bytes in the middle",
        ),
        pytest.param(
            lambda store: b"\0" * 100 + store[100:],
            "is damaged (file is not a database)",
            id="header lost",
        ),
        pytest.param(lambda store: b"metadata\n", "is damaged (file is not a database)", id="text"),
    ],
)
def test_damaged_metadata_store_is_refused(project, damage, message):
    path = project / "out" / "metadata.sqlite"
    write(path, damage(new_store(path)))
    text = change("run:", "run:  # here")
    found = problem(project, text)

    assert found.key() == "run.metadata"
    assert found.message.startswith(f"out/metadata.sqlite {message}")
    assert found.message.endswith("; move it away, or name another with run.metadata: sqlite:///…")


def test_database_of_something_else_is_refused(project):
    other_database(project / "songs.db")
    text = change("pipeline_root: out", "pipeline_root: out\n  metadata: sqlite:///songs.db  # here")
    found = problem(project, text)

    assert found.key() == "run.metadata"
    assert found.message.startswith(
        "songs.db is an SQLite database, but not an ML Metadata store; move it away"
    )


def test_folder_as_metadata_store_is_refused(project):
    text = change("pipeline_root: out", "pipeline_root: out\n  metadata: sqlite:///data  # here")

    assert problem(project, text).message.startswith("data is not a file; move it away")


def test_existing_metadata_store_is_accepted(project):
    new_store(project / "out" / "metadata.sqlite")

    assert problems(project, CONFIG) == []


def test_empty_file_is_accepted_as_metadata_store(project):
    write(project / "out" / "metadata.sqlite", b"")

    assert problems(project, CONFIG) == []


def test_metadata_store_in_use_is_accepted(project):
    path = project / "out" / "metadata.sqlite"
    new_store(path)
    run = sqlite3.connect(path, isolation_level=None)
    run.execute("BEGIN EXCLUSIVE")
    try:
        assert problems(project, CONFIG) == []
    finally:
        run.close()


def test_metadata_store_of_a_killed_run_is_accepted(project):
    """A journal that is still to be rolled back is left for the next run, which can write."""
    path = project / "out" / "metadata.sqlite"
    new_store(path)
    run = sqlite3.connect(path, isolation_level=None)
    run.execute("PRAGMA cache_size = 1")
    run.execute("BEGIN EXCLUSIVE")
    run.execute("CREATE TABLE spill (text)")
    run.executemany("INSERT INTO spill VALUES (?)", [("x" * 3000,)] * 300)
    copies = {p.name: p.read_bytes() for p in path.parent.iterdir()}
    run.close()
    assert sorted(copies) == ["metadata.sqlite", "metadata.sqlite-journal"]
    for name, content in copies.items():
        write(path.parent / name, content)

    assert problems(project, CONFIG) == []


def test_looking_at_a_store_in_wal_mode_makes_no_files(project):
    path = project / "out" / "metadata.sqlite"
    new_store(path)
    store = sqlite3.connect(path)
    store.execute("PRAGMA journal_mode = WAL")
    store.close()

    assert problems(project, CONFIG) == []
    assert os.listdir(path.parent) == ["metadata.sqlite"]


def test_each_mistake_gives_one_problem_in_the_order_of_the_sections(project):
    write(project / "my" / "model.py", "def build_model(): ...\n")
    text = (
        CONFIG.replace("eval: test*", "eval: val*")
        .replace("    - convert", "    - distill: {student: f}\n    - convert")
        .replace("SparseCategoricalAccuracy", "Acuracy")
        .replace("directory: serving", "directory: my/model.py")
        .replace("pipeline_root: out", "pipeline_root: /proc/x\n  metadata: sqlite:///data")
    )

    assert [(p.line, p.key()) for p in problems(project, text)] == [
        (7, "data.splits.eval"),
        (9, "model.module"),
        (12, "candidates.int8[0].distill.student"),
        (16, "gate.accuracy.metric"),
        (19, "push.directory"),
        (21, "run.pipeline_root"),
        (22, "run.metadata"),
    ]


@pytest.mark.parametrize(
    ("metric", "ascending"),
    [
        ("SparseCategoricalAccuracy", True),
        ("AUC", True),
        ("Precision", True),
        ("TNR", True),
        ("MeanSquaredError", False),
        ("BinaryCrossentropy", False),
        ("FNR", False),
        ("FP", False),
        ("FalseOmissionRate", False),
        ("MissRate", False),
        ("CategoricalHinge", False),
        ("KLDivergence", False),
        ("ExampleCount", None),
        ("Prevalence", None),
        ("MeanPrediction", None),
    ],
)
def test_which_way_a_metric_is_better_is_known_or_has_to_be_written(
    metric: str, ascending: bool | None
) -> None:
    from components.evaluator.params import AccuracyGate

    gate = AccuracyGate(metric=metric)
    assert gate.direction_is_known() is (ascending is not None)
    assert gate.ascending() is bool(ascending)
    assert AccuracyGate(metric=metric, higher_is_better=True).ascending()


def test_a_metric_without_a_direction_is_refused(tmp_path):
    file = load("configs/mnist/pipeline.yaml", ["gate.accuracy.metric=ExampleCount"])
    (problem,) = check(file)
    assert problem.key() == "gate.accuracy.metric"
    assert "write higher_is_better: true or higher_is_better: false" in problem.message


def test_a_path_that_tfx_takes_for_a_pattern_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "v[2]"
    folder.mkdir()
    monkeypatch.chdir(folder)
    file = load(Path(__file__).parents[3] / "configs/mnist/pipeline.yaml")
    problems = {problem.key(): problem.message for problem in check(file)}
    for key in ("data.path", "push.directory", "run.pipeline_root"):
        assert "has [ ] in its name, which TFX takes for a pattern" in problems[key]


@pytest.mark.parametrize("module", ["components.net", "pipeline", "pipeline.model"])
def test_a_module_called_as_the_programs_own_packages_is_refused(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    path.parent.mkdir(exist_ok=True)
    path.write_text(MODEL)
    (tmp_path / "pipeline.yaml").write_text(CONFIG.replace("my.model", module))
    monkeypatch.chdir(tmp_path)
    problems = [p for p in check(load("pipeline.yaml")) if p.location == ("model", "module")]
    assert [problem.message for problem in problems] == [
        f"{module!r} would be looked for in Paredown's own package of that name; call the file or folder "
        "something else, e.g. model.py"
    ]
