"""What a small Kubeflow Pipelines API server has and does, and the faults that a test orders."""

from __future__ import annotations

import threading
import uuid
import zlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

import kfp_server_api

# GooglerpcStatus, or GoogleRpcStatus, by the version.
Status = getattr(kfp_server_api, kfp_server_api.V2beta1RuntimeStatus.openapi_types["error"])
START = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


@dataclass
class Fault:
    """Something that goes wrong with requests.

    Attributes:
        path: Regular expression of `METHOD /path`.
        kind: `status`; `page`, an HTML page; `half`, an answer that ends before its length; `short`, one
            that ends early without a length; `cut`, none at all; `lost`, none, but what was
            asked for is done; `slow`, one after `seconds`.
        times: How often.
        status: The HTTP status, for `status`.
        body: The body, for `status`.
        seconds: Delay, for `slow`.
    """

    path: str
    kind: str
    times: int = 1000
    status: int = 503
    body: str = "upstream connect error or disconnect/reset before headers"
    seconds: float = 5.0


@dataclass
class State:
    """What the server has and does.

    Attributes:
        pipelines, versions, experiments, runs: Id → the client's model.
        specs: Id of a version → the text that was uploaded.
        script: What successive looks at a run find: its state, and task → state. The last one stays.
        errors: Task → what the API says went wrong in it.
        run_error: What it says of the run.
        logs: Task → the log of its pod.
        token, cookies: What requests must have; None: anything.
        namespaces: Namespaces of the user; None for a server with one user.
        requests: `METHOD /path?query` of each request.
        answers: Name of the model → JSON, of each answer.
    """

    pipelines: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    experiments: dict[str, Any] = field(default_factory=dict)
    runs: dict[str, Any] = field(default_factory=dict)
    specs: dict[str, str] = field(default_factory=dict)
    script: list[tuple[str, dict[str, str]]] = field(default_factory=lambda: [("PENDING", {})])
    errors: dict[str, str] = field(default_factory=dict)
    run_error: str = ""
    logs: dict[str, str] = field(default_factory=dict)
    token: str | None = None
    cookies: str | None = None
    namespaces: tuple[str, ...] | None = None
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    answers: list[tuple[str, Any]] = field(default_factory=list)
    looks: int = 0
    looked: threading.Event = field(default_factory=threading.Event)

    def named(self, kind: str) -> list[str]:
        """Display names of what there is of a kind."""
        return [row.display_name for row in getattr(self, kind).values()]


def pod(run_id: str, task: str) -> str:
    """The pod of a task's container."""
    return f"mnist-{run_id[:5]}-{zlib.crc32(task.encode())}"


def task_details(run_id: str, states: dict[str, str], errors: dict[str, str]) -> list[Any]:
    """Tasks as KFP 2 reports them: the nodes of Argo's workflow, by the names that it shows.

    Each task is a node with an `executor` below it, and beside it a `-driver`. `CACHED` is a task that
    succeeded with an executor that was skipped; `NO_DRIVER` is one whose driver failed.
    """
    model = kfp_server_api.V2beta1PipelineTaskDetail

    def detail(name: str, state: str, **more: Any) -> Any:
        ended = state not in ("RUNNING", "PENDING")
        return model(
            run_id=run_id,
            task_id=str(uuid.uuid5(uuid.NAMESPACE_OID, run_id + name + more.pop("of", ""))),
            display_name=name,
            create_time=START,
            start_time=START,
            end_time=START + timedelta(seconds=90) if ended else datetime.fromtimestamp(0, timezone.utc),
            state=state,
            state_history=[kfp_server_api.V2beta1RuntimeStatus(update_time=START, state=state)],
            **more,
        )

    found = [detail("root-driver", "SUCCEEDED"), detail("root", "RUNNING")]
    for task, state in states.items():
        if state == "NO_DRIVER":
            status = Status(code=2, message=errors.get(task, ""))
            found.append(detail(f"{task}-driver", "FAILED", error=status if errors.get(task) else None))
            found.append(detail(task, "RUNTIME_STATE_UNSPECIFIED"))
            continue
        found.append(detail(f"{task}-driver", "SUCCEEDED" if state != "PENDING" else "RUNNING"))
        if state == "PENDING":
            continue
        own = detail(task, "SUCCEEDED" if state == "CACHED" else state)
        inner = detail("executor", "SKIPPED" if state == "CACHED" else state, of=task)
        inner.parent_task_id = own.task_id
        own.child_tasks = [kfp_server_api.PipelineTaskDetailChildTask(pod_name=pod(run_id, task))]
        if task in errors and state == "FAILED":
            own.state_history[-1].error = Status(code=2, message=errors[task])
        found += [own, inner]
    return found
