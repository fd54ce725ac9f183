"""Runs whose data need more than reading: a preprocessing_fn, and anomalies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.e2e.project import Project, make_project
from tests.e2e.test_local_run import eval_examples

pytestmark = pytest.mark.e2e

PREPROCESSING = '''

def preprocessing_fn(inputs):
    """Pixels as shares of white."""
    import tensorflow as tf

    return {"image": tf.cast(inputs["image"], tf.float32) / 255.0, "label": inputs["label"]}
'''


@pytest.mark.soak  # test_taxi.py has a run with Transform
def test_transformed_examples_are_what_training_and_the_gate_read(tmp_path: Path) -> None:
    project = make_project(tmp_path, train=1500, test=300)
    with open(project.root / "model.py", "a", encoding="utf-8") as file:
        file.write(PREPROCESSING)
    result = project.run("--only", "int8", "--set", "candidates.int8.0.convert.io=float32")
    assert result["nodes"]["Transform"]["state"] == "ran"
    images, labels = eval_examples(project)
    interpreter = Interpreter(model_path=str(Path(result["pushed"]) / "tflite"))
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert image["dtype"] == np.float32
    right = 0
    for pixels, label in zip(images, labels, strict=True):
        scaled = (pixels / np.float32(255)).astype(np.float32).reshape(image["shape"])
        interpreter.set_tensor(image["index"], scaled)
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(output["index"])[0]) == label)
    measured = result["candidates"]["int8"]["measured"]["accuracy"]
    assert measured["candidate"] == float(f"{right / len(labels):.7g}")
    assert measured["candidate"] > 0.5
    assert project.would_run() == {node for node in project.states() if node not in result["nodes"]} | {
        "Selector",
        "Pusher",
    }


def rewrite(project: Project, split: str, change: object) -> None:
    """Replaces every example of a split by what `change` makes of it."""
    path = str(project.root / f"data/{split}.tfrecord.gz")
    records = list(tf.data.TFRecordDataset(path, compression_type="GZIP").as_numpy_iterator())
    with tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
        for index, record in enumerate(records):
            example = tf.train.Example.FromString(record)
            change(index, example)  # type: ignore[operator]
            writer.write(example.SerializeToString())


def test_every_mistake_in_the_data_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    project = make_project(tmp_path, train=300, test=150)

    def damage_train(index: int, example: tf.train.Example) -> None:
        features = example.features.feature
        features["camera"].int64_list.value.append(7)
        features["weight"].float_list.value.append(float("nan") if index < 3 else 1.0 + index % 5)
        if features["label"].int64_list.value[0] == 4:  # train has no fours, then
            features["label"].int64_list.value[0] = 9

    def damage_eval(index: int, example: tf.train.Example) -> None:
        features = example.features.feature
        features["camera"].int64_list.value.append(7)
        features["weight"].float_list.value.append(1.0 + index % 5)
        image = features["image"].int64_list.value
        image[:] = [255 - pixel for pixel in image]

    rewrite(project, "train", damage_train)
    rewrite(project, "test", damage_eval)
    outcome = project.paredown("run", "pipeline.yaml", "--only", "int8")
    assert outcome.code == 3
    reported = outcome.err[outcome.err.index("Node AnomalyGate failed: ") :].splitlines()
    found = [line.removeprefix("Node AnomalyGate failed: DataAnomalyError: ") for line in reported]
    found = [line.split(": ")[:2] for line in found if "; to allow it, write" in line]
    assert found == [
        ["feature 'camera' of split 'train'", "constant"],
        ["feature 'image' of split 'eval'", "skew"],
        ["feature 'label' of split 'eval'", "unseen"],
        ["feature 'weight' of split 'train'", "nan"],
    ]
    assert "3 of 300 values are not numbers (NaN)" in outcome.err
    assert "classes that train does not have: 4" in outcome.err
    assert "Trainer" not in outcome.err
    assert not (project.root / "serving").exists()
    for begin in ("Traceback: ", "Report: "):
        (saved,) = [line for line in outcome.err.splitlines() if line.startswith(begin)]
        assert "3 of 300 values are not numbers" in Path(saved.removeprefix(begin)).read_text(
            encoding="utf-8"
        )
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"], newest["failed"]) == ("failed", 3, 1)
    assert newest["failed_node"] == "AnomalyGate" and newest["reason"].startswith("DataAnomalyError: ")
    (report,) = (project.root / ".paredown/small/reports").glob("*.html")
    page = report.read_text(encoding="utf-8")
    assert "3 of 300 values are not numbers" in page and "classes that train does not have: 4" in page


@pytest.mark.soak  # tests/pipeline/kubeflow/test_parity.py compares tasks, one after the other, with a run side by side
def test_a_run_one_node_after_the_other_gives_the_same_files_and_verdicts_as_one_side_by_side(
    finished: tuple[Project, dict[str, Any]], tmp_path: Path
) -> None:
    project, first = finished
    other = make_project(tmp_path, train=3000, test=600)
    second = other.run("--set", "run.parallel=1")
    assert set(second["candidates"]) == set(first["candidates"])
    for name, verdict in second["candidates"].items():
        expected = first["candidates"][name]
        assert verdict["blessed"] == expected["blessed"], name
        assert verdict["measured"]["accuracy"] == expected["measured"]["accuracy"], name
        assert verdict["measured"]["size"] == expected["measured"]["size"], name
        assert verdict["measured"].get("sparsity") == expected["measured"].get("sparsity"), name
    nodes = other.paredown("plan", "pipeline.yaml", "--json").json()["nodes"]
    models = [node["id"] for node in nodes if node["component"].endswith(".TFLiteConverter")]
    files = {node: [file(one, node) for one in (project, other)] for node in models}
    assert len(files) == 1 + len(second["candidates"])
    for node, (one, two) in files.items():
        assert one.read_bytes() == two.read_bytes(), node
    assert second["winner"] == first["winner"]


def file(project: Project, node: str) -> Path:
    """The TFLite file that a node's first run made."""
    folders = (project.root / ".paredown/small" / node / "model").iterdir()
    return min(folders, key=lambda path: int(path.name)) / "Format-Serving/tflite"
