"""What runs in the container of a task: hands KFP's input to TFX's executor and its output back.

KFP's launcher brings input artifacts from the object store into the file system of the task, and takes
output artifacts from there: `minio://bucket/key` is at `/minio/bucket/key`, and so are `s3://` and
`gs://` (`/gcs`, where Vertex AI mounts Cloud Storage). Executors get those paths, KFP the URIs again.

    python -m pipeline.kubeflow_entrypoint --node NAME [--module_root FOLDER] [--write KEY=PARAMETER.KEY…]
        --executor_class_path CLASS --json_serialized_invocation_args EXECUTOR_INPUT
        [--json_serialized_inputs_spec_args SPEC] [BEAM_OPTION…]

Logs are lines of JSON on standard output; the last line of a task that failed says why. Exit codes are
those of `pipeline.base.exit_code`: 0 done, 2 what the task was given cannot be right, 3 its executor failed,
130 stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NoReturn, TextIO

from components.common.base.errors import ParedownError
from components.common.base.interruption import Interrupted
from pipeline import environment
from pipeline.base.exit_code import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_NODE_FAILED
from pipeline.kubeflow.checks import remote_runner
from pipeline.plan.code_version import component_version, is_distributed

_DONE = 0
_STAGED = {"gs": "gcs", "s3": "s3", "minio": "minio"}
# Of KFP's launcher, which stages below this folder; empty in a container.
_STAGING_ROOT = "ARTIFACT_LOCAL_PATH"

_log = logging.getLogger("paredown.task")


class InvalidTask(ParedownError):
    """What a task was given cannot be right; the message says what to change."""


def main(argv: list[str], stream: TextIO | None = None) -> int:
    """Runs a task.

    Args:
        argv: Arguments as in the module's docstring.
        stream: Gets the log; standard output where it is None.

    Returns:
        The exit code.
    """
    arguments, beam_args = _parse(argv)
    log_to(stream or sys.stdout, arguments.node)
    try:
        _stop_on_signals()
        _run(arguments, beam_args)
    except (Interrupted, KeyboardInterrupt):
        _log.error("stopped before it was done")
        return EXIT_INTERRUPTED
    except InvalidTask as error:
        _log.error("%s", error)
        return EXIT_INVALID
    except (Exception, SystemExit) as error:  # whatever it is, KFP's user has to read the cause
        _log.error("traceback", extra={"fields": {"traceback": traceback.format_exc()}})
        _log.error("%s failed: %s", arguments.node, _cause(error))
        return EXIT_NODE_FAILED
    _log.info("done")
    return _DONE


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser("pipeline.kubeflow_entrypoint", allow_abbrev=False)
    parser.add_argument("--node", required=True)
    parser.add_argument("--module_root")
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="")
    return parser.parse_known_args(argv)


def _run(arguments: argparse.Namespace, beam_args: list[str]) -> None:
    given = _executor_input(arguments.json_serialized_invocation_args)
    for write in arguments.write:
        write_parameter(given, write)
    refuse_other_code(arguments.executor_class_path, parameters_of(given))
    fill_types(given, arguments.json_serialized_inputs_spec_args)
    schemes, beam_args = reachable(arguments.executor_class_path, beam_args)
    staged = stage(given, schemes)
    if arguments.module_root:
        sys.path.insert(0, os.path.abspath(arguments.module_root))
    environment.prepare()
    _log.info("importing %s", arguments.executor_class_path)
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    arguments.json_serialized_invocation_args = json.dumps(given)
    kubeflow_v2_run_executor.main((arguments, beam_args))
    unstage(given["outputs"]["outputFile"], staged)


def reachable(executor: str, beam_args: list[str]) -> tuple[set[str], list[str]]:
    """Decides where a task's artifacts are read and written, and where its Beam work is done.

    Workers of a Beam runner elsewhere see the object store, and not what is staged in this task. TFX's
    executors hand URIs on to them; ours measure here, on files.

    Args:
        executor: Path of the executor's class.
        beam_args: Beam pipeline options.

    Returns:
        Schemes of the URIs to be taken from where they are staged, and the options to use.
    """
    remote = remote_runner(beam_args)
    if remote is None:
        return set(_STAGED), beam_args
    if executor.startswith("tfx."):
        return set(_STAGED) - {"gs"}, beam_args
    _log.warning("%s would not see the staged files: Beam's work stays in this task", remote)
    return set(_STAGED), [*beam_args, "--runner=DirectRunner"]  # of several the last one counts


def _executor_input(text: str) -> dict[str, Any]:
    try:
        given = json.loads(text)
        os.fspath(given["outputs"]["outputFile"])
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidTask(
            f"--json_serialized_invocation_args is no ExecutorInput ({error!r}); KFP's launcher writes it in place "
            "of {{$}}"
        ) from None
    return given


def fill_types(given: dict[str, Any], inputs_spec: str) -> None:
    """Gives input artifacts the types that they are declared to have.

    The open-source backend hands them over without one, and TFX fails on them
    (https://github.com/tensorflow/tfx/issues/7768).

    Args:
        given: An `ExecutorInput` as JSON values, which is changed.
        inputs_spec: The task's `ComponentInputsSpec` in JSON; empty on Vertex AI, which gives types.
    """
    declared = json.loads(inputs_spec or "{}").get("artifacts", {})
    for key, found in given.get("inputs", {}).get("artifacts", {}).items():
        for artifact in found.get("artifacts", []):
            if key in declared and not any(artifact.get("type", {}).values()):
                artifact["type"] = declared[key]["artifactType"]


def parameters_of(given: dict[str, Any]) -> dict[str, Any]:
    """Parameters of an `ExecutorInput`, of schema 2.1 or 2.0, as Python values."""
    inputs = given.get("inputs", {})
    found = dict(inputs.get("parameterValues", {}))
    for key, value in inputs.get("parameters", {}).items():
        if key not in found:
            ((kind, plain),) = value.items()
            found[key] = int(plain) if kind == "intValue" else plain
    return {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in found.items()
    }


def write_parameter(given: dict[str, Any], write: str) -> None:
    """Writes a parameter of the run into a node's JSON parameter.

    Args:
        given: An `ExecutorInput` as JSON values, which is changed.
        write: `KEY=PARAMETER.KEY…`: which parameter, and where to.

    Raises:
        InvalidTask: Where there is no such parameter or place.
    """
    key, _, place = write.partition("=")
    target, *way = place.split(".")
    values = parameters_of(given)
    try:
        whole = inner = json.loads(values[target])
        for part in way[:-1]:
            inner = inner[part]
        inner[way[-1]] = values[key]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise InvalidTask(f"--write {write}: the task has no such parameter or place ({error!r})") from None
    text = json.dumps(whole, sort_keys=True)
    for kind, value in (("parameterValues", text), ("parameters", {"stringValue": text})):
        section = given["inputs"].get(kind, {})
        if target in section:
            section[target] = value
        section.pop(key, None)


def refuse_other_code(executor: str, parameters: dict[str, Any]) -> None:
    """Refuses to run other code than the pipeline was compiled with.

    The version of the code is part of the cache key: results of other code under it would be taken for
    right ever after.

    Args:
        executor: Path of the executor's class.
        parameters: The node's.

    Raises:
        InvalidTask: Where the image has other code, or other versions of the packages that do the work.
    """
    ours = parameters
    if "code_version" not in ours:  # a node of TFX's own kind has one parameter for all that is ours
        ours = json.loads(parameters.get("custom_config") or "null") or {}  # TFX writes none as null
    wanted = ours.get("code_version")
    if wanted is None:
        return
    module = executor.rpartition(".")[0]
    found = component_version(module, is_distributed(ours.get("params") or "{}"))
    if wanted != found:
        raise InvalidTask(
            f"the image has version {found} of {module}, and the pipeline was compiled with {wanted}; build the "
            "image anew from the same sources and lock file, or compile again with those of the image"
        )


def stage(given: dict[str, Any], schemes: set[str]) -> dict[str, str]:
    """Gives artifacts the paths at which KFP's launcher stages them.

    Args:
        given: An `ExecutorInput` as JSON values, which is changed.
        schemes: Of the URIs to map.

    Returns:
        Path → URI of each output artifact, and of those below them.

    Raises:
        InvalidTask: Where an artifact is in no object store that KFP stages, and on no path either.
    """
    staged = {}
    for side in ("inputs", "outputs"):
        for artifact in _artifacts(given.get(side, {})):
            uri = artifact.get("uri", "")
            path = staged_path(uri) if uri.partition("://")[0] in schemes else None
            if path is None:
                if "://" in uri and uri.partition("://")[0] not in _STAGED:
                    raise InvalidTask(
                        f"the artifact {uri} is in no object store that KFP stages; set the pipeline root to gs://, "
                        "s3:// or minio://"
                    )
                continue
            artifact["uri"] = path
            if side == "outputs":
                staged[path] = uri
    outputs = given.get("outputs", {})
    if "gs" in schemes and str(outputs.get("outputFile", "")).startswith("gs://"):  # on Vertex AI
        outputs["outputFile"] = staged_path(outputs["outputFile"])
    return staged


def staged_path(uri: str) -> str | None:
    """Where KFP's launcher stages an artifact; None where it does not."""
    scheme, separator, rest = uri.partition("://")
    if not separator or scheme not in _STAGED:
        return None
    return f"{os.environ.get(_STAGING_ROOT, '')}/{_STAGED[scheme]}/{rest}"


def unstage(output_file: str, staged: dict[str, str]) -> None:
    """Puts URIs in place of paths into what the executor tells KFP.

    Args:
        output_file: An `ExecutorOutput` in JSON; one in an object store is left as it is.
        staged: As `stage` returns it.
    """
    if not staged or "://" in output_file:
        return
    path = Path(output_file)
    told = json.loads(path.read_text(encoding="utf-8"))
    for artifact in _artifacts(told):
        artifact["uri"] = staged.get(artifact.get("uri", ""), artifact.get("uri", ""))
    path.write_text(json.dumps(told), encoding="utf-8")


def _artifacts(side: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for found in side.get("artifacts", {}).values():
        yield from found.get("artifacts", [])


class JsonLines(logging.Formatter):
    """One JSON object for each record, with the keys that Cloud Logging reads."""

    def __init__(self, node: str):
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def log_to(stream: TextIO, node: str) -> None:
    """Sends Python's logs and warnings to a stream, as lines of JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)  # it has a line for each type hint
    logging.captureWarnings(True)


def _cause(error: BaseException) -> str:
    """The innermost cause in one line: what libraries wrap around it says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__


def _stop_on_signals() -> None:
    def stop(number: int, frame: Any) -> NoReturn:
        raise Interrupted

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def run_as_process() -> NoReturn:
    """Runs the task that the command line names, and ends the process with its exit code."""
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Threads of Beam and gRPC would keep the process, or write after the last line.
    os._exit(code)
