"""Compares distributed training with a single run, on digits of MNIST.

    python -m benchmarks.distribution --examples 2000 --epochs 3

Noise is the spread of the single run's accuracy over its seeds. A distributed training is within it if its accuracy is
no further from the single run's mean than the seeds are from each other.
"""

from __future__ import annotations

from pipeline.environment import prepare

prepare()

import argparse  # noqa: E402  (nothing may import TensorFlow before prepare)
import json  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from pathlib import Path  # noqa: E402

from components.common.base.distribution_options import ALONE, Distribution  # noqa: E402
from components.common.data.examples import Examples  # noqa: E402
from components.common.models.model_definition import ModelDefinition  # noqa: E402
from components.common.training import distributed  # noqa: E402
from components.trainer.params import TrainOptions  # noqa: E402
from components.trainer.run_fn import train_baseline  # noqa: E402
from tests.conftest import (  # noqa: E402
    DATA,
    MNIST_HPARAMS,
    MNIST_MODULE,
    MNIST_SCHEMA,
    read_digits,
    to_example,
    write_examples,
)

KINDS = {
    "mirrored": Distribution(kind="mirrored", devices=2),
    "multi_worker": Distribution(kind="multi_worker"),
    "parameter_server": Distribution(kind="parameter_server"),
}


def write_digits(folder: Path, train: int, evaluation: int) -> Examples:
    """The first digits of data/mnist as TFX's first nodes leave them."""
    splits = {}
    for split, file, count in (("train", "train", train), ("eval", "test", evaluation)):
        digits = read_digits(DATA / f"{file}.tfrecord.gz", count)
        splits[split] = [
            to_example({"image": image, "label": label})
            for image, label in zip(digits.images, digits.labels, strict=True)
        ]
    write_examples(folder, MNIST_SCHEMA, **splits)
    return Examples(str(folder / "examples"), str(folder / "schema"), None, "label")


def train(
    asked: Distribution, examples: Examples, output: Path, epochs: int, seed: int
) -> dict[str, float]:
    """Accuracy on the eval split, and seconds, the start of processes among them."""
    began = time.monotonic()
    options = TrainOptions(epochs=epochs, batch_size=64, distribution=asked)
    arguments = {
        "examples": examples,
        "output": str(output),
        "log_dir": str(output / "logs"),
        "definition": ModelDefinition(MNIST_MODULE, MNIST_HPARAMS),
        "options": options,
        "seed": seed,
    }
    history = distributed.perform(asked, train_baseline, arguments, ("output", "log_dir"))
    return {"accuracy": history["val_accuracy"][-1], "seconds": time.monotonic() - began}


def main() -> None:
    """Trains, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--eval-examples", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        examples = write_digits(folder, given.examples, given.eval_examples)
        singles = [
            train(ALONE, examples, folder / f"none-{seed}", given.epochs, seed)
            for seed in range(given.seeds)
        ]
        accuracies = [single["accuracy"] for single in singles]
        mean, spread = sum(accuracies) / len(accuracies), max(accuracies) - min(accuracies)
        print(json.dumps({"kind": "none", "accuracies": accuracies, "mean": mean, "spread": spread,
                          "seconds": [single["seconds"] for single in singles]}), flush=True)  # fmt: skip
        for kind in given.kinds:
            found = train(KINDS[kind], examples, folder / kind, given.epochs, seed=0)
            difference = found["accuracy"] - mean
            print(json.dumps({"kind": kind, **found, "difference": difference,
                              "ratio": found["accuracy"] / mean,
                              "within_noise": abs(difference) <= spread}), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
