"""Compares transfer learning with training from scratch: pipeline.yaml and scratch.yaml, over several seeds.

    python -m configs.transfer.compare [SEEDS]

trains both baselines with Paredown's own code on the data that make_data.py has made, and prints the accuracy
of each on all 4,861 test digits 5 to 9 of data/mnist. Three seeds take about a minute.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from pipeline import environment

environment.prepare()

import numpy as np  # noqa: E402  (nothing may import TensorFlow before prepare)
import tf_keras  # noqa: E402

from components.common.data.examples import Arrays  # noqa: E402
from components.common.models.model_definition import ModelDefinition  # noqa: E402
from components.common.training import training  # noqa: E402
from components.trainer import stages  # noqa: E402
from configs.transfer.make_data import MNIST, read  # noqa: E402
from pipeline.config.config_file import load  # noqa: E402
from pipeline.plan.pretrained_source import pretrained_source  # noqa: E402

CONFIGS = {"transfer": "pipeline.yaml", "scratch": "scratch.yaml"}


def train(config: Path, seed: int) -> tuple[tf_keras.Model, Arrays]:
    """Trains a config's baseline as its Trainer would.

    Args:
        config: The file.
        seed: In place of run.seed.

    Returns:
        The model, and the test examples.
    """
    section, data = load(config).config.model, load(config).config.data
    found = {
        "train": read(Path(data.path) / "train.tfrecord.gz", range(5)),
        "test": read(MNIST / "test.tfrecord.gz", range(5, 10)),
    }
    splits = {
        split: Arrays({"image": images.astype(np.float32)}, labels)
        for split, (images, labels) in found.items()
    }
    definition = ModelDefinition(
        section.module or "", section.hparams, pretrained_source(section.pretrained)
    )
    training.seed_everything(seed)
    model = definition.build()
    some = splits["test"].take(np.arange(100))  # measured after each epoch; all of them below
    with tempfile.TemporaryDirectory() as logs:
        options = section.train.model_dump(mode="json")
        stages.train(model, definition.trunk_of(model), (splits["train"], some), options, seed, logs)
    return model, splits["test"]


def main(seeds: int) -> None:
    """Prints mean and range of each accuracy, and of what it is more with transfer."""
    found: dict[str, list[float]] = {name: [] for name in CONFIGS}
    for seed in range(1, seeds + 1):
        for name, file in CONFIGS.items():
            model, test = train(Path(__file__).with_name(file), seed)
            predicted = model.predict(test.features["image"], batch_size=500, verbose=0).argmax(axis=1)
            found[name].append(float(np.mean(predicted == test.labels)))
    for name, values in found.items():
        print(f"{name:<9} {np.mean(values):.4f}  ({min(values):.4f} to {max(values):.4f})")
    gained = np.subtract(found["transfer"], found["scratch"])
    print(f"{'gained':<9} {gained.mean():.4f}  ({gained.min():.4f} to {gained.max():.4f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
