"""`paredown submit` makes versions and runs on a Kubeflow Pipelines server, and follows them."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kfp_server_api
import pytest
import yaml
from click.testing import CliRunner, Result

from pipeline.cli import main
from pipeline.config.config_file import load
from pipeline.kubeflow import connection as kubeflow_connection
from pipeline.kubeflow import fingerprint as fingerprints
from pipeline.kubeflow import package as kubeflow_package
from pipeline.kubeflow import server as kubeflow_server
from pipeline.kubeflow import watch as kubeflow_watch
from tests.pipeline.kubeflow import api_server, small_pipeline
from tests.pipeline.kubeflow.api_server import ApiServer, Fault
from tests.pipeline.kubeflow.conftest import IMAGE, MNIST, ROOT
from tests.pipeline.kubeflow.small_pipeline import PATTERNS

TOKEN = "a-token-that-nobody-may-see"

Submit = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with api_server.running() as started:
        yield started


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of whoever runs the tests, and short pauses."""
    for name in list(os.environ):
        if name.startswith(("KF_PIPELINES_", "PAREDOWN_KFP_")):
            monkeypatch.delenv(name)
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "no" / "context.json"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no" / "kubeconfig"))
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(kubeflow_server, "_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(kubeflow_watch, "_OUTAGE_SECONDS", 0.3)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a file for each split."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.gz").write_bytes(b"one")
    (folder / "test.gz").write_bytes(b"two")
    return folder


@pytest.fixture(scope="session")
def pipeline_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The file of `small_pipeline`."""
    return small_pipeline.write(tmp_path_factory.mktemp("compiled") / "mnist.yaml")


@pytest.fixture
def compiled_file(pipeline_text: str, tmp_path: Path) -> Path:
    path = tmp_path / "mnist.yaml"
    path.write_text(pipeline_text, encoding="utf-8")
    return path


@pytest.fixture
def submit(server: ApiServer, compiled_file: Path) -> Submit:
    """Calls the command with the file and the server's address."""

    def call(*arguments: str) -> Result:
        given = [str(compiled_file), "--poll-interval", "0.01s", *arguments]
        if "--host" not in arguments:
            given += ["--host", server.url]
        return CliRunner().invoke(main, ["submit", *given])

    return call


def run_of(server: ApiServer) -> Any:
    (run,) = server.state.runs.values()
    return run


# What is made on the server.


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


def test_layout_and_the_data_do_not_make_a_version(pipeline_text: str) -> None:
    version = kubeflow_package.read(pipeline_text).version()
    assert version.startswith("mnist-") and len(version) == len("mnist-") + 12
    assert kubeflow_package.read("# a comment\n" + pipeline_text).version() == version
    other_data = pipeline_text.replace("as-compiled", "other")
    assert other_data != pipeline_text
    assert kubeflow_package.read(other_data).version() == version
    assert kubeflow_package.read(pipeline_text.replace("42", "43")).version() != version


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


def test_data_that_cannot_be_looked_at_are_told(submit: Submit, server: ApiServer) -> None:
    result = submit()
    assert "The run has the data fingerprint from compilation" in result.stderr
    assert run_of(server).runtime_config.parameters == {"data_fingerprint": "as-compiled"}
    told = submit("--param", "data_fingerprint=v2")
    assert "fingerprint" not in told.stderr


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


# Following a run.


def test_a_run_is_followed_to_its_success(submit: Submit, server: ApiServer) -> None:
    server.state.script = [
        ("PENDING", {}),
        ("RUNNING", {"import-example-gen": "RUNNING"}),
        ("RUNNING", {"import-example-gen": "CACHED", "trainer": "RUNNING"}),
        ("RUNNING", {"import-example-gen": "CACHED", "trainer": "SUCCEEDED", "pusher": "PENDING"}),
        ("SUCCEEDED", {"import-example-gen": "CACHED", "trainer": "SUCCEEDED", "pusher": "SUCCEEDED"}),
    ]
    result = submit("--wait")
    assert result.exit_code == 0
    shown = [line.split()[1:3] for line in result.stderr.splitlines() if "/3 " in line]
    assert shown == [
        ["import-example-gen", "running"],
        ["import-example-gen", "cached"],
        ["trainer", "running"],
        ["trainer", "succeeded"],
        ["pusher", "pending"],
        ["pusher", "succeeded"],
    ]
    assert "  3/3  pusher              succeeded      90.0 s" in result.stderr
    assert "the server does not say whether a candidate passed" in result.stderr
    assert result.stdout.count("\n") == 1


ENDED = {"import-example-gen": "SUCCEEDED", "trainer": "SUCCEEDED", "pusher": "SUCCEEDED"}


def log_of(**outcome: Any) -> str:
    """What a task of ours logs that ends with an outcome, and KFP's launcher around it."""
    lines = [
        json.dumps({"severity": "INFO", "node": "x", "message": "importing"}),
        json.dumps(
            {"severity": "INFO", "node": "x", "message": "ended", "outcome": {"version": 1, **outcome}}
        ),
    ]
    launcher = "I1122 12:00:00.000000       1 launcher_v2.go:90] launcher v2"
    return "\n".join([launcher, *lines, f"{launcher} stops", ""])


def test_the_pushers_log_tells_where_the_winner_is(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("SUCCEEDED", ENDED)]
    server.state.logs = {"pusher": log_of(code=0, pushed=True, destination="gs://bucket/serving/17")}
    result = submit("--wait", "--json")
    assert result.exit_code == 0
    told = json.loads(result.stdout)
    assert (told["pushed"], told["none_passed"]) == ("gs://bucket/serving/17", False)
    assert told["message"].endswith("succeeded; pushed to gs://bucket/serving/17")


def test_nobody_passed_has_a_code_of_its_own(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("SUCCEEDED", ENDED)]
    server.state.logs = {"pusher": log_of(code=0, pushed=False)}
    result = submit("--wait")
    assert result.exit_code == 4
    assert "No candidate passed the gate; nothing was pushed." in result.stderr


@pytest.mark.parametrize("log", ["Model pushed", log_of(code=0), log_of(version=2, code=0, pushed=True)])
def test_without_an_outcome_it_is_not_known_who_passed(submit: Submit, server: ApiServer, log: str) -> None:
    server.state.script = [("SUCCEEDED", ENDED)]
    server.state.logs = {"pusher": log}
    result = submit("--wait", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["pushed"], report["none_passed"]) == (None, None)


def test_a_skipped_pusher_means_that_nobody_passed(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("SUCCEEDED", {**ENDED, "pusher": "SKIPPED"})]
    assert submit("--wait").exit_code == 4


FAILED = {"import-example-gen": "SUCCEEDED", "trainer": "FAILED"}


def test_a_task_that_failed_is_named_with_the_reason_in_its_log(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"}), ("FAILED", FAILED)]
    server.state.errors = {"trainer": "Error (exit code 3)"}
    server.state.logs = {
        "trainer": log_of(code=3, reason="an earlier try") + log_of(code=3, reason="ValueError: no label")
    }
    result = submit("--wait")
    assert result.exit_code == 3
    assert "Task trainer failed: ValueError: no label\n" in result.stderr


def test_a_log_of_one_line_is_read_as_it_is(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    outcome = {"version": 1, "code": 3, "reason": 'it\'s "that"'}
    server.state.logs = {"trainer": json.dumps({"message": "x", "outcome": outcome})}
    assert 'Task trainer failed: it\'s "that"\n' in submit("--wait").stderr


def test_without_logs_the_api_says_what_failed(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    server.state.errors = {"trainer": "Error (exit code 3)"}
    result = submit("--wait", "--json")
    assert result.exit_code == 3
    told = json.loads(result.stdout)
    (failure,) = told["failures"]
    assert (failure["task"], failure["message"]) == ("trainer", "Error (exit code 3)")
    assert failure["pods"] == [api_server.pod(run_of(server).run_id, "trainer")]
    assert (told["code"], told["state"]) == (3, "FAILED")
    assert told["tasks"] == {"import-example-gen": "succeeded", "trainer": "failed"}


def test_a_task_that_was_killed_shows_the_end_of_its_log(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    server.state.errors = {"trainer": "Error (exit code 1)"}
    server.state.logs = {"trainer": "Traceback\nNo module named 'pipeline'\n"}
    said = "Task trainer failed: Error (exit code 1); its log ends with: No module named 'pipeline'"
    assert said in submit("--wait").stderr


def test_a_task_that_failed_without_a_word_names_its_pod(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    result = submit("--wait")
    assert result.exit_code == 3
    pod = api_server.pod(run_of(server).run_id, "trainer")
    assert (
        f"Task trainer failed: KFP gives no reason; see kubectl logs -n kubeflow {pod} -c main"
        in result.stderr
    )


def test_a_task_whose_driver_failed_has_failed(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", {"import-example-gen": "SUCCEEDED", "trainer": "NO_DRIVER"})]
    server.state.errors = {"trainer": "resolving inputs: no such parameter"}
    result = submit("--wait")
    assert result.exit_code == 3
    assert "Task trainer failed: resolving inputs: no such parameter" in result.stderr


def test_a_run_that_failed_before_its_tasks_tells_why(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", {})]
    server.state.run_error = "workflow shut down: image cannot be pulled"
    result = submit("--wait", "--run-name", "nightly")
    assert result.exit_code == 3
    assert "Run nightly failed: workflow shut down: image cannot be pulled" in result.stderr


def test_a_canceled_run_is_none_that_succeeded(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("CANCELING", {}), ("CANCELED", {"trainer": "CANCELED"})]
    result = submit("--wait", "--run-name", "nightly")
    assert result.exit_code == 3
    assert "Run nightly was canceled" in result.stderr


def test_waiting_ends_after_the_timeout_and_the_run_goes_on(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"})]
    began = time.monotonic()
    result = submit("--wait", "--timeout", "0.2s", "--poll-interval", "1h")
    assert time.monotonic() - began < 10
    assert result.exit_code == 5
    run = run_of(server)
    page = f"{server.url}/#/runs/details/{run.run_id}"
    assert f"Not finished after 0.2 s (--timeout). The run goes on; see {page}" in result.stderr


def test_a_server_that_is_away_for_a_moment_is_waited_for(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"}), ("SUCCEEDED", ENDED)]
    server.state.faults = [Fault("GET .*/runs/", "status", times=5), Fault("GET .*/runs/", "cut", times=1)]
    result = submit("--wait")
    assert result.exit_code == 0, result.stderr
    assert "failed with 503 when asked for the run" in result.stderr
    assert "the run goes on, and the server is asked again" in result.stderr


def test_a_server_that_stays_away_leaves_the_run_alone(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("GET .*/runs/", "cut")]
    result = submit("--wait")
    assert result.exit_code == 5
    assert "broke off the connection" in result.stderr
    assert "The run may go on; see http://127.0.0.1" in result.stderr


def test_the_timeout_counts_while_the_server_is_away(
    submit: Submit, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kubeflow_watch, "_OUTAGE_SECONDS", 3600.0)
    server.state.faults = [Fault("GET .*/runs/", "cut")]
    result = submit("--wait", "--timeout", "0.3s")
    assert result.exit_code == 5
    assert "Not finished after 0.3 s (--timeout). The run goes on" in result.stderr


def test_a_token_that_is_renewed_in_its_file_is_read_again(
    submit: Submit, server: ApiServer, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    server.state.token = TOKEN
    server.state.script = [("RUNNING", {"trainer": "RUNNING"})] * 5 + [("SUCCEEDED", ENDED)]

    def renew() -> None:
        server.state.looked.wait(20)
        file.write_text("the-next-token")
        server.state.token = "the-next-token"

    thread = threading.Thread(target=renew)
    thread.start()
    result = submit("--wait", "--token-file", str(file), "--poll-interval", "0.2s")
    thread.join()
    assert result.exit_code == 0, result.stderr


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
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    page = f"{server.url}/#/runs/details/{run_of(server).run_id}"
    assert f"Interrupted. The run goes on; see {page}" in err
    assert "Traceback" not in err
    told = json.loads(out)
    assert (told["code"], told["run"]["page"]) == (130, page)
    assert not [line for line in server.state.requests if "terminate" in line]


def test_a_file_is_submitted_without_tensorflow_and_tfx(compiled_file: Path, server: ApiServer) -> None:
    server.state.faults = [Fault("GET .*/pipelines$", "cut", times=1)]  # is not told
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


# Requests whose answers get lost.


@pytest.mark.parametrize("path", ["POST .*/pipelines$", "POST .*/upload_version", "POST .*/experiments"])
@pytest.mark.parametrize("kind", ["lost", "cut", "half", "short"])
def test_nothing_is_made_twice_when_an_answer_is_lost(
    submit: Submit, server: ApiServer, path: str, kind: str
) -> None:
    server.state.faults = [Fault(path, kind, times=1)]
    result = submit()
    assert result.exit_code == 0, result.stderr
    assert len(server.state.pipelines) == len(server.state.versions) == len(server.state.experiments) == 1
    assert run_of(server).pipeline_version_reference.pipeline_version_id in server.state.versions


@pytest.mark.parametrize("kind", ["lost", "cut", "half", "short", "status"])
def test_a_run_is_started_once_when_an_answer_is_lost(submit: Submit, server: ApiServer, kind: str) -> None:
    server.state.faults = [Fault("POST .*/runs$", kind, times=1)]
    submit("--run-name", "same")
    result = submit("--run-name", "same")
    assert result.exit_code == 0, result.stderr
    assert len(server.state.runs) == 2
    assert list(server.state.runs)[1] in result.stdout


def test_a_run_that_may_have_been_started_is_told(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("POST .*/runs$", "lost"), Fault("GET .*/runs$", "status")]
    result = submit()
    assert result.exit_code == 5
    (experiment,) = server.state.experiments
    assert "It is not known whether the run was started; see" in result.stderr
    assert f"/#/experiments/details/{experiment}" in result.stderr


def test_a_run_whose_start_takes_long_is_not_started_again(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("POST .*/runs$", "slow", seconds=1.0)]
    result = submit("--request-timeout", "0.3s")
    assert result.exit_code == 5
    assert "did not answer within 0.3 s when asked to start a run" in result.stderr
    assert "It is not known whether the run was started" in result.stderr
    time.sleep(1.0)
    assert len(server.state.runs) == 1


# Servers that are none, or refuse.


def refusal(result: Result) -> str:
    """The one line of an error."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    return line


def test_a_host_that_does_not_exist(submit: Submit) -> None:
    line = refusal(submit("--host", "http://no-such-host.invalid"))
    assert line.startswith("there is no server named 'no-such-host.invalid'; check the spelling of --host")


def test_a_host_where_nothing_listens(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kubeflow_server, "_BACKOFF_SECONDS", 10.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    began = time.monotonic()
    line = refusal(submit("--host", f"http://127.0.0.1:{port}"))
    assert time.monotonic() - began < 10  # who never answered is not asked again and again
    assert line.startswith(
        f"nothing listens at 127.0.0.1:{port}; is the port-forward running? kubectl port-forward"
    )


def test_a_host_that_never_answers(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "slow", seconds=1.0)]
    line = refusal(submit("--request-timeout", "0.1s"))
    assert f"{server.url} did not answer within 0.1 s when asked for its health" in line
    assert "--request-timeout" in line


def test_a_host_without_tls(submit: Submit, server: ApiServer) -> None:
    line = refusal(submit("--host", server.url.replace("http:", "https:")))
    authority = urlsplit(server.url).netloc
    assert (
        line
        == f"{authority} does not answer in TLS; if it is a port-forward, write --host http://{authority}"
    )
    assert refusal(submit("--host", authority)) == line


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            "ftp://example.com",
            "--host ftp://example.com: is not an address; write e.g. http://localhost:8080",
        ),
        ("http://localhost:80a", "is not an address"),
        ("http://[::1", "is not an address"),
        (
            f"https://ada:{TOKEN}@example.com/pipeline",
            "--host https://example.com/pipeline: has a user name",
        ),
    ],
)
def test_an_address_that_is_none(submit: Submit, host: str, said: str) -> None:
    line = refusal(submit("--host", host))
    assert said in line
    assert TOKEN not in line


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a key, and a certificate for this machine that nobody trusts."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2120, 1, 1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificates_are_checked(submit: Submit, certificate: Path) -> None:
    with api_server.running(certificate) as trusted:
        line = refusal(submit("--host", trusted.url))
        assert (
            line
            == f"the certificate of {trusted.url} is not trusted; give its authority's certificate with --ca-cert FILE"
        )
        assert not trusted.state.requests
        assert submit("--host", trusted.url, "--ca-cert", str(certificate)).exit_code == 0
        assert submit("--host", trusted.url, "--insecure").exit_code == 0
        assert len(trusted.state.runs) == 2


def test_a_proxy_is_asked(submit: Submit, server: ApiServer) -> None:
    result = submit("--host", "http://kubeflow.example.com", "--proxy", server.url)
    assert result.exit_code == 0
    assert result.stdout.startswith("http://kubeflow.example.com/#/runs/details/")
    assert server.state.requests[0] == "GET http://kubeflow.example.com/apis/v2beta1/healthz"


def test_a_proxy_that_does_not_connect(submit: Submit) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = refusal(submit("--proxy", f"http://ada:{TOKEN}@127.0.0.1:{port}"))
    assert line == f"the proxy http://127.0.0.1:{port} does not accept connections; check --proxy"


@pytest.mark.parametrize("end", ["/", "/#/pipelines", "/apis/v2beta1"])
def test_an_address_out_of_the_browser_will_do(submit: Submit, server: ApiServer, end: str) -> None:
    assert submit("--host", server.url + end).exit_code == 0


def test_no_host_at_all(compiled_file: Path) -> None:
    result = CliRunner().invoke(main, ["submit", str(compiled_file)])
    assert refusal(result).startswith("give --host or set KF_PIPELINES_ENDPOINT")


def test_the_clients_variables_name_the_host(
    server: ApiServer, compiled_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example.com/pipeline/")
    result = CliRunner().invoke(main, ["submit", str(compiled_file)])
    assert result.exit_code == 0
    assert result.stdout.startswith("https://kubeflow.example.com/pipeline/#/runs/details/")


def test_a_server_that_is_another_one(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "status", status=404, body="404 page not found")]
    assert "does not have the API of Kubeflow Pipelines 2 (404); for a Kubeflow dashboard" in refusal(
        submit()
    )


def test_a_web_page_is_no_answer(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "page")]
    line = refusal(submit())
    assert f"{server.url} answers with a web page" in line
    assert "--cookies-file" in line and "/pipeline" in line


@pytest.mark.parametrize(
    ("kind", "said"),
    [("half", "broke off the connection"), ("short", "broke off its answer"), ("cut", "broke off")],
)
@pytest.mark.parametrize("path", ["healthz", "GET .*/pipelines$", "GET .*/experiments"])
def test_half_an_answer_is_no_answer(
    submit: Submit, server: ApiServer, kind: str, said: str, path: str
) -> None:
    server.state.faults = [Fault(path, kind)]
    line = refusal(submit())
    assert said in line and "try again" in line
    asked = [request for request in server.state.requests if re.search(path, request.split("?")[0])]
    assert len(asked) == (1 if kind == "short" else 4)  # urllib3 takes a short answer for a whole one
    assert not server.state.runs


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_fails_is_asked_again(submit: Submit, server: ApiServer, status: int) -> None:
    server.state.faults = [Fault("GET .*/pipelines$", "status", times=2, status=status)]
    assert submit().exit_code == 0
    server.state.faults = [Fault("GET .*/pipelines$", "status", status=status)]
    server.state.requests.clear()
    line = refusal(submit())
    assert f"failed with {status} when asked for pipelines: upstream connect error" in line
    assert "kubectl logs -n kubeflow deploy/ml-pipeline" in line
    assert len([request for request in server.state.requests if "/pipelines?" in request]) == 4


def test_an_error_within_the_server_is_no_reason_to_ask_for_a_run_again(
    submit: Submit, server: ApiServer
) -> None:
    server.state.faults = [Fault("POST .*/runs$", "status", status=500, body='{"message": "no workflow"}')]
    assert "failed with 500 when asked to start a run: no workflow" in refusal(submit())
    assert len([line for line in server.state.requests if line.startswith("POST") and "/runs" in line]) == 1


def test_who_is_not_known_is_told_how_to_sign_in(submit: Submit, server: ApiServer, tmp_path: Path) -> None:
    server.state.token = "another-token"
    assert "did not accept the sign-in (401)" in refusal(submit())
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    result = submit("--token-file", str(file))
    line = refusal(result)
    assert "give --token-file, --cookies-file or --service-account-token" in line
    # The server repeats it in its answer.
    assert "not Bearer …" in line
    assert TOKEN not in result.output


def test_who_may_not_is_told_what_is_missing(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a",)
    line = refusal(submit("--namespace", "team-b"))
    assert f"{server.url} does not allow pipelines (403): User 'ada@example.com' is not authorized" in line
    assert "check --namespace" in line


def test_namespaces_are_used_throughout(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a", "team-b")
    for namespace in ("team-a", "team-b"):
        assert submit("--namespace", namespace, "--experiment", namespace).exit_code == 0
    assert [row.namespace for row in server.state.pipelines.values()] == ["team-a", "team-b"]
    assert [row.namespace for row in server.state.experiments.values()] == ["team-a", "team-b"]


def test_a_missing_namespace_is_asked_for(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a",)
    assert "has several users; give --namespace" in refusal(submit())


def test_a_namespace_that_is_not_wanted_is_refused(submit: Submit) -> None:
    assert "has no user namespaces; remove --namespace" in refusal(submit("--namespace", "team-a"))


def test_the_namespace_of_the_pod_counts(
    submit: Submit, server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "namespace"
    file.write_text("team-a")
    monkeypatch.setattr(kubeflow_connection, "_POD_NAMESPACE", file)
    server.state.namespaces = ("team-a",)
    assert submit().exit_code == 0
    assert not (tmp_path / "no").exists()  # the client would write it into its settings


@pytest.mark.parametrize("how", ["file", "environment"])
@pytest.mark.parametrize("what", ["token", "cookies"])
def test_secrets_come_from_files_and_the_environment(
    submit: Submit, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, what: str
) -> None:
    setattr(server.state, what, TOKEN)
    arguments = []
    if how == "file":
        (tmp_path / what).write_text(TOKEN + "\n")
        arguments = [f"--{what}-file", str(tmp_path / what)]
    else:
        monkeypatch.setenv(f"PAREDOWN_KFP_{what.upper()}", TOKEN)
    result = submit(*arguments)
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_token_of_a_service_account_is_read_by_the_client(
    submit: Submit, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    server.state.token = TOKEN
    arguments = []
    if how == "option":
        arguments = ["--service-account-token", str(file)]
    else:
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    assert submit(*arguments).exit_code == 0


def test_the_token_of_a_service_account_that_is_missing_is_named(submit: Submit, tmp_path: Path) -> None:
    line = refusal(submit("--service-account-token", str(tmp_path / "none")))
    assert line == f"--service-account-token {tmp_path / 'none'}: cannot be read: No such file or directory"


@pytest.mark.parametrize("content", ["", "two\nlines-of-secrets", "smart“quotes”"])
def test_a_file_without_a_token_is_refused(submit: Submit, tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    result = submit("--token-file", str(file))
    assert refusal(result) == "--token-file: must hold one line of ASCII characters"


def test_a_token_file_that_is_missing_is_named(submit: Submit, tmp_path: Path) -> None:
    line = refusal(submit("--token-file", str(tmp_path / "none")))
    assert line == f"--token-file {tmp_path / 'none'}: cannot be read: No such file or directory"


def test_a_specification_that_the_server_refuses(
    submit: Submit, server: ApiServer, compiled_file: Path
) -> None:
    text = compiled_file.read_text(encoding="utf-8")
    compiled_file.write_text(text.replace("deploymentSpec:", "unknownSection: {}\ndeploymentSpec:", 1))
    line = refusal(submit())
    assert (
        f"{server.url} refuses to take the pipeline specification of mnist (400): Invalid input error"
        in line
    )
    assert "unknownSection" in line
    assert not server.state.runs


# What is refused without asking the server.


@pytest.mark.parametrize(
    ("param", "said"),
    [
        (
            "sede=7",
            "the pipeline has no parameter 'sede'; did you mean 'seed'?",
        ),
        ("seed=seven", "--param seed=seven: 'seven' is not an integer, as seed must be"),
        ("seed", "--param seed: write name=value"),
    ],
)
def test_parameters_are_checked(submit: Submit, server: ApiServer, param: str, said: str) -> None:
    assert said in refusal(submit("--param", param))
    assert not server.state.requests


def test_types_of_parameters(pipeline_text: str) -> None:
    documents = yaml.safe_load(pipeline_text)
    documents["root"]["inputDefinitions"]["parameters"].update(
        rate={"parameterType": "NUMBER_DOUBLE", "isOptional": True},
        fast={"parameterType": "BOOLEAN", "isOptional": True},
        sizes={"parameterType": "LIST", "isOptional": True},
        must={"parameterType": "STRING"},
    )
    spec = kubeflow_package.read(yaml.safe_dump(documents)).spec
    given = ["rate=1e-3", "fast=True", "sizes=[1, 2]", "must=a=b", "seed=-1"]
    assert kubeflow_package.arguments(spec, given) == {
        "rate": 0.001,
        "fast": True,
        "sizes": [1, 2],
        "must": "a=b",
        "seed": -1,
    }
    for wrong in ("rate=x", "rate=NaN", "rate=1e999", "fast=1", "sizes={}", "sizes=[", "seed=1.5"):
        with pytest.raises(kubeflow_package.PackageError, match="is not"):
            kubeflow_package.arguments(spec, ["must=x", wrong])
    with pytest.raises(kubeflow_package.PackageError, match="must has no default; give --param must="):
        kubeflow_package.arguments(spec, [])
    with pytest.raises(kubeflow_package.PackageError, match="seed is given twice"):
        kubeflow_package.arguments(spec, ["must=x", "seed=1", "seed=2"])


def test_tasks_come_after_what_they_wait_for(pipeline_text: str) -> None:
    assert kubeflow_package.read(pipeline_text).spec.order() == ["import-example-gen", "trainer", "pusher"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"pipelineSpec": {}}', "is compiled for Vertex AI; compile it with --target kubeflow"),
        ("pipelineInfo: {name: x}", "is not a complete pipeline specification"),
        ("components: {}\ndeploymentSpec: [", "is neither YAML nor JSON: while parsing"),
    ],
)
def test_a_file_that_cannot_be_submitted(submit: Submit, compiled_file: Path, text: str, said: str) -> None:
    compiled_file.write_text(text)
    assert f"{compiled_file}: {said}" in refusal(submit())


@pytest.mark.parametrize("part", range(2, 16))
def test_half_a_file_is_refused(
    submit: Submit, server: ApiServer, compiled_file: Path, pipeline_text: str, part: int
) -> None:
    lines = pipeline_text.splitlines(keepends=True)
    compiled_file.write_text("".join(lines[3 : len(lines) * part // 16]))  # without the comments above it
    line = refusal(submit())
    assert "is not a complete pipeline specification" in line or "is neither YAML nor JSON" in line
    assert not server.state.requests


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


# Configs.


def test_a_config_wants_an_image_and_a_root(server: ApiServer) -> None:
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
    told = json.loads(result.stdout)
    assert told["data"] == config.data.path
    assert told["tasks"] == {"import-example-gen": "succeeded"}
    assert told["parameters"]["seed"] == 3
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
