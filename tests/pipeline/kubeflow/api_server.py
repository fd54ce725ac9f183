"""A Kubeflow Pipelines API server, small: what `paredown submit` asks of KFP's REST API v2beta1, over HTTP on
the loopback interface, with its state in memory and faults to order.

Requests are taken as strictly as the real server takes them: unknown paths, query parameters and fields are
refused, specifications are parsed into KFP's own protocol buffers. Answers are made of `kfp_server_api`'s
models and in the JSON of grpc-gateway; `answers` keeps them.
"""

from __future__ import annotations

import email.parser
import email.policy
import json
import re
import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import kfp_server_api
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from tests.pipeline.kubeflow.api_state import START, State, Status, pod, task_details

_Answer = tuple[str | None, Any]


class Refused(Exception):
    """An answer with an error. `body` is JSON, as grpc-gateway or the upload's handler write it."""

    def __init__(self, status: int, message: str, upload: bool = False):
        super().__init__(message)
        self.status = status
        codes = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13}
        self.body = (
            {"error_message": message, "error_details": message}
            if upload
            else {"error": message, "code": codes.get(status, 2), "message": message, "details": []}
        )


class ApiServer(ThreadingHTTPServer):
    """The server; `state` may be looked at and changed while it runs."""

    daemon_threads = True

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = State()
        self.lock = threading.Lock()
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)

    @property
    def url(self) -> str:
        """Address of the API."""
        return f"{self._scheme}://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is none of the server's business."""


@contextmanager
def running(certificate: Path | None = None) -> Iterator[ApiServer]:
    """A server, for as long as it is needed; with a file of a key and its certificate, one of HTTPS."""
    server = ApiServer(certificate)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _to_json(value: Any) -> Any:
    """A model as grpc-gateway writes it: times in UTC with a Z."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, list):
        return [_to_json(one) for one in value]
    if isinstance(value, dict):
        return {key: _to_json(one) for key, one in value.items()}
    if hasattr(value, "openapi_types"):
        return {
            value.attribute_map[name]: _to_json(getattr(value, name))
            for name in value.openapi_types
            if getattr(value, name) is not None
        }
    return value


def _from_json(model: Any, values: Any) -> Any:
    """A model from a request's JSON; refuses fields that it does not have, as protocol buffers do."""
    names = {key: name for name, key in model.attribute_map.items()}
    unknown = set(values) - set(names)
    if unknown:
        raise Refused(400, f'unknown field "{unknown.pop()}"')
    return model(**{names[key]: value for key, value in values.items()})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # which costs 40 ms a request
    server: ApiServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *arguments: Any) -> None:
        """Tests want to read their own output."""

    def _answer(self) -> None:
        state = self.server.state
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = f"{self.command} {urlsplit(self.path).path}"
        with self.server.lock:
            state.requests.append(f"{self.command} {unquote(self.path)}")
            fault = next((one for one in state.faults if one.times and re.search(one.path, path)), None)
            if fault:
                fault.times -= 1
        if fault and fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault and fault.kind == "cut":
            self.close_connection = True
            return
        if fault and fault.kind == "status":
            self._send(fault.status, fault.body.encode(), "text/plain")
            return
        if fault and fault.kind == "page":
            self._send(
                200, b"<!DOCTYPE html><html><title>Sign in</title></html>", "text/html; charset=utf-8"
            )
            return
        try:
            with self.server.lock:
                kind, answer = self._route(body)
        except Refused as refused:
            self._send(refused.status, json.dumps(refused.body).encode(), "application/json")
            return
        if fault and fault.kind == "lost":
            self.close_connection = True
            return
        if kind is None:
            self._send(200, answer.encode(), "text/plain")
            return
        values = _to_json(answer)
        state.answers.append((kind, values))
        content = json.dumps(values).encode()
        half = content[: len(content) // 2]
        if fault and fault.kind == "half":
            self._send(200, half, "application/json", len(content))
        elif fault and fault.kind == "short":
            self._send(200, half, "application/json", -1)
        else:
            self._send(200, content, "application/json")

    def _send(self, status: int, content: bytes, kind: str, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length != -1:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        if length is not None:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)

    def _route(self, body: bytes) -> _Answer:
        state = self.server.state
        if state.token and self.headers.get("Authorization") != f"Bearer {state.token}":
            raise Refused(401, f"Request header error: not {self.headers.get('Authorization')}")
        if state.cookies and self.headers.get("Cookie") != state.cookies:
            raise Refused(401, "Request header error: there is no user identity header.")
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
        for pattern, allowed, method in _ROUTES:
            match = re.fullmatch(pattern, f"{self.command} {parts.path}")
            if match:
                unknown = set(query) - set(allowed)
                if unknown:
                    raise Refused(400, f"unknown query parameter {unknown.pop()}")
                return method(self, *map(unquote, match.groups()), query=query, body=body)
        raise Refused(404, "Not Found")

    def _namespace(self, namespace: str | None) -> str | None:
        known = self.server.state.namespaces
        if known is None:
            if namespace:
                raise Refused(400, "Invalid input error: In single-user mode, the namespace must be empty")
            return None
        if not namespace:
            raise Refused(400, "Invalid input error: A namespace cannot be empty in multi-user mode")
        if namespace not in known:
            raise Refused(
                403,
                f"User 'ada@example.com' is not authorized with reason: (request: verb: list, namespace: {namespace})",
            )
        return namespace

    def _healthz(self, query: dict[str, str], body: bytes) -> _Answer:
        answer = kfp_server_api.V2beta1GetHealthzResponse(
            multi_user=self.server.state.namespaces is not None
        )
        return "V2beta1GetHealthzResponse", answer

    def _page(self, kind: str, rows: Iterable[Any], query: dict[str, str]) -> _Answer:
        """A list, as far as its filter and the first page go."""
        found = _filtered(list(rows), query)
        name = f"V2beta1List{kind.title().replace('_', '')}Response"
        return name, getattr(kfp_server_api, name)(**{kind: found or None, "total_size": len(found)})

    def _in_namespace(self, rows: dict[str, Any], query: dict[str, str]) -> list[Any]:
        namespace = self._namespace(query.get("namespace"))
        return [row for row in rows.values() if row.namespace == namespace]

    def _list_pipelines(self, query: dict[str, str], body: bytes) -> _Answer:
        return self._page("pipelines", self._in_namespace(self.server.state.pipelines, query), query)

    def _create_pipeline(self, query: dict[str, str], body: bytes) -> _Answer:
        state = self.server.state
        row = _from_json(kfp_server_api.V2beta1Pipeline, json.loads(body))
        row.namespace = self._namespace(row.namespace)
        if any(
            one.display_name == row.display_name and one.namespace == row.namespace
            for one in state.pipelines.values()
        ):
            raise Refused(409, f"Already exist error: The pipeline {row.display_name} already exist")
        row.pipeline_id, row.created_at = str(uuid.uuid4()), START
        state.pipelines[row.pipeline_id] = row
        return "V2beta1Pipeline", row

    def _list_versions(self, pipeline: str, query: dict[str, str], body: bytes) -> _Answer:
        rows = (row for row in self.server.state.versions.values() if row.pipeline_id == pipeline)
        return self._page("pipeline_versions", rows, query)

    def _upload_version(self, query: dict[str, str], body: bytes) -> _Answer:
        state = self.server.state
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
            b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + body
        )
        (part,) = [
            part
            for part in message.iter_parts()
            if part.get_param("name", header="content-disposition") == "uploadfile"
        ]
        text = part.get_payload(decode=True).decode()
        if not (part.get_filename() or "").endswith((".yaml", ".yml")):
            raise Refused(400, "Unexpected pipeline file format", upload=True)
        if query["pipelineid"] not in state.pipelines:
            raise Refused(400, "Failed to create a pipeline version", upload=True)
        documents = list(yaml.safe_load_all(text))
        try:
            json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        except json_format.ParseError as error:
            raise Refused(
                400, f"Invalid input error: invalid v2 pipeline spec: {error}", upload=True
            ) from None
        if any(
            row.display_name == query["name"] and row.pipeline_id == query["pipelineid"]
            for row in state.versions.values()
        ):
            raise Refused(409, "Failed to create a pipeline version", upload=True)
        row = kfp_server_api.V2beta1PipelineVersion(
            pipeline_id=query["pipelineid"],
            pipeline_version_id=str(uuid.uuid4()),
            display_name=query["name"],
            created_at=START,
            pipeline_spec=documents[0],
        )
        state.versions[row.pipeline_version_id] = row
        state.specs[row.pipeline_version_id] = text
        return "V2beta1PipelineVersion", row

    def _list_experiments(self, query: dict[str, str], body: bytes) -> _Answer:
        return self._page("experiments", self._in_namespace(self.server.state.experiments, query), query)

    def _create_experiment(self, query: dict[str, str], body: bytes) -> _Answer:
        state = self.server.state
        row = _from_json(kfp_server_api.V2beta1Experiment, json.loads(body))
        row.namespace = self._namespace(row.namespace)
        if row.display_name in state.named("experiments"):
            raise Refused(409, f"Already exist error: experiment {row.display_name} already exist")
        row.experiment_id, row.created_at = str(uuid.uuid4()), START
        row.storage_state = "AVAILABLE"
        state.experiments[row.experiment_id] = row
        return "V2beta1Experiment", row

    def _create_run(self, query: dict[str, str], body: bytes) -> _Answer:
        state = self.server.state
        row = _from_json(kfp_server_api.V2beta1Run, json.loads(body))
        reference = _from_json(
            kfp_server_api.V2beta1PipelineVersionReference, row.pipeline_version_reference
        )
        config = _from_json(kfp_server_api.V2beta1RuntimeConfig, row.runtime_config)
        if row.experiment_id not in state.experiments or not row.display_name:
            raise Refused(400, "Invalid input error: a run needs an experiment and a name")
        version = state.versions.get(reference.pipeline_version_id)
        if version is None or version.pipeline_id != reference.pipeline_id:
            raise Refused(404, "ResourceNotFoundError: PipelineVersion not found")
        known = version.pipeline_spec["root"].get("inputDefinitions", {}).get("parameters", {})
        for name, value in (config.parameters or {}).items():
            if name not in known:
                raise Refused(500, f"Invalid input error: Unrecognized input parameter: {name}")
            wanted = {"STRING": str, "NUMBER_INTEGER": int}[known[name]["parameterType"]]
            if type(value) is not wanted:
                raise Refused(400, f"Invalid input error: input parameter {name} requires type {wanted}")
        row.pipeline_version_reference, row.runtime_config = reference, config
        row.run_id, row.created_at, row.state = str(uuid.uuid4()), START, "PENDING"
        state.runs[row.run_id] = row
        return "V2beta1Run", row

    def _list_runs(self, query: dict[str, str], body: bytes) -> _Answer:
        rows = (
            row for row in self.server.state.runs.values() if row.experiment_id == query["experiment_id"]
        )
        return self._page("runs", rows, query)

    def _get_run(self, run_id: str, query: dict[str, str], body: bytes) -> _Answer:
        state = self.server.state
        if run_id not in state.runs:
            raise Refused(404, f"ResourceNotFoundError: Run {run_id} not found")
        run = state.runs[run_id]
        run.state, tasks = state.script[min(state.looks, len(state.script) - 1)]
        state.looks += 1
        state.looked.set()
        run.run_details = kfp_server_api.V2beta1RunDetails(
            task_details=task_details(run_id, tasks, state.errors)
        )
        if run.state == "FAILED" and state.run_error:
            run.error = Status(code=2, message=state.run_error)
        return "V2beta1Run", run

    def _log(self, run_id: str, node: str, query: dict[str, str], body: bytes) -> _Answer:
        for task, text in self.server.state.logs.items():
            if pod(run_id, task) == node:
                return None, text
        raise Refused(500, f"pods {node!r} not found", upload=True)


def _filtered(rows: list[Any], query: dict[str, str]) -> list[Any]:
    """Rows that a filter of KFP lets through, the newest first as far as the page goes."""
    for predicate in json.loads(query.get("filter") or "{}").get("predicates", []):
        if predicate.keys() != {"operation", "key", "stringValue"} or predicate["operation"] != "EQUALS":
            raise Refused(400, "Invalid input error: Invalid filter")
        rows = [row for row in rows if getattr(row, predicate["key"]) == predicate["stringValue"]]
    return rows[-10:]


_Route = tuple[str, tuple[str, ...], Callable[..., _Answer]]
_LISTED = ("filter", "page_token", "page_size", "sort_by")
_V2, _ID = "/apis/v2beta1", "([^/:]+)"
_ROUTES: tuple[_Route, ...] = (
    (f"GET {_V2}/healthz", (), _Handler._healthz),
    (f"GET {_V2}/pipelines", (*_LISTED, "namespace"), _Handler._list_pipelines),
    (f"POST {_V2}/pipelines", (), _Handler._create_pipeline),
    (f"GET {_V2}/pipelines/{_ID}/versions", _LISTED, _Handler._list_versions),
    (
        f"POST {_V2}/pipelines/upload_version",
        ("name", "pipelineid", "description"),
        _Handler._upload_version,
    ),
    (f"GET {_V2}/experiments", (*_LISTED, "namespace"), _Handler._list_experiments),
    (f"POST {_V2}/experiments", (), _Handler._create_experiment),
    (f"GET {_V2}/runs", (*_LISTED, "experiment_id", "namespace"), _Handler._list_runs),
    (f"POST {_V2}/runs", (), _Handler._create_run),
    (f"GET {_V2}/runs/{_ID}", ("experiment_id",), _Handler._get_run),
    (f"GET /apis/v1alpha1/runs/{_ID}/nodes/{_ID}/log", (), _Handler._log),
)
