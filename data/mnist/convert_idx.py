"""Convert the four MNIST IDX files to gzipped TFRecord files of tf.train.Example.

    python data/mnist/convert_idx.py --idx-dir DIR [--out-dir DIR]

`--idx-dir` holds the files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
`t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte`, each plain or gzipped (`.gz`).

Every record has two features: `image`, an int64 list of 784 pixel values from 0 to 255 in
row-major order, and `label`, one int64 from 0 to 9. Records keep the order of the IDX files.
The output depends on nothing but the input and TensorFlow's zlib: features are serialised in a
fixed order, and the gzip header carries neither a time nor a name.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

# split -> (prefix of the IDX files, number of records)
SPLITS = {"train": ("train", 60_000), "test": ("t10k", 10_000)}
ROWS = COLUMNS = 28
CLASSES = 10
IDX_UBYTE = 0x08  # the element type in the third byte of the magic number


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read an IDX file of unsigned bytes that must have exactly this shape."""
    packed = path.with_name(path.name + ".gz")
    if path.exists():
        data = path.read_bytes()
    elif packed.exists():
        data = gzip.decompress(packed.read_bytes())
    else:
        raise FileNotFoundError(f"neither {path} nor {packed} exists")

    magic = bytes((0, 0, IDX_UBYTE, len(shape)))
    if data[:4] != magic:
        raise ValueError(f"{path}: magic number {data[:4].hex()}, expected {magic.hex()}")
    header = 4 + 4 * len(shape)
    found = tuple(int(n) for n in np.frombuffer(data[4:header], ">u4"))
    if found != shape:
        raise ValueError(f"{path}: shape {found}, expected {shape}")
    if len(data) != header + np.prod(shape):
        raise ValueError(f"{path}: {len(data)} bytes, expected {header + np.prod(shape)}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def make_example(image: np.ndarray, label: int) -> bytes:
    example = tf.train.Example()
    example.features.feature["image"].int64_list.value.extend(image.ravel().tolist())
    example.features.feature["label"].int64_list.value.append(label)
    return example.SerializeToString(deterministic=True)


def convert(idx_dir: Path, out_dir: Path) -> None:
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=9)
    for split, (prefix, count) in SPLITS.items():
        images = read_idx(idx_dir / f"{prefix}-images-idx3-ubyte", (count, ROWS, COLUMNS))
        labels = read_idx(idx_dir / f"{prefix}-labels-idx1-ubyte", (count,))
        if labels.max() >= CLASSES:
            raise ValueError(f"{split}: label {labels.max()} is out of range")

        path = out_dir / f"{split}.tfrecord.gz"
        with tf.io.TFRecordWriter(str(path), options) as writer:
            for image, label in zip(images, labels.tolist(), strict=True):
                writer.write(make_example(image, label))

        per_class = np.bincount(labels, minlength=CLASSES).tolist()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{path}: {count} records, per class {per_class}, sha256 {digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert the MNIST IDX files to gzipped TFRecord files.")
    parser.add_argument("--idx-dir", type=Path, required=True, help="folder with the four IDX files")
    parser.add_argument(
        "--out-dir",
        type=Path,
        default=Path(__file__).resolve().parent,
        help="where to write train.tfrecord.gz and test.tfrecord.gz (default: beside this file)",
    )
    args = parser.parse_args()
    convert(args.idx_dir, args.out_dir)


if __name__ == "__main__":
    main()
