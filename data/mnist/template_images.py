"""Writes the images that `paredown init` puts into new projects: some of the test digits as PNG files.

python data/mnist/template_images.py pipeline/templates/image/data.zip
"""

import io
import os
import sys
import zipfile
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np
import tensorflow as tf
from PIL import Image

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
EACH = 48
SOURCE = Path(__file__).parent / "test.tfrecord.gz"


def main(target: str) -> None:
    """Writes the archive: <class>/<number>.png, the same bytes each time."""
    found: dict[int, list[np.ndarray]] = {label: [] for label in range(10)}
    for record in tf.data.TFRecordDataset(str(SOURCE), "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        images = found[features["label"].int64_list.value[0]]
        if len(images) < EACH:
            images.append(np.array(features["image"].int64_list.value, np.uint8).reshape(28, 28))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for label, images in found.items():
            for number, pixels in enumerate(images):
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG", optimize=True)
                entry = zipfile.ZipInfo(f"{NAMES[label]}/{number:02}.png", (2026, 1, 1, 0, 0, 0))
                archive.writestr(entry, png.getvalue())
    print(f"{target}: {10 * EACH} images, {Path(target).stat().st_size:,} bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
