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
import struct  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from tests.project import Project  # noqa: E402

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
    "tests/components/evaluator/test_served_skew.py": "a transform graph",
    "tests/components/evaluator/test_train_slices.py": "a transform graph",
    "tests/components/test_transformed_outputs.py": "a transform graph",
    "tests/e2e/test_data.py": "a finished run",
    "tests/e2e/test_local_run.py": "a finished run",
    "tests/e2e/test_review.py": "a finished run",
    "tests/e2e/test_databases.py": "servers",
    "tests/servers/test_servers.py": "servers",
}
_LONGEST = (
    "a finished run",
    "tests/e2e/test_killed.py",
    "tests/pipeline/kubeflow/test_parity.py",
    "servers",
)


def _group(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return _TOGETHER.get(file, file)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out tests marked `soak` unless -m names them; puts what takes longest first.

    An option in pyproject.toml would not do: any other -m, as "not e2e", would replace it.
    """
    if "soak" not in config.option.markexpr:
        long = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]
    order = {group: place for place, group in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(_group(item.nodeid), len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keeps tests that share fixtures in one process, where pytest-xdist spreads them."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Grouped(config, log)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project of a few examples, small enough to be checked in this process."""
    made = Project(tmp_path, monkeypatch)
    made.write_data()
    return made


@pytest.fixture(scope="session")
def mnist_arrays() -> dict[str, Digits]:
    """`train` and `eval` → a few digits, read without any of the project's code."""
    return {
        "train": read_digits(DATA / "train.tfrecord.gz", TRAIN_EXAMPLES),
        "eval": read_digits(DATA / "test.tfrecord.gz", EVAL_EXAMPLES),
    }


@pytest.fixture(scope="session")
def examples_artifact(mnist_arrays: dict[str, Digits], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the artifacts that TFX's first nodes leave: `examples` and `schema`."""
    splits = {
        split: [
            to_example({"image": image, "label": label})
            for image, label in zip(digits.images, digits.labels, strict=True)
        ]
        for split, digits in mnist_arrays.items()
    }
    return write_examples(tmp_path_factory.mktemp("mnist"), MNIST_SCHEMA, **splits)


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
def trained(mnist_examples: Any, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A baseline of configs/mnist/model.py, very small."""
    from components.common.models.model_definition import ModelDefinition
    from components.trainer.params import TrainOptions
    from components.trainer.run_fn import train_baseline

    folder = tmp_path_factory.mktemp("baseline")
    history = train_baseline(
        examples=mnist_examples,
        output=str(folder),
        log_dir=str(folder / "logs"),
        definition=ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
        options=TrainOptions(**MNIST_TRAINING),
        seed=SEED,
    )
    return Trained(str(folder), history)
