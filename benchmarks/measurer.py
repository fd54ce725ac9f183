"""Throughput of the evaluator beside a plain interpreter loop over the same examples.

    python -m benchmarks.measurer --examples 10000

The loop does what a script would: it sets an image, invokes, and counts right classes, for the candidate and for the
baseline. The evaluator reads the same images from TFX's files; the baseline's node predicts them once for all
candidates, and a candidate's node predicts them by its file, computes metrics of both and writes TFMA's result files.
All take turns. Medians are printed, of the processor's seconds, which other processes disturb less, and of the clock's;
and how much of the loop's throughput the evaluator reaches in a run with that many candidates.
"""

from __future__ import annotations

from pipeline.environment import prepare

prepare()

import argparse  # noqa: E402  (nothing may import TensorFlow before prepare)
import functools  # noqa: E402
import shutil  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TypeVar  # noqa: E402

import numpy as np  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from benchmarks.distribution import write_digits  # noqa: E402
from components.common.data.arrays import Arrays  # noqa: E402
from components.common.data.examples import Examples  # noqa: E402
from components.common.models import model_files  # noqa: E402
from components.common.models.model_definition import ModelDefinition  # noqa: E402
from components.evaluator.params import AccuracyGate  # noqa: E402
from components.measurer import accuracy  # noqa: E402
from components.predictor.prediction import predict  # noqa: E402
from components.predictor.predictions import Predictions  # noqa: E402
from components.tflite_converter.executor import convert  # noqa: E402
from components.tflite_converter.params import ConvertOptions  # noqa: E402
from components.trainer.params import TrainOptions  # noqa: E402
from components.trainer.run_fn import train_baseline  # noqa: E402
from tests.conftest import DATA, MNIST_MODULE, Digits, read_digits  # noqa: E402

Result = TypeVar("Result")

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


def baseline_node(path: str, examples: Examples) -> Predictions:
    """The work of the baseline's node."""
    return predict(examples, {accuracy.BASELINE: path}, ["label"])


def candidate_node(
    paths: list[str], examples: Examples, baseline: Predictions, output: Path
) -> list[float]:
    """The work of a candidate's node; returns the accuracy of each file."""
    shutil.rmtree(output, ignore_errors=True)
    sides = dict(zip((accuracy.CANDIDATE, accuracy.BASELINE), paths, strict=True))
    candidate = predict(examples, {accuracy.CANDIDATE: paths[0]})
    predictions = candidate.beside(baseline).in_order()
    config = accuracy.eval_config([ASKED], examples.label)
    accuracy.analyze(examples, sides, config, str(output), [], predictions=predictions)
    values = [accuracy.read_metrics(str(output), side, ASKED)[()][0] for side in sides]
    return [float("nan") if value is None else value for value in values]


def timed(work: Callable[[], Result]) -> tuple[NDArray[np.float64], Result]:
    """Seconds of the processor and of the clock, and what it returns."""
    start = np.array([time.process_time(), time.perf_counter()])
    found = work()
    return np.array([time.process_time(), time.perf_counter()]) - start, found


def main() -> None:
    """Prints seconds and ratios for a float32 and an int8 candidate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000)
    parser.add_argument("--candidates", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        examples = write_digits(folder / "data", 2000, asked.examples)
        digits = read_digits(DATA / "test.tfrecord.gz", asked.examples)
        files = deployed(examples, digits, folder)
        for quantization in ("float32", "int8"):
            paths = [files[quantization], files["float32"]]
            turns = []
            for _ in range(asked.turns):
                loop, wanted = timed(functools.partial(plain_loop, paths, digits))
                once, baseline = timed(functools.partial(baseline_node, paths[1], examples))
                node = functools.partial(candidate_node, paths, examples, baseline, folder / "out")
                each, got = timed(node)
                turns.append([loop, once, each])
                assert np.allclose(got, wanted, rtol=0, atol=1e-6), (got, wanted)
            count = asked.candidates
            for kind, (loop, once, each) in zip(("CPU", "wall"), np.median(turns, axis=0).T, strict=True):
                print(
                    f"{quantization:8} candidates, {asked.examples} examples, {kind}: loop {loop:.2f} s, baseline "
                    f"{once:.2f} s, candidate {each:.2f} s; in a run of {count}, "
                    f"{count * loop / (count * each + once):.2f} × the loop's throughput"
                )


if __name__ == "__main__":
    main()
