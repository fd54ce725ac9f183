"""Beam's work in two processes gives the same result as in one: `run.beam_args` of docs/beam.md."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import MNIST_HPARAMS, Digits, read_records, to_example
from tests.pipeline.run.nodes import run_up_to

# Each of the worker processes imports TFX.
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

MNIST = Path("configs/mnist/pipeline.yaml")
TWO_PROCESSES = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
IN_MEMORY: list[str] = []


@contextmanager
def counted_workers() -> Iterator[list[int]]:
    """Yields a list that gets the largest number of Beam's worker processes that were there at a time."""
    found, done = [0], threading.Event()

    def is_worker(process: psutil.Process) -> bool:
        try:
            return "apache_beam.runners.worker.sdk_worker_main" in process.cmdline()
        except psutil.Error:  # it has ended
            return False

    def watch() -> None:
        while not done.wait(0.3):
            children = psutil.Process().children(recursive=True)
            found[0] = max(found[0], sum(map(is_worker, children)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, mnist_arrays: dict[str, Digits]) -> Path:
    """Some digits in three files, so that there is something to share out."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("data")
    parts = {"train-0": ("train", 0, 120), "train-1": ("train", 120, 300), "test-0": ("eval", 0, 80)}
    for name, (split, begin, end) in parts.items():
        digits = mnist_arrays[split]
        with tf.io.TFRecordWriter(str(folder / f"{name}.tfrecord.gz"), "GZIP") as writer:
            for image, label in zip(digits.images[begin:end], digits.labels[begin:end], strict=True):
                writer.write(to_example({"image": image, "label": label}))
    return folder


def run_first_nodes(data: Path, root: Path, last: str, beam_args: list[str]) -> None:
    """Runs the nodes that `paredown run` would run first, up to one."""
    run_up_to(MNIST, root, last, f"data.path={data}", f"run.beam_args={json.dumps(beam_args)}")


def only(paths: Iterator[Path]) -> Path:
    (path,) = paths
    return path


def records(root: Path, split: str) -> Counter[bytes]:
    files = list(root.glob(f"ImportExampleGen/examples/*/Split-{split}/*.gz"))
    assert files
    return Counter(record for path in files for record in read_records(path))


def statistics(root: Path, split: str) -> Any:
    import tensorflow_data_validation as tfdv

    path = only(root.glob(f"StatisticsGen/statistics/*/Split-{split}/FeatureStats.pb"))
    return tfdv.load_stats_binary(str(path))


def assert_same_statistics(got: Any, wanted: Any) -> None:
    """All the same, but for the last digit of a sum that is added up in another order."""
    for datasets in zip(got.datasets, wanted.datasets, strict=True):
        for mine, other in zip(*(dataset.features for dataset in datasets), strict=True):
            assert mine.num_stats.std_dev == pytest.approx(other.num_stats.std_dev, rel=1e-12, abs=0)
            mine.num_stats.std_dev = other.num_stats.std_dev
    assert got == wanted


@pytest.mark.parametrize("last", ["ImportExampleGen", pytest.param("SchemaGen", marks=pytest.mark.soak)])
def test_the_first_nodes_write_the_same(data: Path, tmp_path: Path, last: str) -> None:
    with counted_workers() as none:
        run_first_nodes(data, tmp_path / "one", last, IN_MEMORY)
    with counted_workers() as two:
        run_first_nodes(data, tmp_path / "two", last, TWO_PROCESSES)
    assert (none, two) == ([0], [2])

    for split, count in (("train", 300), ("eval", 80)):
        wanted = records(tmp_path / "one", split)
        assert sum(wanted.values()) == count
        assert records(tmp_path / "two", split) == wanted
        if last != "SchemaGen":
            continue
        stats = statistics(tmp_path / "one", split)
        assert stats.datasets[0].num_examples == count
        assert len(stats.datasets[0].features) == 2
        assert_same_statistics(statistics(tmp_path / "two", split), stats)
    if last != "SchemaGen":
        return
    texts = [
        only((tmp_path / name).glob("SchemaGen/schema/*/schema.pbtxt")).read_text(encoding="utf-8")
        for name in ("one", "two")
    ]
    assert texts[0] == texts[1]
    assert "size: 784" in texts[0]


@pytest.fixture
def models(tmp_path: Path) -> dict[str, str]:
    """Two TFLite files of other weights: they need not be good to be measured."""
    import tensorflow as tf
    import tf_keras

    from configs.mnist.model import build_model

    paths = {}
    for seed, name in enumerate(("candidate", "baseline")):
        tf_keras.utils.set_random_seed(seed)
        converter = tf.lite.TFLiteConverter.from_keras_model(build_model(MNIST_HPARAMS))
        path = tmp_path / name
        path.write_bytes(converter.convert())
        paths[name] = str(path)
    return paths


@pytest.mark.soak  # a run on this machine computes metrics on arrays; test_batch_metrics.py compares them with TFMA's
def test_tfma_measures_the_same(models: dict[str, str], mnist_examples: Any, tmp_path: Path) -> None:
    import tensorflow_model_analysis as tfma

    from components.evaluator.params import AccuracyGate, SliceLimits
    from components.measurer import accuracy, beam_analysis
    from components.predictor.prediction import predict

    gate = AccuracyGate(metric="SparseCategoricalAccuracy", slices=[SliceLimits(by="label", min=0)])
    config = accuracy.eval_config([gate], "label")
    results = {}
    # On this machine metrics are computed on arrays, whatever the runner; Beam's workers are for those of others.
    assert accuracy.on_arrays(TWO_PROCESSES, "label")
    accuracy.analyze(
        mnist_examples, models, config, str(tmp_path / "arrays"), [],
        predictions=predict(mnist_examples, models, ["label"]).in_order(),
    )  # fmt: skip
    with counted_workers() as found:
        beam_analysis.analyze(mnist_examples, models, config, str(tmp_path / "two"), TWO_PROCESSES)
    assert found == [2]
    for name in ("arrays", "two"):
        output = str(tmp_path / name)
        results[name] = {
            model: dict(tfma.load_eval_result(output, model_name=model).slicing_metrics) for model in models
        }
    assert results["two"] == results["arrays"]
    found = {model: accuracy.read_metrics(str(tmp_path / "two"), model, gate) for model in models}
    assert len(found["candidate"]) == 11  # all examples, and each digit
    assert found["candidate"][()][1] == 400
    assert found["candidate"] != found["baseline"]
