"""`paredown submit --wait` follows a run to its end and says how it ended."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from components.common.base.interruption import Interrupted
from pipeline.kubeflow import watch as kubeflow_watch
from pipeline.kubeflow.server import Server
from tests.pipeline.kubeflow import api_state
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.api_state import Fault
from tests.pipeline.kubeflow.conftest import TOKEN, Submit, run_of

pytestmark = pytest.mark.usefixtures("fast")

ENDED = {"import-example-gen": "SUCCEEDED", "trainer": "SUCCEEDED", "pusher": "SUCCEEDED"}


FAILED = {"import-example-gen": "SUCCEEDED", "trainer": "FAILED"}


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


def test_the_pushers_log_says_where_the_winner_is(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("SUCCEEDED", ENDED)]
    server.state.logs = {"pusher": log_of(code=0, pushed=True, destination="gs://bucket/serving/17")}
    result = submit("--wait", "--json")
    assert result.exit_code == 0
    reported = json.loads(result.stdout)
    assert (reported["pushed"], reported["none_passed"]) == ("gs://bucket/serving/17", False)
    assert reported["message"].endswith("succeeded; pushed to gs://bucket/serving/17")


@pytest.mark.parametrize("log", ["Model pushed", log_of(code=0), log_of(version=2, code=0, pushed=True)])
def test_without_an_outcome_it_is_not_known_who_passed(submit: Submit, server: ApiServer, log: str) -> None:
    server.state.script = [("SUCCEEDED", ENDED)]
    server.state.logs = {"pusher": log}
    result = submit("--wait", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["pushed"], report["none_passed"]) == (None, None)


NONE_PASSED = "No candidate passed the gate; nothing was pushed."
NO_MODULE = "Traceback\nNo module named 'pipeline'\n"
KILLED = "Error (exit code 1)"


@pytest.mark.parametrize(
    ("state", "tasks", "errors", "logs", "code", "said"),
    [
        ("SUCCEEDED", ENDED, {}, {"pusher": log_of(code=0, pushed=False)}, 4, NONE_PASSED),
        ("SUCCEEDED", {**ENDED, "pusher": "SKIPPED"}, {}, {}, 4, NONE_PASSED),
        (
            "FAILED",
            FAILED,
            {"trainer": KILLED},
            {
                "trainer": log_of(code=3, reason="an earlier try")
                + log_of(code=3, reason="ValueError: no label")
            },
            3,
            "Task trainer failed: ValueError: no label\n",
        ),
        (
            "FAILED",
            FAILED,
            {},
            {"trainer": json.dumps({"outcome": {"version": 1, "code": 3, "reason": 'it\'s "that"'}})},
            3,
            'Task trainer failed: it\'s "that"\n',
        ),
        (
            "FAILED",
            FAILED,
            {"trainer": KILLED},
            {"trainer": NO_MODULE},
            3,
            "Task trainer failed: Error (exit code 1); its log ends with: No module named 'pipeline'",
        ),
        (
            "FAILED",
            {"import-example-gen": "SUCCEEDED", "trainer": "NO_DRIVER"},
            {"trainer": "resolving inputs: no such parameter"},
            {},
            3,
            "Task trainer failed: resolving inputs: no such parameter",
        ),
        (
            "FAILED",
            {},
            {"": "workflow shut down: image cannot be pulled"},
            {},
            3,
            "Run nightly failed: workflow shut down: image cannot be pulled",
        ),
        ("CANCELED", {"trainer": "CANCELED"}, {}, {}, 3, "Run nightly was canceled"),
    ],
    ids=[
        "the pusher's outcome says that it pushed nothing",
        "the pusher was skipped",
        "the last outcome of a task says why it failed",
        "a log of one line is JSON as a whole",
        "a task without an outcome shows the API's words and the end of its log",
        "a task whose driver failed has failed",
        "a run that failed before its tasks has its own reason",
        "a canceled run has not succeeded",
    ],
)
def test_the_end_of_a_run_is_reported(
    submit: Submit,
    server: ApiServer,
    state: str,
    tasks: dict[str, str],
    errors: dict[str, str],
    logs: dict[str, str],
    code: int,
    said: str,
) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"}), (state, tasks)]
    server.state.run_error, server.state.errors, server.state.logs = errors.get("", ""), errors, logs
    result = submit("--wait", "--run-name", "nightly")
    assert result.exit_code == code
    assert said in result.stderr


def test_without_logs_the_api_says_what_failed(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    server.state.errors = {"trainer": "Error (exit code 3)"}
    result = submit("--wait", "--json")
    assert result.exit_code == 3
    reported = json.loads(result.stdout)
    (failure,) = reported["failures"]
    assert (failure["task"], failure["message"]) == ("trainer", "Error (exit code 3)")
    assert failure["pods"] == [api_state.pod(run_of(server).run_id, "trainer")]
    assert (reported["code"], reported["state"]) == (3, "FAILED")
    assert reported["tasks"] == {"import-example-gen": "succeeded", "trainer": "failed"}


def test_a_task_that_failed_without_a_word_names_its_pod(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("FAILED", FAILED)]
    result = submit("--wait")
    assert result.exit_code == 3
    pod = api_state.pod(run_of(server).run_id, "trainer")
    assert (
        f"Task trainer failed: KFP gives no reason; see kubectl logs -n kubeflow {pod} -c main"
        in result.stderr
    )


def test_waiting_ends_after_the_timeout_and_the_run_goes_on(submit: Submit, server: ApiServer) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"})]
    result = submit(
        "--wait", "--timeout", "0.2s", "--poll-interval", "1h"
    )  # an hour is more than a test may take
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
    file.chmod(0o600)
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


def test_an_interrupt_that_a_library_swallowed_ends_the_wait(
    submit: Submit, server: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.state.script = [("RUNNING", {"trainer": "RUNNING"})]
    read = Server.read

    def swallowing(*arguments: Any, **named: Any) -> Any:
        found = read(*arguments, **named)
        if arguments[1] == "the run":
            with contextlib.suppress(Interrupted):
                signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(Server, "read", swallowing)

    result = submit("--wait")

    assert result.exit_code == 130
    assert f"Interrupted. The run goes on; see {server.url}" in result.stderr
