"""The entrypoint of a task's container: what it hands on, what it refuses, what it says."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.common.base.file_hashes import as_property, digests
from components.common.base.installed import version_of
from pipeline.kubeflow import entrypoint, executor_input, task_code, task_log
from pipeline.kubeflow.executor_input import InvalidTask
from pipeline.kubeflow.outcome import read as read_outcome
from pipeline.plan.code_version import component_version
from tests.components.anomaly_gate.splits import write_artifacts

GATE = "components.anomaly_gate.executor.Executor"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A task configures its whole process."""
    root = logging.getLogger()
    beam = logging.getLogger("apache_beam")
    before = list(root.handlers), root.level, beam.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    root.handlers[:], root.level, beam.level = before
    logging.captureWarnings(False)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def schema_of(kind: str) -> dict[str, str]:
    return {"instanceSchema": f"title: tfx.{kind}\ntype: object\n"}


def artifact(kind: str, uri: str, **metadata: Any) -> dict[str, Any]:
    return {"artifacts": [{"name": "a", "type": schema_of(kind), "uri": uri, "metadata": metadata}]}


def gate_input(folder: Path, **parameters: Any) -> dict[str, Any]:
    """ExecutorInput of AnomalyGate, with artifacts in MinIO, staged below `folder`."""
    values = {
        "code_version": component_version("components.anomaly_gate.executor"),
        "validation": "{}",
        "labels": '{"features": ["label"], "classes": true, "perhaps_amounts": false, "names": []}',
        **parameters,
    }
    return {
        "inputs": {
            "parameterValues": values,
            "artifacts": {
                "anomalies": artifact("ExampleAnomalies", "minio://bucket/r/anomalies"),
                "inferred_schema": artifact("Schema", "minio://bucket/r/schema"),
                "statistics": artifact("ExampleStatistics", "minio://bucket/r/statistics"),
                "examples": artifact("Examples", "minio://bucket/r/examples"),
            },
        },
        "outputs": {
            "artifacts": {"schema": artifact("Schema", "minio://bucket/r/out/schema")},
            "outputFile": str(folder / "output_metadata.json"),
        },
    }


def run(
    given: Any, *more: str, executor: str = GATE, schema: str = "2.1"
) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and log of a task."""
    stream = io.StringIO()
    text = given if isinstance(given, str) else json.dumps(given)
    spec = json.dumps(
        {
            "parameters": {
                name: {"parameterType": "STRING"} for name in ("code_version", "validation", "labels")
            },
            "artifacts": {
                "anomalies": {"artifactType": schema_of("ExampleAnomalies")},
                "inferred_schema": {"artifactType": schema_of("Schema")},
                "statistics": {"artifactType": schema_of("ExampleStatistics")},
                "examples": {"artifactType": schema_of("Examples")},
            },
        }
    )
    arguments = ["--node", "gate", "--executor_class_path", executor]
    arguments += ["--json_serialized_invocation_args", text]
    if schema == "2.1":
        arguments += ["--json_serialized_inputs_spec_args", spec]
    code = entrypoint.main([*arguments, *more], stream)
    return code, [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def staged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A staging folder with the artifacts of data that nothing is wrong with."""
    monkeypatch.setenv("ARTIFACT_LOCAL_PATH", str(tmp_path))
    rows = [{"fare": [i / 3], "label": [i // 2 % 2]} for i in range(120)]
    write_artifacts(tmp_path / "minio/bucket/r", rows[::2], rows[1::2])
    return tmp_path


def test_a_task_reads_and_writes_staged_files_and_reports_uris_to_kfp(staged: Path) -> None:
    code, log = run(gate_input(staged))
    assert code == 0, log
    written = staged / "minio/bucket/r/out/schema/schema.pbtxt"
    given = staged / "minio/bucket/r/schema/schema.pbtxt"
    assert written.read_text(encoding="utf-8") == given.read_text(encoding="utf-8")
    reported = json.loads((staged / "output_metadata.json").read_text(encoding="utf-8"))
    (schema,) = reported["artifacts"]["schema"]["artifacts"]
    assert schema["uri"] == "minio://bucket/r/out/schema"
    assert schema["metadata"]["tfx_version"] == version_of("tfx")
    assert json.loads(schema["metadata"]["content"]) == digests(written.parent)
    assert (log[-1]["message"], log[-1]["outcome"]) == ("done", {"version": 1, "code": 0})
    assert {entry["node"] for entry in log} == {"gate"}


def test_an_input_that_is_not_as_its_task_made_it_is_refused_by_its_name(staged: Path) -> None:
    given = gate_input(staged)
    folder = staged / "minio/bucket/r/schema"
    (found,) = given["inputs"]["artifacts"]["inferred_schema"]["artifacts"]
    found["metadata"]["content"] = as_property(digests(folder))
    path = folder / "schema.pbtxt"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b" ")
    code, log = run(given)
    assert code == 3
    assert f"ChangedFile: {path} was changed: its SHA-256 is " in log[-1]["message"]
    assert not (staged / "output_metadata.json").exists()
    path.write_bytes(content)
    assert run(given)[0] == 0


@pytest.mark.parametrize("blessed", [1, 0])
def test_the_outcome_of_the_pusher_says_what_it_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blessed: int
) -> None:
    """The executor is TFX's own, which `paredown submit --wait` learns of by this line alone."""
    monkeypatch.setenv("ARTIFACT_LOCAL_PATH", str(tmp_path))
    model = tmp_path / "minio/bucket/r/model/Format-Serving"
    model.mkdir(parents=True)
    (model / "model.tflite").write_bytes(b"TFL3")
    destination = {"filesystem": {"base_directory": str(tmp_path / "serving")}}
    given = {
        "inputs": {
            "parameters": {
                "push_destination": {"stringValue": json.dumps(destination)},
                "custom_config": {"stringValue": "null"},
            },
            "artifacts": {
                "model": artifact("Model", "minio://bucket/r/model", tfx_version="1.16.0"),
                "model_blessing": artifact("ModelBlessing", "minio://bucket/r/blessing", blessed=blessed),
            },
        },
        "outputs": {
            "artifacts": {"pushed_model": artifact("PushedModel", "minio://bucket/r/pushed")},
            "outputFile": str(tmp_path / "output_metadata.json"),
        },
    }
    code, log = run(given, executor="tfx.components.pusher.executor.Executor", schema="2.0")
    assert code == 0, log
    outcome = read_outcome("\n".join(map(json.dumps, log)))
    assert outcome is not None
    if blessed:
        assert outcome.pushed is True
        assert outcome.destination is not None
        assert (Path(outcome.destination) / "model.tflite").read_bytes() == b"TFL3"
        assert Path(outcome.destination).parent == tmp_path / "serving"
    else:
        assert (outcome.pushed, outcome.destination) == (False, None)
        assert not (tmp_path / "serving").exists()


@pytest.mark.parametrize("given_type", [None, {}, {"instanceSchema": ""}])
def test_input_artifacts_without_a_type_get_the_declared_one(
    staged: Path, given_type: dict[str, str] | None
) -> None:
    """As the open-source backend hands them over: https://github.com/tensorflow/tfx/issues/7768."""
    given = gate_input(staged)
    for entry in given["inputs"]["artifacts"].values():
        (found,) = entry["artifacts"]
        del found["type"]
        if given_type is not None:
            found["type"] = given_type
    code, log = run(given)
    assert code == 0, log


def test_a_task_of_vertex_gets_the_older_schema(staged: Path) -> None:
    given = gate_input(staged)
    values = given["inputs"].pop("parameterValues")
    given["inputs"]["parameters"] = {name: {"stringValue": value} for name, value in values.items()}
    code, log = run(given, schema="2.0")
    assert code == 0, log
    given["inputs"]["parameters"]["code_version"] = {"stringValue": "0123456789ab"}
    assert run(given, schema="2.0")[0] == 2


def test_the_cause_of_a_failure_is_the_last_line(staged: Path) -> None:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    found = anomalies_pb2.Anomalies()
    found.anomaly_info["label"].short_description = "Column dropped"
    found.anomaly_info["label"].description = "missing in 3 examples"
    path = staged / "minio/bucket/r/anomalies/Split-eval/SchemaDiff.pb"
    path.write_bytes(found.SerializeToString())
    code, log = run(gate_input(staged))
    assert code == 3
    assert (log[-1]["severity"], log[-1]["message"]) == (
        "ERROR",
        "gate failed: DataAnomalyError: feature 'label' of split 'eval': schema: Column dropped: missing in 3 "
        "examples; to allow it, write data.validation.allow: [{feature: label, kinds: [schema]}]",
    )
    assert log[-1]["outcome"]["code"] == 3
    assert log[-1]["message"] == f"gate failed: {log[-1]['outcome']['reason']}"
    assert "in refuse" in log[-2]["traceback"]
    assert not (staged / "output_metadata.json").exists()


def test_a_stale_image_is_refused_before_anything_runs(staged: Path) -> None:
    code, log = run(gate_input(staged, code_version="0123456789ab"))
    assert code == 2
    have = component_version("components.anomaly_gate.executor")
    assert log[-1]["message"].startswith(
        f"the image has version {have} of components.anomaly_gate.executor, but the pipeline was compiled with "
        "0123456789ab; rebuild the image"
    )
    assert (log[-1]["outcome"]["code"], log[-1]["outcome"]["reason"]) == (2, log[-1]["message"])
    assert not (staged / "minio/bucket/r/out").exists()


def test_the_version_of_what_trainer_calls_is_in_its_config() -> None:
    module = "components.trainer.executor"
    for params, version in (
        ("{}", component_version(module)),
        ('{"distribution": {"kind": "mirrored"}}', component_version(module, distributed=True)),
    ):
        right, wrong = ({"code_version": found, "params": params} for found in (version, "x"))
        task_code.refuse_other_code(f"{module}.Executor", {"custom_config": json.dumps(right)})
        with pytest.raises(
            InvalidTask, match=rf"has version {version} of {module}, but .* compiled with x"
        ):
            task_code.refuse_other_code(f"{module}.Executor", {"custom_config": json.dumps(wrong)})
    # TFX's own nodes have no code of ours; without a custom_config, TFX writes null.
    task_code.refuse_other_code("tfx.components.pusher.executor.Executor", {"custom_config": "null"})


@pytest.mark.parametrize("text", ["{{$}}", "", "[]", '{"outputs": {}}'])
def test_what_is_not_an_executor_input_is_refused(text: str) -> None:
    code, log = run(text)
    assert code == 2
    assert "is not an ExecutorInput" in log[-1]["message"]


def test_an_executor_that_the_image_lacks_is_named(staged: Path) -> None:
    code, log = run({**gate_input(staged), "inputs": {}}, executor="components.none.executor.Executor")
    assert code == 3
    assert log[-1]["message"] == "gate failed: ModuleNotFoundError: No module named 'components.none'"


def test_a_task_that_is_stopped_says_so(staged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.anomaly_gate import executor

    def stopped(findings: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(executor, "refuse", stopped)
    code, log = run(gate_input(staged))
    assert (code, log[-1]["outcome"]["code"]) == (130, 130)
    assert log[-1]["message"] == "stopped before it was done"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/a/b", "/minio/bucket/a/b"),
        ("s3://bucket/a", "/s3/bucket/a"),
        ("gs://bucket/a", "/gcs/bucket/a"),
        ("/mnt/volume/a", None),
        ("hdfs://host/a", None),
    ],
)
def test_where_kfp_stages_what(uri: str, path: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARTIFACT_LOCAL_PATH", raising=False)
    assert executor_input.staged_path(uri) == path


def test_vertex_mounts_the_output_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARTIFACT_LOCAL_PATH", raising=False)
    given = {
        "inputs": {"artifacts": {"m": artifact("Model", "gs://b/in")}},
        "outputs": {"artifacts": {"m": artifact("Model", "gs://b/out")}, "outputFile": "gs://b/o.json"},
    }
    assert executor_input.stage(given, {"gs", "s3", "minio"}) == {"/gcs/b/out": "gs://b/out"}
    assert given["inputs"]["artifacts"]["m"]["artifacts"][0]["uri"] == "/gcs/b/in"  # type: ignore[index]
    assert given["outputs"]["outputFile"] == "/gcs/b/o.json"


def test_an_artifact_that_no_one_stages_is_refused(tmp_path: Path) -> None:
    given = gate_input(tmp_path)
    given["inputs"]["artifacts"]["anomalies"] = artifact("ExampleAnomalies", "hdfs://host/a")
    code, log = run(given)
    assert code == 2
    assert (
        "KFP does not stage the artifact hdfs://host/a; set the pipeline root to gs://"
        in log[-1]["message"]
    )


def test_beam_on_other_machines_gets_uris_and_ours_stays_here(staged: Path) -> None:
    flink = ["--runner=FlinkRunner", "--flink_master=x:1"]
    statistics = "components.statistics_gen.executor.Executor"
    gens = [f"components.{name}_example_gen.executor.Executor" for name in ("csv", "import")]
    for executor in (statistics, *gens, "tfx.components.transform.executor.Executor"):
        assert entrypoint.reachable(executor, flink) == ({"minio", "s3"}, flink)
    everything = {"minio", "s3", "gs"}
    assert entrypoint.reachable(statistics, ["--direct_num_workers=2"]) == (
        everything,
        ["--direct_num_workers=2"],
    )
    measurer = "components.measurer.executor.Executor"
    assert entrypoint.reachable(measurer, flink) == (everything, [*flink, "--runner=DirectRunner"])

    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    chosen = PipelineOptions(entrypoint.reachable(measurer, flink)[1]).view_as(StandardOptions).runner
    assert chosen == "DirectRunner"
    code, log = run(gate_input(staged), *flink)
    assert code == 0
    assert "FlinkRunner would not see the staged files" in " ".join(entry["message"] for entry in log)


def test_parameters_of_both_schemas() -> None:
    assert executor_input.parameters_of(
        {"inputs": {"parameterValues": {"seed": 7.0, "a": "b", "x": 0.5}}}
    ) == {
        "seed": 7,
        "a": "b",
        "x": 0.5,
    }
    legacy = {"inputs": {"parameters": {"seed": {"intValue": "7"}, "a": {"stringValue": "b"}}}}
    assert executor_input.parameters_of(legacy) == {"seed": 7, "a": "b"}


def test_a_parameter_of_the_run_is_written_into_json() -> None:
    given: dict[str, Any] = {
        "inputs": {"parameterValues": {"seed": 8.0, "custom_config": '{"label": "x", "seed": 7}'}}
    }
    executor_input.write_parameter(given, "seed=custom_config.seed")
    assert given["inputs"]["parameterValues"] == {"custom_config": '{"label": "x", "seed": 8}'}
    legacy: dict[str, Any] = {
        "inputs": {
            "parameters": {
                "push_directory": {"stringValue": "gs://b/s"},
                "push_destination": {"stringValue": '{"filesystem": {}}'},
            }
        }
    }
    executor_input.write_parameter(legacy, "push_directory=push_destination.filesystem.base_directory")
    (value,) = legacy["inputs"]["parameters"].values()
    assert json.loads(value["stringValue"]) == {"filesystem": {"base_directory": "gs://b/s"}}
    for wrong in ("none=custom_config.seed", "custom_config=none.x", "custom_config=custom_config.label.x"):
        with pytest.raises(InvalidTask, match="the task has no such parameter or place"):
            executor_input.write_parameter(given, wrong)


def test_logs_are_lines_of_json() -> None:
    stream = io.StringIO()
    task_log.log_to(stream, "trainer")
    logging.getLogger("x").info("two\nlines, %s", "ä")
    warnings.warn("mind", stacklevel=1)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("x").exception("failed")
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["severity"], first["node"]) == ("two\nlines, ä", "INFO", "trainer")
    assert "mind" in second["message"]
    assert (second["severity"], second["logger"]) == ("WARNING", "py.warnings")
    assert third["traceback"].endswith("ValueError: why")
    assert first["time"].endswith("+00:00")
