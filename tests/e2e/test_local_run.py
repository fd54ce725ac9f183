"""One real run by LocalDagRunner on a few thousand digits, and what can be asked of it afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from tests.e2e.project import Project

pytestmark = pytest.mark.e2e


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
