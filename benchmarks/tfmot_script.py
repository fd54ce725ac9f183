"""A script without Paredown: the candidates of configs/mnist with only TensorFlow and TFMOT.

    .venv/bin/python -m benchmarks.tfmot_script [--json FILE]

Trains the baseline, prunes, trains quantization-aware (after pruning, too), distils, converts, and measures every file
on the 10,000 test images: accuracy, size, gzip size, and latency in turns with the baseline. Model, epochs, batch
sizes, learning rates and seed are those of configs/mnist/pipeline.yaml. It has no lineage, no cache, no verdict and no
checks.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from ai_edge_litert.interpreter import Interpreter

from configs.mnist.model import build_model, build_student

ROOT = Path(__file__).parents[1]
HPARAMS: dict[str, Any] = {"filters": [16, 32], "units": 512, "learning_rate": 0.001}
BATCH, SEED, SPARSITY = 128, 42, 0.8
Split = tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]
SECONDS: dict[str, float] = {}


@contextmanager
def timed(what: str) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    SECONDS[what] = SECONDS.get(what, 0.0) + time.perf_counter() - begin


def read(name: str) -> Split:
    """A split: images (examples, 28, 28, 1), 0 to 255, and classes (examples,)."""
    records = tf.data.TFRecordDataset(str(ROOT / f"data/mnist/{name}.tfrecord.gz"), compression_type="GZIP")
    spec = {"image": tf.io.FixedLenFeature([784], tf.float32), "label": tf.io.FixedLenFeature([], tf.int64)}
    kinds = tf.train.Example.FromString(next(records.as_numpy_iterator())).features.feature
    if kinds["image"].HasField("int64_list"):
        spec["image"] = tf.io.FixedLenFeature([784], tf.int64)
    images, labels = [], []
    for batch in records.batch(4096):
        parsed = tf.io.parse_example(batch, spec)
        images.append(tf.cast(parsed["image"], tf.float32).numpy())
        labels.append(parsed["label"].numpy())
    return np.concatenate(images).reshape(-1, 28, 28, 1), np.concatenate(labels)


def compiled(model: tf_keras.Model, rate: float = 0.001) -> tf_keras.Model:
    model.compile(tf_keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def fit(model: tf_keras.Model, train: Split, test: Split, epochs: int, callbacks: Any = ()) -> None:
    model.fit(
        *train,
        epochs=epochs,
        batch_size=BATCH,
        validation_data=test,
        verbose=0,
        callbacks=list(callbacks),
    )


def pruned(baseline: tf_keras.Model, train: Split, test: Split) -> tf_keras.Model:
    steps = 2 * -(-len(train[0]) // BATCH)
    schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, SPARSITY, 0, steps)
    copy = tf_keras.models.clone_model(baseline)
    copy.set_weights(baseline.get_weights())
    model = tfmot.sparsity.keras.prune_low_magnitude(copy, schedule)
    fit(compiled(model), train, test, 2, [tfmot.sparsity.keras.UpdatePruningStep()])
    return tfmot.sparsity.keras.strip_pruning(model)


def quantization_aware(base: tf_keras.Model, train: Split, test: Split, keep_zeros: bool) -> tf_keras.Model:
    with tfmot.quantization.keras.quantize_scope():
        if keep_zeros:
            annotated = tfmot.quantization.keras.quantize_annotate_model(base)
            scheme = tfmot.experimental.combine.Default8BitPrunePreserveQuantizeScheme()
            model = tfmot.quantization.keras.quantize_apply(annotated, scheme)
        else:
            model = tfmot.quantization.keras.quantize_model(base)
        fit(compiled(model, 0.0001), train, test, 1)
    return model


class Distiller(tf_keras.Model):
    """Hinton et al. 2015: labels, and the teacher's softened probabilities."""

    def __init__(self, student: tf_keras.Model, teacher: tf_keras.Model):
        super().__init__()
        self.student, self.teacher = student, teacher

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.student(inputs, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        taught = tf.nn.softmax(tf.math.log(self.teacher(x, training=False) + 1e-7) / 4.0)
        with tf.GradientTape() as tape:
            given = self.student(x, training=True)
            softened = tf.nn.softmax(tf.math.log(given + 1e-7) / 4.0)
            of_labels = tf.reduce_mean(tf_keras.losses.sparse_categorical_crossentropy(y, given))
            of_teacher = tf.reduce_mean(tf_keras.losses.kl_divergence(taught, softened)) * 16.0
            loss = 0.1 * of_labels + 0.9 * of_teacher
        variables = self.student.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.compiled_metrics.update_state(y, given)
        return {metric.name: metric.result() for metric in self.metrics}


def distilled(baseline: tf_keras.Model, train: Split, test: Split) -> tf_keras.Model:
    student = build_student(HPARAMS)
    fit(compiled(Distiller(student, baseline)), train, test, 3)
    return student


def convert(model: tf_keras.Model, kind: str, train: Split) -> bytes:
    """The model as a TFLite file: float32, dynamic or int8 (input and output, too)."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "int8":
        some = np.random.default_rng(SEED).choice(len(train[0]), 200, replace=False)
        converter.representative_dataset = lambda: ([train[0][i : i + 1]] for i in some)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def runner(content: bytes) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]:
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]

    def run(image: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
        if scale:
            image = np.clip(np.round(image / scale + zero), -128, 127).astype(given["dtype"])
        interpreter.set_tensor(given["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(asked["index"])

    return run


def measure(content: bytes, baseline: bytes, test: Split) -> dict[str, float]:
    """Accuracy on all images, sizes, and latency (ms, median of 300) in turns with the baseline."""
    run, other = runner(content), runner(baseline)
    right = sum(int(run(test[0][i : i + 1]).argmax() == label) for i, label in enumerate(test[1]))
    times: dict[Callable[..., Any], list[float]] = {run: [], other: []}
    image = test[0][:1]
    for _ in range(320):
        for one, taken in times.items():
            begin = time.perf_counter()
            one(image)
            taken.append(1000 * (time.perf_counter() - begin))
    latency, compared = (float(np.median(times[one][20:])) for one in (run, other))
    return {
        "accuracy": right / len(test[1]),
        "size": len(content),
        "gzip_size": len(gzip.compress(content)),
        "latency": latency,
        "latency_ratio": latency / compared,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="file for the figures; default: standard output")
    arguments = parser.parse_args()
    tf_keras.utils.set_random_seed(SEED)
    with timed("read"):
        train, test = read("train"), read("test")
    with timed("train"):
        baseline = build_model(HPARAMS)
        fit(baseline, train, test, 4)
    with timed("prune"):
        sparse = pruned(baseline, train, test)
    with timed("qat"):
        aware = quantization_aware(baseline, train, test, keep_zeros=False)
    with timed("prune + qat"):
        sparse_aware = quantization_aware(sparse, train, test, keep_zeros=True)
    with timed("distill"):
        student = distilled(baseline, train, test)
    with timed("convert"):
        reference = convert(baseline, "float32", train)
        files = {
            "dynamic": convert(baseline, "dynamic", train),
            **{
                name: convert(model, "int8", train)
                for name, model in {
                    "int8": baseline,
                    "pruned-int8": sparse,
                    "qat-int8": aware,
                    "pruned-qat-int8": sparse_aware,
                    "distilled-int8": student,
                }.items()
            },
        }
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / f"{name}.tflite").write_bytes(content)
    with timed("measure"):
        figures = {
            name: measure(content, reference, test)
            for name, content in {"baseline": reference, **files}.items()
        }
    text = json.dumps({"candidates": figures, "seconds": SECONDS}, indent=2)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
