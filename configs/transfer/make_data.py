"""Makes the data of this example from data/mnist, and the model of digits 0 to 4 that it begins with.

    python -m configs.transfer.make_data

writes into data/transfer (or the folder that is given)

    digits-0-4.h5               a Keras model trained on 10,000 digits 0 to 4, in plain Keras
    train.tfrecord.gz           digits 5 to 9, 10 of each: all that there is to learn them from
    test.tfrecord.gz            100 test digits of each of 5 to 9

with `label` the digit less 5, so that classes count from 0. The repository holds what it writes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import tf_keras

from configs.transfer.model import build_model

MNIST = Path(__file__).resolve().parents[2] / "data" / "mnist"
HPARAMS = {"filters": [16, 32, 64], "learning_rate": 0.001}
SEED = 42


def read(path: Path, digits: range, per_class: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The first examples of some digits in a file of data/mnist.

    Args:
        path: The file.
        digits: Which ones.
        per_class: Number of examples of each class; None for all.

    Returns:
        Images (examples, 28, 28, 1), 0 to 255; labels (examples,), from 0 for the first of the digits.
    """
    spec = {"image": tf.io.FixedLenFeature([784], tf.int64), "label": tf.io.FixedLenFeature([], tf.int64)}
    images, labels = [], []
    missing = dict.fromkeys(digits, per_class)
    for batch in tf.data.TFRecordDataset(str(path), "GZIP").batch(1000):
        parsed = tf.io.parse_example(batch, spec)
        image, label = parsed["image"].numpy(), parsed["label"].numpy()
        places = np.sort(np.concatenate([np.flatnonzero(label == d)[:n] for d, n in missing.items()]))
        images.append(image[places])
        labels.append(label[places])
        if per_class is not None:
            missing = {d: n - np.count_nonzero(labels[-1] == d) for d, n in missing.items()}
            if not any(missing.values()):
                break
    return np.concatenate(images).reshape(-1, 28, 28, 1), np.concatenate(labels) - digits.start


def write(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Writes examples as data/mnist has them."""
    options = tf.io.TFRecordOptions(compression_type="GZIP")
    with tf.io.TFRecordWriter(str(path), options) as writer:
        for image, label in zip(images, labels, strict=True):
            example = tf.train.Example()
            example.features.feature["image"].int64_list.value.extend(image.ravel().tolist())
            example.features.feature["label"].int64_list.value.append(int(label))
            writer.write(example.SerializeToString(deterministic=True))


def pretrain(path: Path, per_class: int, epochs: int) -> None:
    """Trains a model on digits 0 to 4 and saves it."""
    tf_keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    images, labels = read(MNIST / "train.tfrecord.gz", range(5), per_class)
    model = build_model(HPARAMS)
    # AutoGraph would rewrite Keras, for half a minute.
    model.train_step = tf.autograph.experimental.do_not_convert(model.train_step)
    model.fit(images.astype(np.float32), labels, epochs=epochs, batch_size=64, verbose=0)
    model.save(path, include_optimizer=False)


def main(
    folder: Path, per_class: int = 2000, epochs: int = 3, shots: int = 10, tests: int | None = 100
) -> None:
    """Makes everything.

    Args:
        folder: Folder to write to.
        per_class: Examples of each of the digits 0 to 4.
        epochs: Passes over them.
        shots: Training examples of each of the digits 5 to 9.
        tests: Number of test examples of each class; None for all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "train.tfrecord.gz", *read(MNIST / "train.tfrecord.gz", range(5, 10), shots))
    write(folder / "test.tfrecord.gz", *read(MNIST / "test.tfrecord.gz", range(5, 10), tests))
    pretrain(folder / "digits-0-4.h5", per_class, epochs)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else MNIST.parent / "transfer"))
