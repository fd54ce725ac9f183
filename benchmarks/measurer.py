"""Throughput of the evaluator beside a plain interpreter loop over the same examples.

    python -m benchmarks.measurer --examples 10000

The loop does what a script would: it sets an image, invokes, and counts right classes, for the candidate and for the
baseline. The evaluator reads the same images from TFX's files, predicts by one file and by the other, as the nodes of
baseline and candidate do, computes its metrics and writes TFMA's result files. Both take turns; medians are
printed, and how much of the loop's throughput the evaluator reaches.
"""

from __future__ import annotations

from pipeline.environment import prepare

prepare()

import argparse  # noqa: E402  (nothing may import TensorFlow before prepare)
import shutil  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

from benchmarks.distribution import write_digits  # noqa: E402
from components.common.data.arrays import Arrays  # noqa: E402
from components.common.data.examples import Examples  # noqa: E402
from components.common.models import model_files  # noqa: E402
from components.common.models.model_definition import ModelDefinition  # noqa: E402
from components.evaluator.params import AccuracyGate  # noqa: E402
from components.measurer import accuracy  # noqa: E402
from components.predictor.predictions import predict_as_read  # noqa: E402
from components.tflite_converter.executor import convert  # noqa: E402
from components.tflite_converter.params import ConvertOptions  # noqa: E402
from components.trainer.params import TrainOptions  # noqa: E402
from components.trainer.run_fn import train_baseline  # noqa: E402
from tests.conftest import DATA, MNIST_MODULE, Digits, read_digits  # noqa: E402

HPARAMS = {"filters": [16, 32], "units": 512, "learning_rate": 0.001}  # as in configs/mnist/pipeline.yaml
ASKED = AccuracyGate.model_validate(
    {
        "metric": "SparseCategoricalAccuracy",
        "max_drop": 0.005,
        "slices": [{"by": "label", "max_drop": 0.02}],
    }
)


def deployed(examples: Examples, digits: Digits, folder: Path) -> dict[str, str]:
    """Quantization → file of the MNIST example's CNN after an epoch on a few digits."""
    train_baseline(
        examples=examples,
        output=str(folder / "keras"),
        log_dir=str(folder / "logs"),
        definition=ModelDefinition(MNIST_MODULE, HPARAMS),
        options=TrainOptions(epochs=1, batch_size=50),
        seed=1,
    )
    images = digits.images[:100].reshape(-1, 28, 28, 1).astype(np.float32)
    files = {}
    for quantization in ("float32", "int8"):
        content = convert(
            model_files.serving_dir(str(folder / "keras")),
            ConvertOptions.model_validate({"quantization": quantization}),
            False,
            Arrays({"image": images}, np.zeros(len(images))),
        )
        files[quantization] = str(folder / f"{quantization}.tflite")
        Path(files[quantization]).write_bytes(content)
    return files


def plain_loop(paths: list[str], digits: Digits) -> list[float]:
    """Accuracy of each file."""
    found = []
    for path in paths:
        interpreter = Interpreter(model_path=path, num_threads=1)
        interpreter.allocate_tensors()
        (given,), (wanted,) = interpreter.get_input_details(), interpreter.get_output_details()
        right = 0
        for image, label in zip(digits.images, digits.labels, strict=True):
            interpreter.set_tensor(given["index"], image.reshape(1, 28, 28, 1).astype(np.float32))
            interpreter.invoke()
            right += int(interpreter.get_tensor(wanted["index"])[0].argmax() == label)
        found.append(right / len(digits.labels))
    return found


def evaluator(paths: list[str], examples: Examples, output: Path) -> list[float]:
    """The same as the gate measures it."""
    shutil.rmtree(output, ignore_errors=True)
    sides = dict(zip((accuracy.CANDIDATE, accuracy.BASELINE), paths, strict=True))
    candidate, baseline = (
        predict_as_read(examples, {str(side): path}, ["label"]) for side, path in sides.items()
    )
    predictions = candidate.beside(baseline).in_order()
    config = accuracy.eval_config([ASKED], examples.label)
    accuracy.analyze(examples, sides, config, str(output), [], predictions=predictions)
    values = [accuracy.read_metrics(str(output), side, ASKED)[()][0] for side in sides]
    return [float("nan") if value is None else value for value in values]


def timed(measure: Callable[[], list[float]]) -> tuple[float, list[float]]:
    """Seconds, and what it returns."""
    start = time.perf_counter()
    found = measure()
    return time.perf_counter() - start, found


def main() -> None:
    """Prints seconds and ratios for a float32 and an int8 candidate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = write_digits(folder / "data", 2000, asked.examples)
        digits = read_digits(DATA / "test.tfrecord.gz", asked.examples)
        files = deployed(examples, digits, folder)
        for quantization in ("float32", "int8"):
            paths = [files[quantization], files["float32"]]
            loops, evaluations = [], []
            for _ in range(asked.turns):
                seconds, wanted = timed(lambda: plain_loop(paths, digits))  # noqa: B023
                loops.append(seconds)
                seconds, got = timed(lambda: evaluator(paths, examples, folder / "out"))  # noqa: B023
                evaluations.append(seconds)
                assert np.allclose(got, wanted, rtol=0, atol=1e-6), (got, wanted)
            loop, evaluation = statistics.median(loops), statistics.median(evaluations)
            print(
                f"{quantization:8} candidate, {asked.examples} examples: loop {loop:.2f} s, evaluator "
                f"{evaluation:.2f} s, {loop / evaluation:.2f} × its throughput"
            )


if __name__ == "__main__":
    main()
