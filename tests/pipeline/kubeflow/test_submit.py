"""`paredown submit` makes versions and runs on a Kubeflow Pipelines server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import kfp_server_api
import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config.config_file import load
from pipeline.kubeflow import fingerprint as fingerprints
from pipeline.kubeflow import package as kubeflow_package
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.api_state import Fault
from tests.pipeline.kubeflow.conftest import IMAGE, MNIST, ROOT, Submit, refusal, run_of
from tests.pipeline.kubeflow.small_pipeline import PATTERNS

pytestmark = pytest.mark.usefixtures("fast")


def test_the_first_submission_makes_everything_and_prints_the_address(
    submit: Submit, server: ApiServer, data: Path
) -> None:
    result = submit(
        "--data", str(data), "--param", "seed=7", "--run-name", "first", "--service-account", "robot"
    )
    assert result.exit_code == 0, result.output
    run = run_of(server)
    assert result.stdout == f"{server.url}/#/runs/details/{run.run_id}\n"
    assert "New pipeline mnist, new version mnist-" in result.stderr
    assert "new experiment mnist" in result.stderr
    assert run.display_name == "first"
    assert run.service_account == "robot"
    assert run.runtime_config.parameters == {
        "seed": 7,
        "data_fingerprint": fingerprints.of_files(data, PATTERNS),
    }
    (version,) = server.state.versions.values()
    assert run.pipeline_version_reference.pipeline_version_id == version.pipeline_version_id
    assert run.experiment_id == next(iter(server.state.experiments))
    assert server.state.named("pipelines") == ["mnist"]


def test_the_text_on_the_server_is_that_of_the_file(
    submit: Submit, server: ApiServer, pipeline_text: str
) -> None:
    submit()
    assert list(server.state.specs.values()) == [pipeline_text]


def test_the_same_submitted_twice_is_one_version_with_two_runs(submit: Submit, server: ApiServer) -> None:
    submit()
    result = submit()
    assert result.exit_code == 0
    assert "Pipeline mnist, existing version mnist-" in result.stderr
    assert len(server.state.pipelines) == len(server.state.versions) == len(server.state.experiments) == 1
    assert len(server.state.runs) == 2


def test_other_content_is_a_second_version_of_the_same_pipeline(
    submit: Submit, server: ApiServer, compiled_file: Path
) -> None:
    submit()
    text = compiled_file.read_text(encoding="utf-8")
    compiled_file.write_text(text.replace("paredown:1.0", "paredown:1.1"), encoding="utf-8")
    assert submit().exit_code == 0
    assert len(server.state.pipelines) == 1
    assert len(set(server.state.named("versions"))) == 2


def test_changed_data_give_the_run_another_fingerprint(
    submit: Submit, server: ApiServer, data: Path
) -> None:
    submit("--data", str(data))
    (data / "train.gz").write_bytes(b"changed")
    submit("--data", str(data))
    values = [run.runtime_config.parameters["data_fingerprint"] for run in server.state.runs.values()]
    assert len(set(values)) == 2
    assert len(server.state.versions) == 1


def test_a_data_path_that_is_a_folder_here_is_looked_at(
    submit: Submit, server: ApiServer, data: Path
) -> None:
    result = submit("--param", f"data_path={data}", "--json")
    assert json.loads(result.stdout)["data"] == str(data)
    assert run_of(server).runtime_config.parameters == {
        "data_path": str(data),
        "data_fingerprint": fingerprints.of_files(data, PATTERNS),
    }


def test_data_that_cannot_be_looked_at_are_reported(submit: Submit, server: ApiServer) -> None:
    result = submit()
    assert "The run has the data fingerprint from compilation" in result.stderr
    assert run_of(server).runtime_config.parameters == {"data_fingerprint": "as-compiled"}
    answered = submit("--param", "data_fingerprint=v2")
    assert "fingerprint" not in answered.stderr


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_data_without_files_are_refused(submit: Submit, tmp_path: Path, folder: str) -> None:
    (tmp_path / "empty").mkdir()
    result = submit("--data", str(tmp_path / folder))
    assert result.exit_code == 2
    assert "no file matches 'train*', the pattern of the split 'train'" in result.stderr


def test_experiments_are_used_again(submit: Submit, server: ApiServer) -> None:
    submit("--experiment", "sweep")
    assert "experiment sweep" in submit("--experiment", "sweep").stderr
    assert server.state.named("experiments") == ["sweep"]


def test_an_archived_experiment_is_refused(submit: Submit, server: ApiServer) -> None:
    submit()
    next(iter(server.state.experiments.values())).storage_state = "ARCHIVED"
    result = submit()
    assert result.exit_code == 2
    assert "the experiment mnist is archived and takes no runs; restore it" in result.stderr
    assert len(server.state.runs) == 1


def test_experiments_of_the_clients_variables_count(
    submit: Submit, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_DEFAULT_EXPERIMENT_NAME", "default")
    submit()
    submit("--experiment", "given")
    monkeypatch.setenv("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "forced")
    submit("--experiment", "given")
    assert server.state.named("experiments") == ["default", "given", "forced"]


def test_the_pipeline_root_of_a_file_can_be_another_one(submit: Submit, server: ApiServer) -> None:
    submit("--pipeline-root", "s3://other/root")
    assert run_of(server).runtime_config.pipeline_root == "s3://other/root"


def test_answers_are_of_the_shape_of_the_clients_models(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"}), ("SUCCEEDED", {"trainer": "SUCCEEDED"})]
    submit("--wait")
    submit()
    answers = server.state.answers
    assert {kind.removeprefix("V2beta1") for kind, _ in answers} == {
        *("GetHealthzResponse", "ListPipelinesResponse", "Pipeline", "ListPipelineVersionsResponse"),
        *("PipelineVersion", "ListExperimentsResponse", "Experiment", "Run"),
    }
    client = kfp_server_api.ApiClient()
    for kind, values in answers:

        class Response:
            data = json.dumps(values)

        model = client.deserialize(Response, kind)
        assert client.sanitize_for_serialization(model) == _plus_zero(values)
    required = {"Run": "run_id", "Pipeline": "pipeline_id", "Experiment": "experiment_id"}
    for kind, values in answers:
        key = required.get(kind.removeprefix("V2beta1"))
        assert key is None or values[key]


def _plus_zero(value: Any) -> Any:
    """Times in the client's way to write UTC."""
    if isinstance(value, dict):
        return {key: _plus_zero(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plus_zero(one) for one in value]
    if isinstance(value, str) and value.endswith("Z") and value[4:5] == "-":
        return value[:-1] + "+00:00"
    return value


def start_process(file: Path, server: ApiServer, *arguments: str) -> subprocess.Popen[str]:
    code = "import sys; from pipeline.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "submit", str(file), "--host", server.url, *arguments]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_ctrl_c_leaves_the_run_alone(compiled_file: Path, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"})]
    process = start_process(compiled_file, server, "--wait", "--json")
    assert server.state.looked.wait(60)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    page = f"{server.url}/#/runs/details/{run_of(server).run_id}"
    assert f"Interrupted. The run goes on; see {page}" in err
    assert "Traceback" not in err
    answered = json.loads(out)
    assert (answered["code"], answered["run"]["page"]) == (130, page)
    assert not [line for line in server.state.requests if "terminate" in line]


def test_a_file_is_submitted_without_tensorflow_and_tfx(compiled_file: Path, server: ApiServer) -> None:
    server.state.faults = [Fault("GET .*/pipelines$", "cut", times=1)]  # is not reported
    code = (
        "import sys\n"
        "from pipeline.cli import main\n"
        f"main(['submit', {str(compiled_file)!r}, '--host', {server.url!r}], standalone_mode=False)\n"
    )
    check = (
        "import atexit, sys\n"
        "heavy = {'tensorflow', 'tfx', 'tf_keras', 'apache_beam', 'ml_metadata'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", check + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{server.url}/#/runs/details/{run_of(server).run_id}\n"
    assert "LOADED []" in done.stderr
    assert "Warning" not in done.stderr and "Retrying" not in done.stderr


@pytest.mark.parametrize("option", ["--image", "--set", "--only"])
def test_options_of_a_config_are_none_of_a_file(submit: Submit, option: str) -> None:
    assert f"is compiled already; give the config instead to use {option}" in refusal(submit(option, "x"))


def test_a_time_that_is_none_is_refused(submit: Submit) -> None:
    result = submit("--wait", "--timeout", "soon")
    assert result.exit_code == 2
    assert "'soon' is not a time; write e.g. 90s, 30m or 12h" in result.stderr


def test_errors_are_json_where_asked_for(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "page")]
    result = submit("--json")
    assert result.exit_code == 2
    (problem,) = json.loads(result.stdout)["problems"]
    assert "answers with a web page" in problem["message"]


def test_a_config_needs_an_image_and_a_root(server: ApiServer) -> None:
    result = CliRunner().invoke(main, ["submit", MNIST, "--host", server.url])
    assert f"{MNIST}: is a config, which is compiled first; give --image and --pipeline-root" in refusal(
        result
    )


def test_a_config_with_a_mistake_is_refused(server: ApiServer, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["submit", str(tmp_path / "none.yaml"), "--host", server.url])
    assert result.exit_code == 2
    assert "none.yaml" in result.stderr
    assert not server.state.requests


def test_a_config_is_compiled_and_submitted(server: ApiServer) -> None:
    server.state.script = [("SUCCEEDED", {"import-example-gen": "SUCCEEDED"})]
    result = CliRunner().invoke(
        main,
        [
            *(
                "submit",
                MNIST,
                "--host",
                server.url,
                "--image",
                IMAGE,
                "--pipeline-root",
                "gs://bucket/root",
            ),
            *("--only", "int8", "--param", "seed=3", "--json", "--wait", "--poll-interval", "0.01s"),
        ],
    )
    assert result.exit_code == 0, result.output
    config = load(MNIST).config
    answered = json.loads(result.stdout)
    assert answered["data"] == config.data.path
    assert answered["tasks"] == {"import-example-gen": "succeeded"}
    assert answered["parameters"]["seed"] == 3
    run = run_of(server)
    assert run.runtime_config.parameters == {"seed": 3, "data_fingerprint": fingerprints.of_config(config)}
    (spec,) = [version.pipeline_spec for version in server.state.versions.values()]
    assert spec["defaultPipelineRoot"] == "gs://bucket/root"
    (evaluated,) = [task for task in spec["root"]["dag"]["tasks"] if task.endswith("-evaluate")]
    assert evaluated.startswith("convert-int8-")
    # Its parameters are what `data_fingerprint` and `--wait` go by.
    package = kubeflow_package.read(next(iter(server.state.specs.values())))
    found = fingerprints.of_run(package.spec, {}, config.data.path)
    assert found.value == fingerprints.of_config(config)
    assert package.spec.order()[-1] == "pusher"
