"""How time and memory of training, calibration and evaluation grow with the number of examples.

    .venv/bin/python -m benchmarks.growth [--sizes 10000 100000 1000000] [--output FOLDER]

The examples are MNIST's with noise, as many in `train` as in `eval`. Each measurement has a process of its own, which
reads from files (`data.in_memory: false`): an epoch of configs/mnist's CNN with its validation, the draw of 200
calibration examples, and the gate's metrics of a float32 file. Writes growth.md and growth.html, a plot.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_tree import Cost, measure
from benchmarks.table import markdown
from components.measurer.machine import this_machine

ROOT = Path(__file__).parents[1]
SIZES = (10_000, 100_000, 1_000_000)
WORK = ("train", "calibrate", "evaluate")
HPARAMS = {"filters": [16, 32], "units": 512, "learning_rate": 0.001}  # as in configs/mnist/pipeline.yaml
_SHARDS = 4


@dataclass(frozen=True)
class Result:
    """Cost of a piece of work on a number of examples."""

    work: str
    examples: int
    cost: Cost


def write(folder: Path, count: int) -> None:
    """Writes both splits as ExampleGen does, and their schema, into a folder."""
    from multiprocessing import get_context

    (folder / "schema").mkdir(parents=True)
    (folder / "schema/schema.pbtxt").write_text(SCHEMA, encoding="utf-8")
    shards = [
        (folder, split, shard, count // _SHARDS) for split in ("train", "eval") for shard in range(_SHARDS)
    ]
    with get_context("spawn").Pool(2) as pool:
        pool.starmap(_write_shard, shards)


SCHEMA = """
feature { name: "image" type: FLOAT presence { min_fraction: 1 } shape { dim { size: 784 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


def _write_shard(folder: Path, split: str, shard: int, count: int) -> None:
    import numpy as np
    import tensorflow as tf

    from benchmarks.tfmot_script import read

    images, labels = read("test")
    random = np.random.default_rng([len(split), shard])
    target = folder / f"examples/Split-{split}"
    target.mkdir(parents=True, exist_ok=True)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with tf.io.TFRecordWriter(str(target / f"data-{shard:05d}-of-{_SHARDS:05d}.gz"), options) as writer:
        for _ in range(count):
            index = int(random.integers(len(labels)))
            image = np.clip(images[index].ravel() + random.integers(-8, 9, 784), 0, 255)
            features = {
                "image": tf.train.Feature(float_list=tf.train.FloatList(value=image)),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[int(labels[index])])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def work(what: str, folder: Path) -> None:
    """Does one of `WORK` in this process."""
    from pipeline.environment import prepare

    prepare()
    import numpy as np

    from components.common.data.examples import Examples
    from components.common.data.model_inputs import InputSpec

    examples = Examples(str(folder / "examples"), str(folder / "schema"), None, "label", in_memory=False)
    if what == "calibrate":
        train = examples.open("train", {"image": InputSpec((28, 28, 1), np.float32)})
        assert train.draw(200, 42).feature_arrays()["image"].shape == (200, 28, 28, 1)
    elif what == "train":
        _train(examples, folder / "model")
    else:
        _evaluate(examples, folder)


def _train(examples: object, output: Path) -> None:
    from components.common.models.model_definition import ModelDefinition
    from components.trainer.params import TrainOptions
    from components.trainer.run_fn import train_baseline

    train_baseline(
        examples=examples,  # type: ignore[arg-type]
        output=str(output),
        log_dir=str(output / "logs"),
        definition=ModelDefinition("configs.mnist.model", HPARAMS),
        options=TrainOptions(epochs=1, batch_size=128),
        seed=42,
    )


def _evaluate(examples: object, folder: Path) -> None:
    from components.common.models import model_files
    from components.evaluator.params import AccuracyGate
    from components.measurer import accuracy
    from components.predictor.prediction import predict
    from components.tflite_converter.executor import convert
    from components.tflite_converter.params import ConvertOptions

    path = folder / "float32.tflite"
    options = ConvertOptions.model_validate({"quantization": "float32"})
    path.write_bytes(convert(model_files.serving_dir(str(folder / "model")), options, False, None))
    asked = AccuracyGate.model_validate({"metric": "SparseCategoricalAccuracy", "min": 0.5})
    sides = {accuracy.CANDIDATE: str(path), accuracy.BASELINE: str(path)}
    predictions = predict(examples, {str(side): file for side, file in sides.items()}).in_order()
    config = accuracy.eval_config([asked], "label")
    accuracy.analyze(examples, sides, config, str(folder / "out"), [], predictions=predictions)  # type: ignore[arg-type]


def grow(sizes: list[int]) -> list[Result]:
    """Measures all work at all sizes."""
    found = []
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="growth-") as name:
            folder = Path(name)
            print(f"writing 2 × {size:,} examples", file=sys.stderr)
            write(folder, size)
            for what in WORK:
                command = [sys.executable, "-m", "benchmarks.growth", "--work", what, "--folder", name]
                log = folder / f"{what}.log"
                cost = measure(command, ROOT, environment, folder / f"{what}.out", log)
                print(f"{what}: {cost.wall:.1f} s, {cost.peak / 1e9:.2f} GB", file=sys.stderr)
                found.append(Result(what, size, cost))
    return found


def report(results: list[Result]) -> str:
    """The figures as Markdown."""
    rows = [
        [
            result.work,
            f"{result.examples:,}",
            f"{result.cost.wall:.1f}",
            f"{1e6 * result.cost.wall / result.examples:.0f}",
            f"{result.cost.peak / 1e9:.2f}",
        ]
        for result in results
    ]
    head = f"Machine: {this_machine()}. Times have the imports of a new process, 10 to 20 s, in them.\n\n"
    return head + markdown(["", "examples", "seconds", "µs/example", "peak, GB"], rows)


def plot(results: list[Result], path: Path) -> None:
    """Seconds and peak memory by the number of examples."""
    from plotly.colors import qualitative
    from plotly.graph_objects import Figure
    from plotly.subplots import make_subplots

    figure: Figure = make_subplots(1, 2, subplot_titles=("seconds", "peak memory, GB"))
    for what, colour in zip(WORK, qualitative.Plotly, strict=False):
        mine = [result for result in results if result.work == what]
        sizes = [result.examples for result in mine]
        for column, values in enumerate(
            ([r.cost.wall for r in mine], [r.cost.peak / 1e9 for r in mine]), 1
        ):
            figure.add_scatter(
                x=sizes,
                y=values,
                name=what,
                line_color=colour,
                legendgroup=what,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_xaxes(type="log", title="examples")
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_yaxes(rangemode="tozero", row=1, col=2)
    figure.write_html(path, config={"displayModeBar": False})  # opens without a network


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of examples")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks/results", help="folder of the results"
    )
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.folder)
        return
    results = grow(arguments.sizes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = report(results)
    (arguments.output / "growth.md").write_text(text, encoding="utf-8")
    plot(results, arguments.output / "growth.html")
    print(text)


if __name__ == "__main__":
    main()
