"""Servers that do not exist, refuse, fail or lose an answer."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.kubeflow import server as kubeflow_server
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.api_state import Fault
from tests.pipeline.kubeflow.conftest import TOKEN, Submit, refusal, run_of

pytestmark = pytest.mark.usefixtures("fast")


def test_a_host_that_does_not_exist(submit: Submit) -> None:
    line = refusal(submit("--host", "http://no-such-host.invalid"))
    assert line.startswith("there is no server named 'no-such-host.invalid'; check the spelling of --host")


def test_a_host_where_nothing_listens(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    # Who never answered is not asked again: the pause before that would be longer than a test may take.
    monkeypatch.setattr(kubeflow_server, "_BACKOFF_SECONDS", 1500.0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = refusal(submit("--host", f"http://127.0.0.1:{port}"))
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


def test_a_server_that_is_another_one(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "status", status=404, body="404 page not found")]
    assert "does not have the API of Kubeflow Pipelines 2 (404); for a Kubeflow dashboard" in refusal(
        submit()
    )


def test_a_web_page_is_not_an_answer(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("healthz", "page")]
    line = refusal(submit())
    assert f"{server.url} answers with a web page" in line
    assert "--cookies-file" in line and "/pipeline" in line


@pytest.mark.parametrize(
    ("kind", "said"),
    [("half", "broke off the connection"), ("short", "broke off its answer"), ("cut", "broke off")],
)
@pytest.mark.parametrize("path", ["healthz", "GET .*/pipelines$", "GET .*/experiments"])
def test_half_an_answer_is_not_an_answer(
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


def test_an_error_within_the_server_is_not_a_reason_to_ask_for_a_run_again(
    submit: Submit, server: ApiServer
) -> None:
    server.state.faults = [Fault("POST .*/runs$", "status", status=500, body='{"message": "no workflow"}')]
    assert "failed with 500 when asked to start a run: no workflow" in refusal(submit())
    assert len([line for line in server.state.requests if line.startswith("POST") and "/runs" in line]) == 1


def test_an_unknown_user_learns_how_to_sign_in(submit: Submit, server: ApiServer, tmp_path: Path) -> None:
    server.state.token = "another-token"
    assert "did not accept the sign-in (401)" in refusal(submit())
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    result = submit("--token-file", str(file))
    line = refusal(result)
    assert "give --token-file, --cookies-file or --service-account-token" in line
    # The server repeats it in its answer.
    assert "not Bearer …" in line
    assert TOKEN not in result.output


def test_a_forbidden_user_learns_what_is_missing(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a",)
    line = refusal(submit("--namespace", "team-b"))
    assert f"{server.url} does not allow pipelines (403): User 'ada@example.com' is not authorized" in line
    assert "check --namespace" in line


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


def test_a_run_that_may_have_been_started_is_reported(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("POST .*/runs$", "lost"), Fault("GET .*/runs$", "status")]
    result = submit()
    assert result.exit_code == 5
    (experiment,) = server.state.experiments
    assert "It is not known whether the run was started; see" in result.stderr
    assert f"/#/experiments/details/{experiment}" in result.stderr


def test_a_run_whose_start_takes_long_is_not_started_again(submit: Submit, server: ApiServer) -> None:
    server.state.faults = [Fault("POST .*/runs$", "slow", seconds=3.0)]
    result = submit("--request-timeout", "1.5s")
    assert result.exit_code == 5
    assert "did not answer within 1.5 s when asked to start a run" in result.stderr
    assert "It is not known whether the run was started" in result.stderr
    end = time.monotonic() + 60
    while not server.state.runs and time.monotonic() < end:  # the request that no one waits for
        time.sleep(0.05)
    assert len(server.state.runs) == 1
