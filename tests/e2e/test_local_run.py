"""One real run by LocalDagRunner on a few thousand digits, and what can be asked of it afterwards."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.e2e.project import Project

pytestmark = pytest.mark.e2e

DATA = {"ImportExampleGen", "StatisticsGen", "SchemaGen", "ExampleValidator", "AnomalyGate"}
END = {"Selector", "Pusher"}


def eval_examples(project: Project) -> tuple[np.ndarray, np.ndarray]:
    """The test digits, read without any code of the product."""
    import tensorflow as tf

    images, labels = [], []
    source = str(project.root / "data/test.tfrecord.gz")
    for record in tf.data.TFRecordDataset(source, compression_type="GZIP").as_numpy_iterator():
        example = tf.train.Example.FromString(record).features.feature
        images.append(example["image"].int64_list.value)
        labels.append(example["label"].int64_list.value[0])
    return np.array(images), np.array(labels)


def count_right(path: Path, images: np.ndarray, labels: np.ndarray) -> int:
    """Runs a file with int8 input on every image by a plain loop."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = image["quantization"]
    right = 0
    for pixels, label in zip(images, labels, strict=True):
        quantized = np.clip(np.round(pixels / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(image["index"], quantized.reshape(image["shape"]))
        interpreter.invoke()
        right += int(np.argmax(interpreter.get_tensor(output["index"])[0]) == label)
    return right


def test_first_run_judges_every_candidate_and_pushes_the_best(
    finished: tuple[Project, dict[str, Any]],
) -> None:
    project, result = finished
    assert set(result["candidates"]) == {"int8", "pruned-qat", "pcqat", "pruned", "student"}
    assert {entry["state"] for entry in result["nodes"].values()} == {"ran"}
    passed = {name for name, verdict in result["candidates"].items() if verdict["blessed"]}
    assert {"int8", "pruned-qat", "pcqat"} <= passed
    assert "pruned" not in passed  # float32: as large as the baseline
    assert "size is" in result["candidates"]["pruned"]["reasons"][0]
    sizes = {name: v["measured"]["size"]["candidate"]["gzip"] for name, v in result["candidates"].items()}
    assert result["winner"] == min(passed, key=lambda name: sizes[name])
    pushed = Path(result["pushed"])
    assert pushed.parent == project.root / "serving"
    assert [path.name for path in pushed.iterdir()] == ["tflite"]
    assert (pushed / "tflite").stat().st_size == (
        result["candidates"][result["winner"]]["measured"]["size"]["candidate"]["file"]
    )


def test_training_nodes_are_the_distinct_prefixes(finished: tuple[Project, dict[str, Any]]) -> None:
    project, _ = finished
    nodes = project.paredown("plan", "pipeline.yaml", "--json").json()["nodes"]
    trained = [node for node in nodes if node["trains"]]
    assert len(trained) == 6  # baseline, prune, prune-qat, prune-cluster, prune-cluster-qat, distill
    (shared,) = [
        node for node in trained if sorted(node["candidates"]) == ["pcqat", "pruned", "pruned-qat"]
    ]
    assert shared["component"] == "components.pruner.component.Pruner"


def test_accuracy_equals_a_plain_count_to_the_last_digit(
    finished: tuple[Project, dict[str, Any]],
) -> None:
    project, result = finished
    images, labels = eval_examples(project)
    files = {
        properties["technique"]: path
        for path, properties in models(project).items()
        if "technique" in properties
    }
    for name, technique in (("int8", "convert"), ("pruned-qat", "prune-qat-convert")):
        expected = count_right(files[technique] / "Format-Serving/tflite", images, labels) / len(labels)
        measured = result["candidates"][name]["measured"]["accuracy"]
        assert measured["candidate"] == float(f"{expected:.7g}")
        assert measured["examples"] == len(labels)
        slices = {entry["slice"]: entry["examples"] for entry in measured["slices"]}
        assert slices == {f"label={d}": int((labels == d).sum()) for d in range(10)}


def artifacts(project: Project, kind: str) -> dict[Path, dict[str, Any]]:
    """Folder of each artifact of a type → its custom properties, from ML Metadata."""
    from ml_metadata.metadata_store import metadata_store
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(project.root / ".paredown/small/metadata.sqlite")
    store = metadata_store.MetadataStore(config)
    return {
        Path(artifact.uri): {
            name: getattr(value, value.WhichOneof("value"))
            for name, value in artifact.custom_properties.items()
        }
        for artifact in store.get_artifacts_by_type(kind)
    }


def models(project: Project) -> dict[Path, dict[str, Any]]:
    """The models of the candidates."""
    return {
        path: values
        for path, values in artifacts(project, "Model").items()
        # Two are called `convert`; the baseline's is float32.
        if (values.get("quantization"), values.get("technique")) != ("float32", "convert")
    }


# Layer → shape of its kernel in a TFLite file.
KERNELS = {"conv1": (4, 3, 3, 1), "conv2": (8, 3, 3, 4), "dense": (16, 392), "probabilities": (10, 16)}


def constants(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Layer → its kernel as stored and its zero points, read by LiteRT's interpreter alone."""
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    by_shape = {tuple(detail["shape"]): detail for detail in interpreter.get_tensor_details()}
    return {
        layer: (
            interpreter.get_tensor(by_shape[shape]["index"]),
            by_shape[shape]["quantization_parameters"]["zero_points"],
        )
        for layer, shape in KERNELS.items()
    }


def test_invariants_hold_in_the_files(finished: tuple[Project, dict[str, Any]]) -> None:
    project, result = finished
    folders = {
        values.get("technique"): path for path, values in models(project).items() if "bytes" in values
    }
    for name, technique in (
        ("pruned", "prune-convert"),
        ("pruned-qat", "prune-qat-convert"),
        ("pcqat", "prune-cluster-qat-convert"),
    ):
        layers = result["candidates"][name]["measured"]["file"]["layers"]
        assert set(layers) == set(KERNELS)
        for layer, (values, zero) in constants(folders[technique] / "Format-Serving/tflite").items():
            assert set(zero) <= {0}
            sparsity = float(np.mean(values == 0))
            assert sparsity == pytest.approx(0.5, abs=max(0.01, 1 / values.size)), layer
            assert layers[layer]["sparsity"] == pytest.approx(sparsity, abs=1e-6)
            assert layers[layer]["unique"] == np.unique(values).size
            assert layers[layer]["dtype"] == values.dtype.name
            if name == "pcqat":
                assert np.unique(values).size <= 16, layer


def test_invariants_are_in_ml_metadata_after_every_step(finished: tuple[Project, dict[str, Any]]) -> None:
    project, _ = finished
    by_technique = {values.get("technique"): values for values in models(project).values()}
    for technique in ("prune-cluster", "prune-cluster-qat", "prune-cluster-qat-convert"):
        facts = by_technique[technique]
        assert facts["least_layer_sparsity"] >= 0.495
        assert facts["most_layer_clusters"] <= 16
        layers = json.loads(facts["layers"])
        assert set(layers) == set(KERNELS)
        assert max(layer["unique"] for layer in layers.values()) == facts["most_layer_clusters"]
    file = by_technique["prune-cluster-qat-convert"]
    assert (file["inputs"], file["outputs"]) == ('{"image": "int8"}', '{"probabilities": "int8"}')
    assert json.loads(file["operators"])["FULLY_CONNECTED"] == 2
    assert file["runs_on_litert"] == 1
    assert 0 < file["mean_error"] < file["max_error"] < 0.3
    assert by_technique["prune"]["trained_steps"] == 94


def test_learning_curves_are_in_the_artifacts(finished: tuple[Project, dict[str, Any]]) -> None:
    project, _ = finished
    trained = {path for path, values in models(project).items() if "trained_epochs" in values}
    assert len(trained) == 5
    for path in trained:
        splits = {file.parent.name for file in path.glob("logs/**/events.out.tfevents.*")}
        assert splits == {"train", "validation"}, path


def test_facts_are_custom_properties_in_ml_metadata(
    finished: tuple[Project, dict[str, Any]],
) -> None:
    project, result = finished
    by_technique = {values.get("technique"): values for values in models(project).values()}
    assert (
        by_technique["prune-qat-convert"]["bytes"]
        == (result["candidates"]["pruned-qat"]["measured"]["size"]["candidate"]["file"])
    )
    assert by_technique["prune"]["least_layer_sparsity"] >= 0.495
    assert by_technique["distill"]["parameters"] < 5000

    evaluations = artifacts(project, "ModelEvaluation")
    # ML Metadata keeps six decimals of a double.
    expected = sorted(
        (
            int(v["blessed"]),
            round(v["measured"]["accuracy"]["candidate"], 6),
            round(v["measured"]["latency"]["ratio"], 6),
        )
        for v in result["candidates"].values()
    )
    got = sorted((e["blessed"], e["accuracy"], e["latency_ratio"]) for e in evaluations.values())
    assert got == expected
    (report,) = artifacts(project, "components.OptimizationReport").values()
    assert report["winner"] == result["winner"]
    passed = sum(verdict["blessed"] for verdict in result["candidates"].values())
    assert (report["candidates"], report["passed"]) == (5, passed)
    blessings = [entry["blessed"] for entry in artifacts(project, "ModelBlessing").values()]
    assert sum(blessings) == passed + 1  # of five candidates, and the selection's own
    assert len(blessings) == 6


def test_tfma_reads_its_own_result_files(finished: tuple[Project, dict[str, Any]]) -> None:
    import tensorflow_model_analysis as tfma

    project, result = finished
    folders = list(project.root.glob(".paredown/small/*-measure/measurement/*"))
    assert len(folders) == 5
    read = set()
    for folder in folders:
        measurement = json.loads((folder / "measurement.json").read_text(encoding="utf-8"))
        metrics = tfma.load_eval_result(str(folder), model_name="candidate").get_metrics_for_slice()
        value = metrics["SparseCategoricalAccuracy"]["doubleValue"]
        ((whole, *_),) = (metric["values"] for metric in measurement["metrics"])
        assert whole["slice"] == [] and value == pytest.approx(whole["candidate"], abs=1e-6)
        read.add(round(value, 6))
    expected = {round(v["measured"]["accuracy"]["candidate"], 6) for v in result["candidates"].values()}
    assert read == expected


def test_what_is_done_is_not_done_again(
    finished: tuple[Project, dict[str, Any]], untouched: Project
) -> None:
    """A rerun, one after the pushed version was emptied, another winner, back to the first, a measurement again."""
    project, first = untouched, finished[1]
    assert project.would_run() == set()
    again = project.run()
    assert {entry["state"] for entry in again["nodes"].values()} == {"cached"}
    assert (again["pushed"], again["pushed_now"]) == (first["pushed"], False)
    assert again["winner"] == first["winner"]
    assert len(list((project.root / "serving").iterdir())) == 1
    compared = project.paredown("diff", first["run"], again["run"], "--json").json()["sections"]
    for name in ("config", "environment", "data", "seeds", "nodes", "metrics"):
        assert compared[name]["state"] == "equal", compared

    (Path(first["pushed"]) / "tflite").unlink()
    assert project.would_run() == {"Pusher"}
    refilled = project.run()
    assert refilled["pushed_now"] and ran(refilled) == {"Pusher"}
    assert (Path(refilled["pushed"]) / "tflite").stat().st_size > 1000
    Path(first["pushed"]).rmdir()
    assert project.would_run() == set()

    other = project.run("--only", "int8", "--set", "select={maximize: accuracy}")
    assert other["winner"] == "int8" and (other["pushed_now"] or first["winner"] == "int8")
    back = project.run()
    assert back["winner"] == first["winner"]
    newest = max(int(path.name) for path in (project.root / "serving").iterdir())
    assert Path(back["pushed"]).name == str(newest)
    assert ran(back) <= {"Pusher"}

    again = project.run("--remeasure", "int8")
    (measured,) = [node for node in again["nodes"] if re.fullmatch(r"convert-int8-\w+-measure", node)]
    judged = measured.replace("-measure", "-evaluate")
    # The winner, its files and what is pushed may be the same.
    assert {measured, judged, "Selector"} <= ran(again) <= {measured, judged, *END}
    before, after = (found["candidates"]["int8"]["measured"] for found in (first, again))
    assert before["accuracy"] == after["accuracy"] and before["latency"] != after["latency"]
    assert project.would_run() == set()


def ran(result: dict[str, Any]) -> set[str]:
    return {node for node, entry in result["nodes"].items() if entry["state"] == "ran"}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        pytest.param(
            ("components/distiller/executor.py", "import tf_keras\n", "import tf_keras\n\nEDITED = True\n"),
            {"distill"},
            id="a component's code",
        ),
        pytest.param(
            ("components/selector/executor.py", "import json\n", "import json\n\nEDITED = True\n"),
            set(),
            id="the selector's code",
        ),
        pytest.param(
            ("pipeline.yaml", "quantization: dynamic", "quantization: float16"),
            {"convert-float16"},
            id="a parameter of one candidate",
        ),
        pytest.param(
            ("model.py", "import tf_keras\n", "import tf_keras\n\nEDITED = True\n"),
            {"Trainer", "convert", "prune", "qat", "distill"},
            id="the model module",
        ),
    ],
)
def test_plan_names_what_an_edit_reruns(
    untouched: Project, edit: tuple[str, str, str], expected: set[str]
) -> None:
    untouched.edit(*edit)
    would_run = untouched.cold().would_run()
    assert not would_run & DATA
    assert would_run >= END
    for node in would_run - END:
        assert any(part in node for part in expected), node
    for part in expected:
        assert any(part in node for node in would_run), part


def test_comments_docstrings_and_layout_rerun_nothing(untouched: Project) -> None:
    untouched.edit("components/distiller/executor.py", '"""Knowledge distillation."""', '"""Distills."""')
    untouched.edit("components/common/training/fitting.py", "import math\n", "import math  # edited\n")
    untouched.edit("model.py", "layers.Dense(10,", "layers.Dense(10, ")
    assert untouched.cold().would_run() == set()  # by the edited copy of the program


def test_plan_names_what_changed_data_rerun(untouched: Project) -> None:
    path = untouched.root / "data/train.tfrecord.gz"
    os.utime(path, (time.time() + 60, time.time() + 60))
    assert untouched.would_run() == set(untouched.states())


def test_a_model_edit_reruns_the_trainer_and_what_follows(untouched: Project) -> None:
    untouched.edit("model.py", "import tf_keras\n", "import tf_keras\n\nEDITED = True\n")
    expected = untouched.would_run()
    result = untouched.run("--only", "int8")
    assert ran(result) == expected & set(result["nodes"])
    assert not ran(result) & DATA
    assert "Trainer" in ran(result)


def test_a_node_that_fails_fails_its_candidates_and_the_rest_is_what_plan_said(untouched: Project) -> None:
    """Edits of options and of code, one of which fails: real runs in new processes."""
    project, only = untouched.cold(), ("--only", "pruned-qat", "--only", "student")
    project.edit("pipeline.yaml", "sparsity: 0.5, epochs: 2", "sparsity: 0.6, epochs: 1")
    project.edit(
        "components/distiller/executor.py",
        "    options = job.options\n",
        '    options = job.options\n    raise RuntimeError("the student is ill")\n',
    )
    expected = would_run(project, *only)
    assert not expected & {*DATA, "Trainer"}
    assert not any(node.startswith("convert") for node in expected)
    result = project.run(*only, code=6)
    states = {node: entry["state"] for node, entry in result["nodes"].items()}
    (distilled,) = [node for node, state in states.items() if state == "failed"]
    skipped = {node for node, state in states.items() if state == "skipped"}
    assert skipped and all(node.startswith(distilled) for node in skipped)
    assert {distilled} | skipped | ran(result) == expected
    assert any(node.startswith("prune") for node in ran(result))
    for layer in result["candidates"]["pruned-qat"]["measured"]["file"]["layers"].values():
        assert layer["sparsity"] == pytest.approx(0.6, abs=0.03)
    assert states["Selector"] == states["Pusher"] == "ran"
    assert result["winner"] == "pruned-qat" and Path(result["pushed"], "tflite").is_file()
    reason = f"node {distilled} failed: RuntimeError: the student is ill"
    (failure,) = result["candidates"]["student"]["failures"]
    assert (failure["kind"], failure["node"], failure["reason"]) == ("node_failed", distilled, reason)
    assert "the student is ill" in Path(failure["traceback"]).read_text(encoding="utf-8")
    page = Path(result["report"]).read_text(encoding="utf-8")
    assert reason in page and f"End of the traceback of {distilled}" in page
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"], newest["failed"]) == ("pushed", 6, 1)
    assert [(one["node"], one["candidates"]) for one in newest["failures"]] == [(distilled, ["student"])]

    # If no candidate is left, the run ends.
    before = sorted(path.name for path in (project.root / "serving").iterdir())
    outcome = project.paredown("run", "pipeline.yaml", "--only", "student")
    assert outcome.code == 3
    assert "Node distill" in outcome.err
    assert "RuntimeError: the student is ill" in outcome.err
    for begin in ("Traceback: ", "Report: "):
        (saved,) = [line for line in outcome.err.splitlines() if line.startswith(begin)]
        assert "the student is ill" in Path(saved.removeprefix(begin)).read_text(encoding="utf-8")
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"], newest["failed"]) == ("failed", 3, 1)
    assert newest["failed_node"].startswith("distill")
    assert newest["reason"] == "RuntimeError: the student is ill"
    assert sorted(path.name for path in (project.root / "serving").iterdir()) == before

    # After the fix, only what failed and what follows from it is left.
    project.edit(
        "components/distiller/executor.py",
        '    raise RuntimeError("the student is ill")\n',
        "    assert options.temperature > 0\n",
    )
    assert would_run(project, *only) - {"Selector", "Pusher"} == {distilled, *skipped}


def would_run(project: Project, *only: str) -> set[str]:
    nodes = project.paredown("plan", "pipeline.yaml", "--json", *only).json()["nodes"]
    return {node["id"] for node in nodes if not node["cached"]}


def test_interrupted_run_ends_cleanly_and_is_resumed(untouched: Project) -> None:
    project = untouched
    project.edit("pipeline.yaml", "distill: {epochs: 1,", "distill: {epochs: 4000,")
    before = sorted(path.name for path in (project.root / "serving").iterdir())
    run = project.start("run", "pipeline.yaml", "--only", "student")
    run.wait_for("epoch 2/4000")
    somebody_elses = project.root / "serving/9999999999/tflite"
    somebody_elses.parent.mkdir()
    somebody_elses.write_bytes(b"not this run's")
    second = project.paredown("run", "pipeline.yaml", "--only", "student")
    assert second.code == 2
    assert "Another run is using" in second.err
    assert project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]["status"] == "running"
    os.kill(run.pid, signal.SIGINT)
    outcome = run.outcome()
    assert outcome.code == 130, outcome.err
    assert "Interrupted. Nothing was pushed" in outcome.err
    assert somebody_elses.read_bytes() == b"not this run's"
    shutil.rmtree(somebody_elses.parent)
    assert sorted(path.name for path in (project.root / "serving").iterdir()) == before
    leftovers = [
        path
        for path in project.root.glob(".paredown/small/distill*/model/*")
        if not (path / "optimization.json").exists()
    ]
    assert leftovers == []
    newest = project.paredown("runs", "--json", "--limit", "1").json()["runs"][0]
    assert (newest["status"], newest["exit_code"]) == ("interrupted", 130)
    states = project.states()
    assert states["Trainer"]
    assert not any(cached for node, cached in states.items() if node.startswith("distill"))
