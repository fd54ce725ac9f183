"""A run of a model with several inputs and several outputs, up to the pushed file's predictions."""

from __future__ import annotations

import json
import textwrap
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from tests.components.common.serving.process import serving
from tests.components.targets.web.browsing import opened, served
from tests.e2e.project import Project, make_project
from tests.servers import web

pytestmark = pytest.mark.e2e

CONFIG = """
name: kinds
data: {path: data, label: {side: bigger, gap: difference}}
model: {module: model, train: {epochs: 12, batch_size: 32, learning_rate: 0.01}}
candidates:
  int8:
    - convert: {quantization: int8, io: int8, calibration_examples: 200}
  half:
    - convert: {quantization: float16}
gate:
  accuracy:
    - {output: side, metric: SparseCategoricalAccuracy, min: 0.8, max_drop: 0.1}
    - {output: gap, metric: MeanAbsoluteError, max: 0.5, slices: [{by: bigger, max: 0.6}]}
  latency: {repetitions: 20, warmup: 2}
select: {maximize: accuracy, of: gap}
push: {directory: serving}
run: {seed: 7}
"""

# Neither inputs nor outputs are in alphabetical order; `right` is ten times as large as `left`.
MODEL = """
import tf_keras

L = tf_keras.layers


def build_model(hparams):
    right, mode, left = L.Input((4,), name="right"), L.Input((1,), name="mode"), L.Input((4,), name="left")
    both = L.Concatenate(name="both")(
        [
            L.Dense(8, activation="relu", name="of_right")(right),
            L.Dense(8, activation="relu", name="of_left")(left),
            L.Dense(2, activation="relu", name="of_mode")(mode),
        ]
    )
    hidden = L.Dense(16, activation="relu", name="hidden")(both)
    side = L.Dense(2, activation="softmax", name="side")(hidden)
    gap = L.Dense(1, name="gap")(hidden)
    model = tf_keras.Model([right, mode, left], [side, gap])
    model.compile(
        tf_keras.optimizers.Adam(0.01),
        loss={"gap": "mae", "side": "sparse_categorical_crossentropy"},
        metrics={"side": ["accuracy"]},
    )
    return model
"""


def rows(count: int, seed: int) -> dict[str, np.ndarray]:
    """`difference` is the mean of `left` without that of `right` / 10, of the other sign in mode 1."""
    random = np.random.default_rng(seed)
    left = random.uniform(0, 1, (count, 4)).astype(np.float32)
    right = random.uniform(0, 10, (count, 4)).astype(np.float32)
    mode = random.integers(0, 2, count)
    difference = (4 * (left.mean(1) - right.mean(1) / 10) * (1 - 2 * mode)).astype(np.float32)
    return {
        "left": left,
        "right": right,
        "mode": mode,
        "difference": difference,
        "bigger": (difference > 0).astype(np.int64),
    }


def write(path: Path, columns: dict[str, np.ndarray]) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index in range(len(columns["mode"])):
            example = tf.train.Example()
            for name, values in columns.items():
                feature = example.features.feature[name]
                kind = feature.float_list if values.dtype.kind == "f" else feature.int64_list
                kind.value.extend(np.atleast_1d(values[index]).tolist())
            writer.write(example.SerializeToString())


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, dict[str, Any]]:
    root = tmp_path_factory.mktemp("kinds") / "project"
    project = make_project(root, train=1, test=1)
    for file in (root / "data").iterdir():
        file.unlink()
    (root / "model.py").write_text(MODEL, encoding="utf-8")
    (root / "pipeline.yaml").write_text(textwrap.dedent(CONFIG), encoding="utf-8")
    write(root / "data/train.tfrecord", rows(1500, 1))
    write(root / "data/eval.tfrecord", rows(300, 2))
    return project, project.run()


@pytest.fixture
def untouched(done: tuple[Project, dict[str, Any]]) -> Iterator[Project]:
    """The project, for a test that changes it."""
    with done[0].restored() as project:
        yield project


def predicted(path: Path, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Output → what LiteRT gives for each row, fed by the names in the file's signature."""
    runner = Interpreter(str(path)).get_signature_runner("serving_default")
    found: dict[str, list[np.ndarray]] = {}
    for index in range(len(columns["mode"])):
        given = {}
        for name, detail in runner.get_input_details().items():
            value = np.reshape(columns[name][index], detail["shape"]).astype(np.float32)
            scale, zero_point = detail["quantization"]
            if scale:
                value = np.clip(np.round(value / scale) + zero_point, -128, 127)
            given[name] = value.astype(detail["dtype"])
        for name, value in runner(**given).items():
            scale, zero_point = runner.get_output_details()[name]["quantization"]
            found.setdefault(name, []).append(
                (value[0] - np.float32(zero_point)) * scale if scale else value[0]
            )
    return {name: np.stack(values).astype(np.float64) for name, values in found.items()}


def artifact(project: Project, node: str) -> Path:
    (folder,) = (project.root / ".paredown/kinds" / node / "model").iterdir()
    return folder


def test_both_candidates_pass_and_the_named_metric_decides(done: tuple[Project, dict[str, Any]]) -> None:
    _, result = done
    measured = {name: found["measured"]["accuracies"] for name, found in result["candidates"].items()}
    assert {name: [entry["figure"] for entry in entries] for name, entries in measured.items()} == {
        name: ["SparseCategoricalAccuracy of side", "MeanAbsoluteError of gap"] for name in ("int8", "half")
    }
    assert all(found["blessed"] for found in result["candidates"].values())
    errors = {name: entries[1]["candidate"] for name, entries in measured.items()}
    assert result["winner"] == min(errors, key=errors.__getitem__)


def test_what_the_gate_measured_is_what_plain_litert_predicts(done: tuple[Project, dict[str, Any]]) -> None:
    project, result = done
    columns = rows(300, 2)
    for name, begin in (("int8", "convert-int8"), ("half", "convert-float16")):
        (node,) = (
            n.removesuffix("-evaluate")
            for n in result["nodes"]
            if n.startswith(begin) and n.endswith("-evaluate")
        )
        outputs = predicted(artifact(project, node) / "Format-Serving/tflite", columns)
        assert sorted(outputs) == ["gap", "side"]
        side, gap = result["candidates"][name]["measured"]["accuracies"]
        right = np.argmax(outputs["side"], axis=1) == columns["bigger"]
        assert side["candidate"] == pytest.approx(right.mean(), abs=1e-6)
        errors = np.abs(outputs["gap"][:, 0] - columns["difference"])
        assert gap["candidate"] == pytest.approx(errors.mean(), rel=1e-5)
        for entry in gap["slices"]:
            chosen = columns["bigger"] == int(entry["slice"].removeprefix("bigger="))
            assert entry["examples"] == chosen.sum()
            assert entry["candidate"] == pytest.approx(errors[chosen].mean(), rel=1e-5)


def test_the_pushed_file_predicts_as_the_keras_model_does(done: tuple[Project, dict[str, Any]]) -> None:
    import tf_keras

    project, result = done
    columns = rows(300, 2)
    outputs = predicted(Path(result["pushed"]) / "tflite", columns)
    model = tf_keras.models.load_model(
        artifact(project, "Trainer") / "Format-Keras/model.h5", compile=False
    )
    given = {"right": columns["right"], "mode": columns["mode"][:, None].astype(np.float32)}
    side, gap = model({**given, "left": columns["left"]}, training=False)
    # Quantization changes a little; inputs or outputs taken for one another would change all.
    assert np.abs(outputs["gap"] - gap.numpy()).mean() < 0.25
    assert np.mean(np.argmax(outputs["side"], 1) == np.argmax(side.numpy(), 1)) > 0.9
    swapped = model({**given, "left": columns["right"], "right": columns["left"]}, training=False)
    assert np.abs(outputs["gap"] - swapped[1].numpy()).mean() > 1


def test_table_report_and_lineage_show_each_metric_with_its_output(
    done: tuple[Project, dict[str, Any]],
) -> None:
    project, result = done
    text = project.paredown("run", "pipeline.yaml").out
    assert "side is SparseCategoricalAccuracy, gap is MeanAbsoluteError on 300 examples" in text
    page = project.root / "report.html"
    outcome = project.paredown("report", "latest", "-o", str(page))
    assert outcome.code == 0, outcome.err
    html = page.read_text(encoding="utf-8")
    assert "MeanAbsoluteError of gap ≤ 0.5" in html
    assert "MeanAbsoluteError of gap by slice ≤ 0.6" in html
    assert "best gap" in html
    lineage = project.paredown("lineage", result["pushed"]).out
    assert "SparseCategoricalAccuracy of side, MeanAbsoluteError of gap on 300" in " ".join(lineage.split())


def test_on_a_microcontroller_nothing_trains_again_and_sources_are_pushed(
    done: tuple[Project, dict[str, Any]], untouched: Project
) -> None:
    from tflite_micro.python.tflite_micro import runtime

    project, before = untouched, done[1]
    sets = (
        "target={kind: microcontroller, ram: 8 kB, flash: 16 kB}",
        "push.c_array=true",
        "gate.same_prediction={min: 0.9}",
        "candidates.half.0.convert.quantization=float32",  # TFLite Micro reads no float16
    )
    only = ("--only", "int8", *(part for one in sets for part in ("--set", one)))
    result = project.run(*only)
    ran = {node for node, found in result["nodes"].items() if found["state"] == "ran"}
    (measured,) = (node for node in ran if node.endswith("-measure"))
    model = measured.removesuffix("-measure")
    assert ran == {"convert-float32-predict", measured, f"{model}-evaluate", "Selector", "Pusher"}
    assert model in before["nodes"] and result["winner"] == "int8"
    figures = result["candidates"]["int8"]["measured"]
    pushed = Path(result["pushed"])
    assert {path.name for path in (pushed / "c").iterdir()} == {
        "README.md",
        "example.h",
        "main.cc",
        "model.cc",
        "model.h",
    }
    # One of the eval examples; their first input is the mode, which is 0 or 1.
    text = (pushed / "c/example.h").read_text("utf-8")
    assert text.count("kExampleInput") == 3 and "One eval example" in text
    # By nothing of ours: inputs in the order of the file, with its own scales.
    interpreter = runtime.Interpreter.from_file(str(pushed / "tflite"))
    columns = rows(300, 2)
    litert = Interpreter(str(pushed / "tflite"))
    names = [
        detail["name"].partition("_default_")[2].partition(":")[0] for detail in litert.get_input_details()
    ]
    sides = [index for index, detail in enumerate(litert.get_output_details()) if detail["shape"][-1] == 2]
    right = 0
    for row in range(300):
        for index, name in enumerate(names):
            detail = litert.get_input_details()[index]
            scale, zero_point = detail["quantization"]
            value = (
                np.reshape(columns[name][row], detail["shape"]) / np.float64(np.float32(scale)) + zero_point
            )
            interpreter.set_input(np.clip(np.round(value), -128, 127).astype(np.int8), index)
        interpreter.invoke()
        right += int(interpreter.get_output(sides[0])[0].argmax() == columns["bigger"][row])
    assert figures["accuracies"][0]["candidate"] == pytest.approx(right / 300, abs=1e-7)
    device = figures["device"]
    assert 0.9 <= device["same_prediction"] <= 1 and device["examples"] == 300
    assert sum(device["memory"]["candidate"].values()) <= 8000
    assert device["flash"]["candidate"] == (pushed / "tflite").stat().st_size <= 16_000
    explained = project.paredown("explain", "pipeline.yaml", "--json", *only).json()
    predicted = explained["candidates"]["int8"]["predicted_memory"]
    assert predicted["total"] == pytest.approx(sum(device["memory"]["candidate"].values()), rel=0.05)
    again = project.run(*only)
    assert {found["state"] for found in again["nodes"].values()} == {"cached"}
    lineage = " ".join(project.paredown("lineage", result["pushed"]).out.split())
    assert "on TFLite Micro 0.dev" in lineage
    memory = sum(device["memory"]["candidate"].values())
    assert f"memory {memory / 1000:.1f} kB" in lineage
    events = project.paredown("lineage", result["pushed"], "--format", "openlineage").out
    properties = [
        dataset["facets"]["paredown_artifact"]["properties"]
        for event in map(json.loads, events.splitlines())
        for dataset in event.get("outputs", ())
        if "paredown_artifact" in dataset.get("facets", {})
    ]
    found = [one for one in properties if "memory_bytes" in one]
    assert {(one["memory_bytes"], one["flash_bytes"]) for one in found} == {
        (memory, device["flash"]["candidate"])
    }
    assert found[0]["same_prediction"] == pytest.approx(device["same_prediction"])


def test_on_a_server_candidates_are_served_and_what_is_pushed_gives_the_verdicts_accuracy(
    done: tuple[Project, dict[str, Any]], untouched: Project
) -> None:
    project = untouched
    sets = (
        "target={kind: server, clients: 2, seconds: 0.2}",
        "push.serving={warmup: 2, labels: {}}",
        # What only a broken server misses: no test depends on which file is faster.
        "gate.throughput={min_ratio: 0.001}",
        "gate.p99={max_ratio: 1000}",
    )
    only = ("--only", "int8", *(part for one in sets for part in ("--set", one)))
    result = project.run(*only)
    ran = {node for node, found in result["nodes"].items() if found["state"] == "ran"}
    assert "Trainer" not in ran and result["winner"] == "int8"
    figures = result["candidates"]["int8"]["measured"]
    modes = figures["load"]["modes"]
    assert [(mode["protocol"], mode["batched"]) for mode in modes] == [
        ("REST", False),
        ("gRPC", False),
        ("REST", True),
        ("gRPC", True),
    ]
    assert all(mode["differing"] == 0 < mode["compared"] for mode in modes)

    pushed, columns = Path(result["pushed"]), rows(300, 2)
    side, gap = (entry["candidate"] for entry in figures["accuracies"])

    def right(probabilities: Any) -> float:
        return float((np.argmax(probabilities, axis=1) == columns["bigger"]).mean())

    # By LiteRT, by urllib, and by TensorFlow, which import nothing of ours.
    outputs = predicted(pushed / "tflite", columns)
    assert side == pytest.approx(right(outputs["side"]), abs=1e-7)
    inputs = {name: columns[name].reshape(300, -1).astype(np.float32) for name in ("left", "right", "mode")}
    with serving(pushed.parent) as server:
        body = json.dumps({"inputs": {name: values.tolist() for name, values in inputs.items()}}).encode()
        address = f"http://127.0.0.1:{server.rest}/v1/models/{pushed.parent.name}:predict"
        with urllib.request.urlopen(urllib.request.Request(address, body)) as answer:
            answered = json.load(answer)["outputs"]
    assert side == pytest.approx(right(answered["side"]), abs=1e-7)
    for name, values in outputs.items():
        assert np.array_equal(np.array(answered[name], np.float32), values.astype(np.float32))
    errors = np.abs(np.array(answered["gap"])[:, 0] - columns["difference"])
    assert gap == pytest.approx(errors.mean(), rel=1e-6)
    signature = tf.saved_model.load(str(pushed)).signatures["serving_default"]
    # The SavedModel is the float model, as the baseline.
    made = signature(**{name: tf.constant(values) for name, values in inputs.items()})
    assert figures["accuracies"][0]["baseline"] == pytest.approx(right(made["side"].numpy()), abs=1e-7)

    lineage = " ".join(project.paredown("lineage", result["pushed"]).out.split())
    assert "served to 2 clients: REST, unbatched" in lineage
    events = project.paredown("lineage", result["pushed"], "--format", "openlineage").out
    for mode in ("rest_unbatched", "rest_batched", "grpc_unbatched", "grpc_batched"):
        assert f'"throughput_ratio_{mode}"' in events and f'"p99_ratio_{mode}"' in events
    assert '"differing_answers_grpc": 0' in events
    page = project.root / "server.html"
    assert project.paredown("report", "latest", "-o", str(page)).code == 0
    html = page.read_text(encoding="utf-8")
    assert "throughput ≥ 0.001 ×" in html and "p99 ≤ 1000 ×" in html


def test_each_of_several_targets_has_its_winner_and_the_pushed_page_gives_the_verdicts_accuracy(
    done: tuple[Project, dict[str, Any]], untouched: Project
) -> None:
    web.need()
    project = untouched
    sets = ("targets=[mobile, web]", "push.web=true", "gate.same_prediction={min: 1}")
    result = project.run(*(part for one in sets for part in ("--set", one)))
    mobile, browser = (result["targets"][kind] for kind in ("mobile", "web"))
    assert all(one["nodes"]["Trainer"]["state"] == "cached" for one in (mobile, browser))
    assert list(browser["candidates"]) == ["half"] and list(mobile["candidates"]) == ["int8", "half"]
    assert browser["winner"] == "half" and mobile["winner"] in ("int8", "half")
    why = result["winners"]["web"]["why"]
    assert why["int8"].startswith("not for this target: LiteRT.js has no int8 inputs")
    assert why["half"].startswith("selected: ")
    assert "not for this target: LiteRT.js" in Path(result["page"]).read_text(encoding="utf-8")
    assert [Path(one["pushed"]).parent.name for one in (mobile, browser)] == ["mobile", "web"]

    figures = browser["candidates"]["half"]["measured"]
    assert (
        figures["device"]["runtime"].startswith("LiteRT.js ") and "Chromium" in figures["device"]["runtime"]
    )
    assert figures["device"]["same_prediction"] == 1 and figures["device"]["examples"] == 300
    columns = rows(300, 2)
    given = json.dumps(
        [
            {
                name: np.ravel(columns[name][row]).astype(float).tolist()
                for name in ("left", "right", "mode")
            }
            for row in range(300)
        ]
    )
    script = (
        f"(async () => {{ const found = []; for (const one of {given}) found.push("
        "[...(await window.model.predict(one)).side]); return found; })()"
    )
    with served(Path(browser["pushed"], "web")) as address:
        shown = opened(address + "index.html", script)
    assert (shown["state"], shown["elsewhere"]) == ("done", []), shown
    right = float((np.argmax(shown["result"], axis=1) == columns["bigger"]).mean())
    assert figures["accuracies"][0]["candidate"] == pytest.approx(right, abs=1e-7)
    lineage = " ".join(project.paredown("lineage", browser["pushed"]).out.split())
    assert f"on {figures['device']['runtime']}" in lineage
    page = project.root / "web.html"
    assert project.paredown("report", browser["run"], "-o", str(page)).code == 0
