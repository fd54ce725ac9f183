"""`paredown explain`: what each step will do, as a table and as JSON, and that it does no more than look."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pytest
from click.testing import CliRunner

from components.tflite_converter.params import ConvertOptions
from pipeline import cli
from pipeline.base.console import make_console
from pipeline.checks import preflight
from pipeline.config.config_file import load
from pipeline.explain import table as explanation_table
from pipeline.explain.explanation import Candidate, to_json
from pipeline.plan.planner import make_plan
from tests.pipeline.explain.project import CONV, INT8, NESTED, PRUNE, Case, Project
from tests.pipeline.explain.refused_models import CASES
from tests.project import ROOT

MNIST = str(ROOT / "configs/mnist/pipeline.yaml")


@pytest.fixture(scope="module")
def mnist(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """`explain --json` of the shipped example."""
    root = tmp_path_factory.mktemp("mnist") / "root"
    arguments = ["explain", MNIST, "--json", "--set", f"run.pipeline_root={root}"]
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.stderr
    assert not root.exists()
    return json.loads(done.stdout)


def test_json_has_what_scripts_need(mnist: dict[str, Any]) -> None:
    assert mnist["problems"] == []
    assert list(mnist["candidates"]) == [
        "dynamic",
        "int8",
        "pruned-int8",
        "qat-int8",
        "pruned-qat-int8",
        "distilled-int8",
    ]
    candidate = mnist["candidates"]["pruned-qat-int8"]
    assert set(candidate) == {"steps", "layer_bytes", "other_bytes", "predicted_bytes", "predicted_ratio"}
    assert [step["technique"] for step in candidate["steps"]] == ["prune", "qat", "convert"]
    prune, qat, convert = candidate["steps"]
    assert set(prune) == {"technique", "options", "training", "layers", "notes", "remarks", "refusals"}
    # Batches as in model.train; learning rate, optimizer and loss as build_model compiles.
    assert prune["training"] == {
        "steps": 938,
        "epochs": 2,
        "batch_size": 128,
        "optimizer": "Adam",
        "learning_rate": 0.001,
        "loss": ["sparse_categorical_crossentropy"],
    }
    assert qat["training"]["learning_rate"] == 0.0001 and qat["training"]["steps"] == 469
    assert convert["training"] is None and prune["notes"] == prune["remarks"] == []
    assert qat["remarks"] == [
        "Ranges of activations are set from 200 training examples (least and greatest values) and then follow the "
        "batches.",
        "Layers of BatchNormalization keep the statistics that they have.",
    ]
    assert prune["options"]["sparsity"] == 0.8 and prune["refusals"] == []
    kernels = ["conv1", "conv2", "dense", "probabilities"]
    assert prune["layers"] == dict.fromkeys(kernels, "80% zeros")
    assert qat["layers"] == dict.fromkeys(kernels, "int8, keeps its zeros")
    assert convert["layers"]["dense"] == "int8, 804,864 B"
    # 7 × 7 × 32 inputs, 512 outputs, int32 biases.
    assert candidate["layer_bytes"]["dense"] == 7 * 7 * 32 * 512 + 4 * 512
    assert list(candidate["layer_bytes"]) == kernels
    assert sum(candidate["layer_bytes"].values()) + candidate["other_bytes"] == candidate["predicted_bytes"]
    assert 0 < candidate["other_bytes"] < 10_000 and mnist["warnings"] == []


def test_predictions_for_the_shipped_example_are_those_of_its_real_files(mnist: dict[str, Any]) -> None:
    # Bytes of the files that a run of configs/mnist/pipeline.yaml wrote, on TensorFlow 2.16.
    real = {
        "dynamic": 818_700,
        "int8": 819_400,
        "pruned-int8": 819_400,
        "qat-int8": 819_900,
        "pruned-qat-int8": 819_900,
        "distilled-int8": 6_500,
    }
    for name, size in real.items():
        assert mnist["candidates"][name]["predicted_bytes"] == pytest.approx(size, rel=0.1), name
    assert mnist["candidates"]["int8"]["predicted_ratio"] == pytest.approx(0.252, abs=0.002)


def test_a_limit_that_a_prediction_misses_is_warned_of_before_anything_is_trained(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    plain = load(project.config, [])
    size = preflight.explain(plain, make_plan(plain.config, plain.path)).candidates[0].size
    assert size is not None

    def examined(limits: str) -> preflight.Examined:
        file = load(project.config, [f"gate.size={limits}"])
        return preflight.check(file, make_plan(file.config, file.path), set())

    found = examined(f"{{max: {size * 0.88:.0f}, max_ratio: 0.001, min: 10}}")
    assert found.problems == [] == found.refused(strict=False)
    assert [warning.key() for warning in found.warnings] == ["gate.size.max", "gate.size.max_ratio"]
    message = found.warnings[0].message
    assert message.startswith("one is predicted to miss this limit: size ") and " is above " in message
    assert found.refused(strict=True) == found.warnings
    # Predictions are not nearer than that, and say nothing about the compressed file.
    assert examined(f"{{max: {size * 0.97:.0f}}}").warnings == []
    assert examined("{of: gzip, max: 10}").warnings == []


def test_strict_refuses_what_is_a_warning(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    limit = ["--set", "gate.size={max: 100}"]
    warned = run_explain(project, *limit)
    assert warned.exit_code == 0, warned.output
    assert (
        "warning: --set gate.size={max: 100}: gate.size.max: one is predicted to miss this limit"
        in warned.stderr
    )
    refused = run_explain(project, *limit, "--strict")
    assert (
        refused.exit_code == 2
        and "\n--set gate.size={max: 100}: gate.size.max: one" in f"\n{refused.stderr}"
    )
    rows = json.loads(run_explain(project, *limit, "--json").stdout)
    assert (rows["problems"], [row["key"] for row in rows["warnings"]]) == ([], ["gate.size.max"])


def test_where_the_bytes_go_adds_up_to_the_file(project: Project) -> None:
    project.write(Case(f"[{INT8}]", CONV, "", ""))
    (candidate,), _ = project.explain()
    for width in (120, 30):
        console = make_console(io.StringIO(), width=width, record=True)
        explanation_table.show(console, [candidate])
        text = " ".join(console.export_text().split())
        shown = [int(number.replace(",", "")) for number in re.findall(r"([\d,]+) B\b", text)]
        assert "all else" in text and sum(shown) == candidate.size, text


def run_explain(project: Project, *arguments: str) -> Any:
    return CliRunner().invoke(cli.main, ["explain", str(project.config), *arguments])


def test_a_refused_candidate_ends_explain_and_run_with_2(project: Project) -> None:
    case = CASES["BatchNormalization after Add in qat"]
    project.write(case)
    before = project.files()

    explained, as_json, ran = (
        CliRunner().invoke(cli.main, [*arguments, "pipeline.yaml"])
        for arguments in (["explain"], ["explain", "--json"], ["run"])
    )

    assert (explained.exit_code, as_json.exit_code, ran.exit_code) == (2, 2, 2)
    assert "one  cannot be built" in explained.stdout
    assert f"qat: {case.message}" in " ".join(explained.stdout.split())
    assert explained.stderr == "pipeline.yaml: cannot be built: one\n"
    (row,) = json.loads(as_json.stdout)["problems"]
    assert row == {
        "file": "pipeline.yaml",
        "line": 6,
        "key": "candidates.one[0].qat",
        "message": case.message,
    }
    (step,) = json.loads(as_json.stdout)["candidates"]["one"]["steps"]
    assert step["refusals"][0]["layer"] == "norm"
    assert ran.stdout == ""
    assert ran.stderr == f"pipeline.yaml:6: candidates.one[0].qat: {case.message}\n"
    assert project.files() == before


def test_a_broken_config_is_reported_as_by_validate(project: Project) -> None:
    project.config.write_text("name: [unfinished\n", encoding="utf-8")
    explained = run_explain(project)
    validated = CliRunner().invoke(cli.main, ["validate", str(project.config)])
    assert explained.exit_code == validated.exit_code == 2
    assert explained.stderr == validated.stderr != ""


def test_a_candidate_that_is_not_there_is_refused(project: Project) -> None:
    project.write(Case(PRUNE, CONV, "", ""))
    result = run_explain(project, "--only", "two")
    assert result.exit_code == 2
    assert "no candidate 'two'; there are one" in result.stderr


def test_nothing_is_trained_or_calibrated(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every technique, and not one step of an optimizer; the converter is asked for float32 alone."""
    import tf_keras

    from components.tflite_converter import executor
    from pipeline.explain import explanation as explain

    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, {fine_tune: {}}, " + INT8 + "]"
    lines = CONV + 'y = layers.BatchNormalization(name="norm")(y)'
    project.write(Case(chain, lines, "", ""))
    asked = []

    def convert(saved_model: str, options: Any, *others: Any) -> bytes:
        asked.append((options, *others))
        return executor.convert(saved_model, options, *others)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("explain trains")

    monkeypatch.setattr(explain, "convert", convert)
    monkeypatch.setattr(tf_keras.Model, "fit", refuse)
    monkeypatch.setattr(tf_keras.Model, "train_on_batch", refuse)

    (candidate,), problems = project.explain()

    assert problems == []
    assert (
        asked == [(ConvertOptions(quantization="float32"), False, None)] * 2
    )  # the baseline, and without its norm
    effects = [step.explanation.effects["conv"] for step in candidate.steps]
    assert effects == [
        "50% zeros",
        "8 values",
        "int8, keeps its zeros and shared values",
        "keeps its zeros and shared values",
        f"int8, {3 * 3 * 4 * 4 + 4 * 4} B",
    ]


def test_a_model_inside_the_model_is_taken_apart_for_every_step(project: Project) -> None:
    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, " + INT8 + "]"
    nested = NESTED.replace("Conv2D(4, 3)", 'Conv2D(4, 3, name="conv")')
    project.write(Case(chain, nested, "", ""))
    (candidate,), problems = project.explain()

    assert problems == []
    effects = [step.explanation.effects["conv"] for step in candidate.steps]
    assert effects[:3] == ["50% zeros", "8 values", "int8, keeps its zeros and shared values"]


def test_how_a_step_trains_and_that_it_is_too_short_for_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write(
        Case(
            "[{prune: {sparsity: 0.5, steps: 36, batch_size: 8}}, {prune: {sparsity: 0.6, teacher: self}}, "
            + "{fine_tune: {}}, "
            + INT8
            + "]",
            CONV,
            "",
            "",
        )
    )
    (candidate,), problems = project.explain()

    assert problems == []
    shown = " ".join(" ".join(rendered([candidate], 160, monkeypatch)).split())
    assert (
        "prune: 36 steps with batches of 8, SGD, learning rate 0.01, loss sparse_categorical_crossentropy"
        in shown
    )
    assert "prune: 36 steps are too few for pruning" in shown
    # Of few weights, and one step an epoch.
    assert "prune: 4,000 steps with batches of 128, SGD, learning rate 0.01, loss distance" in shown
    assert "fine_tune: 1 steps with batches of 128, SGD, learning rate 0.01, loss" in shown


def test_a_schedule_without_a_learning_rate_to_go_by_is_refused_before_training(project: Project) -> None:
    chain = "[{fine_tune: {learning_rate_schedule: {kind: cosine}}}, " + INT8 + "]"
    project.write(Case(chain, CONV, "", ""))
    module = project.root / f"{project.module}.py"
    schedule = "tf_keras.optimizers.SGD(tf_keras.optimizers.schedules.CosineDecay(0.1, 9))"
    module.write_text(module.read_text(encoding="utf-8").replace('"sgd"', schedule), encoding="utf-8")
    _, problems = project.explain()

    (problem,) = problems
    assert problem.key() == "candidates.one[0].fine_tune.learning_rate_schedule"
    assert problem.message.startswith(
        "the model is compiled with its own learning rate schedule; write learning_rate"
    )


def rendered(candidates: list[Candidate], width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    console = make_console()
    with console.capture() as capture:
        explanation_table.show(console, candidates)
    return capture.get().splitlines()


def test_tables_fit_the_terminal(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = "[{prune: {sparsity: 0.5}}, {cluster: {clusters: 8}}, {qat: {}}, {fine_tune: {}}, " + INT8 + "]"
    lines = 'y = layers.Conv2D(4, 3, use_bias=False, name="a_rather_long_layer")(x)\n'
    lines += 'y = layers.BatchNormalization(name="a_rather_long_norm")(y)'
    project.write(Case(chain, lines, "", ""))
    candidates, _ = project.explain()

    for width in (80, 120, 160):
        shown = rendered(candidates, width, monkeypatch)
        assert max(map(len, shown)) <= width
        text = "\n".join(shown)
        assert shown[0].startswith("one  about ")
        assert "…" not in text
        columns = width > 120  # otherwise a paragraph for each layer
        assert ("result" in text) != columns
        words = " ".join(text.split())
        for expected in (
            "fine_tune",
            "keeps its zeros and shared values",
            "int8, 160 B",
            "folded into a_rather_long_layer",
        ):
            assert expected in words


def test_tables_of_a_candidate_that_is_refused(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES["subclassed model inside the model in qat"]
    project.write(case)
    candidates, _ = project.explain()

    shown = rendered(candidates, 80, monkeypatch)

    assert shown[0] == "one  cannot be built"
    assert " ".join(" ".join(shown[1:]).split()) == f"qat: {case.message}"
    assert max(map(len, shown)) <= 80


def test_json_of_a_refused_candidate(project: Project) -> None:
    case = CASES["subclassed model inside the model in prune"]
    project.write(case)
    (candidate,), _ = project.explain()

    document = to_json(candidate)

    assert document["predicted_bytes"] is None and document["predicted_ratio"] is None
    assert document["layer_bytes"] == {}
    assert document["steps"][0]["refusals"] == [{"layer": None, "reason": case.message}]
