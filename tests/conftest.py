"""Fixtures that several test folders share: a little of MNIST, and a baseline trained on it."""

from __future__ import annotations

from pipeline.environment import prepare

prepare()

import signal  # noqa: E402

for _number, _handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    # A shell starts tests in the background with these ignored; what the tests start would ignore them, too.
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)

import gzip  # noqa: E402  (nothing may import TensorFlow before prepare)
import os  # noqa: E402
import struct  # noqa: E402
import sys  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from random import Random  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from pipeline.base import collector  # noqa: E402
from tests import tiers, tree  # noqa: E402
from tests.project import Project  # noqa: E402
from tests.shared import Shared  # noqa: E402

tree.map_paredown()
collector.look_seldom()  # as the program does; a twentieth of the suite's time

DATA = Path(__file__).parent.parent / "data" / "mnist"
TRAIN_EXAMPLES, EVAL_EXAMPLES = 1500, 400

MNIST_MODULE = "configs.mnist.model"
MNIST_HPARAMS: dict[str, Any] = {"filters": [4, 8], "units": 16, "learning_rate": 0.001}
MNIST_TRAINING = {"epochs": 3, "batch_size": 50}
SEED = 1
# A label that is a number, all classes weighing alike.
LABEL_OPTIONS = '{"class_weights": null, "classes": null}'

MNIST_SCHEMA = """\
feature {
  name: "image"
  type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 784 } }
}
feature {
  name: "label"
  type: INT
  presence { min_fraction: 1.0 min_count: 1 }
  shape { dim { size: 1 } }
}
"""


@dataclass(frozen=True)
class Digits:
    """Images (examples, 784) and labels (examples,), both int64, in the order of the file."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Trained:
    """A trained baseline: its artifact's folder, and metrics after each epoch."""

    uri: str
    history: dict[str, list[float]]


def read_records(path: Path) -> Iterator[bytes]:
    """Records of a gzip-compressed TFRecord file, read by the format's description.

    https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    with gzip.open(path, "rb") as file:
        while header := file.read(12):
            (length,) = struct.unpack("<Q", header[:8])
            yield file.read(length)
            file.read(4)


def read_digits(path: Path, count: int) -> Digits:
    """The first examples of a file of data/mnist."""
    from tensorflow.core.example.example_pb2 import Example

    examples = [
        Example.FromString(record) for record, _ in zip(read_records(path), range(count), strict=False)
    ]
    images = [example.features.feature["image"].int64_list.value for example in examples]
    labels = [example.features.feature["label"].int64_list.value[0] for example in examples]
    return Digits(np.array(images, np.int64), np.array(labels, np.int64))


def to_example(features: dict[str, Any]) -> bytes:
    """A serialized `tf.train.Example`: floats, integers or bytes, by the type of the values."""
    from tensorflow.core.example.example_pb2 import Example

    example = Example()
    for name, values in features.items():
        values = np.atleast_1d(np.asarray(values)).ravel()
        if values.dtype.kind in "SUO":
            encoded = [v if isinstance(v, bytes) else str(v).encode() for v in values.tolist()]
            example.features.feature[name].bytes_list.value.extend(encoded)
        elif values.dtype.kind == "f":
            example.features.feature[name].float_list.value.extend(values.tolist())
        else:
            example.features.feature[name].int64_list.value.extend(values.tolist())
    return example.SerializeToString(deterministic=True)


def write_examples(folder: Path, schema: str, **splits: list[bytes]) -> Path:
    """Lays serialized examples out as TFX does: `examples/Split-<name>/*.gz`, `schema/schema.pbtxt`."""
    import tensorflow as tf

    for split, records in splits.items():
        file = folder / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        file.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for record in records:
                writer.write(record)
    (folder / "schema").mkdir(parents=True)
    (folder / "schema" / "schema.pbtxt").write_text(schema, encoding="utf-8")
    return folder


# Files whose tests share fixtures that take long; those of other files share them among themselves only.
_TOGETHER = {
    "tests/components/common/models/test_served_model.py": "a transform graph",
    "tests/components/common/data/test_transform_graph.py": "a transform graph",
    "tests/components/measurer/test_served_skew.py": "a transform graph",
    "tests/components/measurer/test_train_slices.py": "a transform graph",
    "tests/components/test_transformed_outputs.py": "a transform graph",
    "tests/e2e/test_data.py": "a finished run",
    "tests/e2e/test_local_run.py": "a finished run",
    "tests/e2e/test_reruns.py": "a finished run",
    "tests/e2e/test_review.py": "a finished run",
    "tests/e2e/test_databases.py": "servers",
    "tests/servers/test_servers.py": "servers",
    "tests/pipeline/kubeflow/test_branches.py": "compiled pipelines",
    "tests/pipeline/kubeflow/test_compile.py": "compiled pipelines",
    "tests/pipeline/kubeflow/test_node_options.py": "compiled pipelines",
    "tests/pipeline/kubeflow/test_run_parameters.py": "compiled pipelines",
    "tests/pipeline/store/test_at_once.py": "servers",
    "tests/pipeline/store/test_connection.py": "servers",
    "tests/pipeline/store/test_postgresql.py": "servers",
    "tests/pipeline/store/test_texts.py": "servers",
}
# Groups by what they take, the longest first: what begins last should be short. Then come all other whole runs.
_LONGEST = (
    "a finished run",
    "servers",
    "tests/e2e/test_damaged.py",
    "tests/e2e/test_new_projects.py",
    "tests/pipeline/kubeflow/test_parity.py",
    "tests/components/common/training/test_distribution.py",
    "tests/pipeline/run/test_beam_workers.py",
)


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return _TOGETHER.get(file, file)


def _only_unit(config: pytest.Config) -> bool:
    return str(config.option.markexpr) == "unit"


def pytest_configure(config: pytest.Config) -> None:
    if _only_unit(config):
        tiers.forbid_tensorflow()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not even import the others' modules if only unit tests are asked for."""
    if _only_unit(config):
        path = collection_path.relative_to(config.rootpath).as_posix()
        has_unit = tiers.has_unit(path) if collection_path.is_dir() else tiers.is_unit(path)
        return None if has_unit else True
    return None


def pytest_collection_finish() -> None:
    """AutoGraph leaves tf_keras alone, as it does Keras 3; layers of one's own it rewrites as ever.

    It takes tf_keras for user code: the first plain `fit` of a process would rewrite some thousand functions, for
    27 s of the processor.
    """
    if "tensorflow" in sys.modules:
        from tensorflow.python.autograph.core import config

        config.CONVERSION_RULES = (config.DoNotConvert("tf_keras"), *config.CONVERSION_RULES)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks each test with its tier; leaves out tests marked `soak` unless -m names them; the longest come first.

    An option in pyproject.toml would not do: any other -m, as "not e2e", would replace it.
    """
    for item in items:
        if not any(item.get_closest_marker(tier) for tier in ("e2e", "tf")):
            path = item.nodeid.partition("::")[0]
            item.add_marker("unit" if tiers.is_unit(path) else "e2e" if "tests/e2e/" in path else "tf")
    if "soak" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    order = {group: place for place, group in enumerate(_LONGEST)}

    def place(item: pytest.Item) -> int:
        return order.get(_group(item.nodeid), len(order) + (item.get_closest_marker("e2e") is None))

    if seed := os.environ.get("PAREDOWN_TEST_ORDER"):
        _shuffle(items, seed)
    else:
        items.sort(key=place)


def _shuffle(items: list[pytest.Item], seed: str) -> None:
    """Puts files, and the tests in each, into an order of its own for each seed."""
    random = Random(seed)
    files: dict[str, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.nodeid.partition("::")[0], []).append(item)
    order = list(files)
    random.shuffle(order)
    for tests in files.values():
        random.shuffle(tests)
    items[:] = [item for file in order for item in files[file]]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps tests that share fixtures in one process, if pytest-xdist spreads them."""
    from tests.grouped import Grouped

    return Grouped(config, log, _group)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of a few examples, small enough to be checked in this process."""
    made = Project(tmp_path, monkeypatch)
    made.write_data()
    return made


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers for each test, whatever ran before it."""
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """What all processes of this test run have in common."""
    return Shared.of(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def mnist_arrays() -> dict[str, Digits]:
    """`train` and `eval` → a few digits, read without any of the project's code."""
    return {
        "train": read_digits(DATA / "train.tfrecord.gz", TRAIN_EXAMPLES),
        "eval": read_digits(DATA / "test.tfrecord.gz", EVAL_EXAMPLES),
    }


@pytest.fixture(scope="session")
def examples_artifact(mnist_arrays: dict[str, Digits], shared: Shared) -> Path:
    """A folder with the artifacts that TFX's first nodes leave: `examples` and `schema`."""

    def write(folder: Path) -> Path:
        splits = {
            split: [
                to_example({"image": image, "label": label})
                for image, label in zip(digits.images, digits.labels, strict=True)
            ]
            for split, digits in mnist_arrays.items()
        }
        return write_examples(folder, MNIST_SCHEMA, **splits)

    return shared.make("mnist", write)


@pytest.fixture(scope="session")
def mnist_examples(examples_artifact: Path) -> Any:
    """The same as an `Examples`."""
    from components.common.data.examples import Examples

    return Examples(
        uri=str(examples_artifact / "examples"),
        schema_uri=str(examples_artifact / "schema"),
        transform_uri=None,
        label="label",
    )


@pytest.fixture(scope="session")
def trained(mnist_examples: Any, shared: Shared) -> Trained:
    """A baseline of configs/mnist/model.py, very small."""

    def train(folder: Path) -> Trained:
        from components.common.models.model_definition import ModelDefinition
        from components.trainer.params import TrainOptions
        from components.trainer.run_fn import train_baseline

        history = train_baseline(
            examples=mnist_examples,
            output=str(folder),
            log_dir=str(folder / "logs"),
            definition=ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
            options=TrainOptions(**MNIST_TRAINING),
            seed=SEED,
        )
        return Trained(str(folder), history)

    return shared.make("baseline", train)
