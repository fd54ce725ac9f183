"""Checks what `make demo` left behind, without the product's own code: `python tests/e2e/check_mnist.py`.

Counts right answers of the pushed file on the 10,000 test images with a plain interpreter, holds the
share against the verdict's, and looks at the sizes and zeros that the demo is meant to reach.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

ROOT = Path(".paredown/mnist")


def main() -> int:
    """Prints each check with its figures; returns how many failed."""
    report = json.loads(newest(ROOT / "Selector/report").joinpath("report.json").read_text())
    pushed = max(Path("serving/mnist").iterdir(), key=lambda path: int(path.name)) / "tflite"
    right, count = count_right(pushed)
    verdict = report["candidates"][report["winner"]]["measured"]["accuracy"]["candidate"]
    failed = 0
    failed += check(f"accuracy {right}/{count} equals the verdict's {verdict}", right / count == verdict)
    good = [name for name, entry in report["candidates"].items() if is_small(entry["measured"])]
    failed += check(f"int8 ≤ 0.27 × bytes, within 0.5 points: {good}", bool(good))
    pruned = report["candidates"]["pruned-qat-int8"]["measured"]
    size = pruned["size"]
    ratio = size["candidate"]["gzip"] / size["baseline"]["gzip"]
    failed += check(f"gzip of pruned-qat-int8 is {ratio:.4f} × the baseline's", ratio <= 0.12)
    (node,) = ROOT.glob("prune-*-qat-convert-int8-??????/model")
    zeros = zero_shares(newest(node) / "Format-Serving/tflite")
    close = [abs(share - 0.8) <= 0.005 for share in zeros.values()]
    failed += check(f"zeros in its kernels: {zeros}", len(close) == 4 and all(close))
    passed = [name for name, entry in report["candidates"].items() if entry["blessed"]]
    failed += check(f"passed: {passed}", 2 <= len(passed) < len(report["candidates"]))
    return failed


def check(text: str, holds: bool) -> int:
    print("ok    " if holds else "FAILED", text)
    return not holds


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


def is_small(measured: dict[str, Any]) -> bool:
    size, accuracy = measured["size"], measured["accuracy"]
    return (
        measured["steps"][-1]["quantization"] == "int8"
        and size["candidate"]["file"] <= 0.27 * size["baseline"]["file"]
        and accuracy["baseline"] - accuracy["candidate"] <= 0.005
    )


def count_right(path: Path) -> tuple[int, int]:
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = image["quantization"]
    right = count = 0
    for record in tf.data.TFRecordDataset("data/mnist/test.tfrecord.gz", "GZIP").as_numpy_iterator():
        features = tf.train.Example.FromString(record).features.feature
        pixels = np.array(features["image"].int64_list.value).reshape(1, 28, 28, 1)
        quantized = np.clip(np.round(pixels / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(image["index"], quantized)
        interpreter.invoke()
        predicted = np.argmax(interpreter.get_tensor(output["index"])[0])
        right += int(predicted == features["label"].int64_list.value[0])
        count += 1
    return right, count


def zero_shares(path: Path) -> dict[str, float]:
    """Share of zeros in each int8 constant of at least 100 weights, by tensor name."""
    interpreter = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    shares = {}
    written = {int(index) for op in interpreter._get_ops_details() for index in op["outputs"]}
    inputs = {detail["index"] for detail in interpreter.get_input_details()}
    for detail in interpreter.get_tensor_details():
        constant = detail["index"] not in written | inputs
        if constant and detail["dtype"] == np.int8 and np.prod(detail["shape"]) >= 100:
            shares[detail["name"]] = round(float(np.mean(interpreter.get_tensor(detail["index"]) == 0)), 4)
    return shares


if __name__ == "__main__":
    sys.exit(main())
