"""Runs in the container of a task: passes KFP's input to TFX's executor, and its output back.

Executors get the paths at which KFP's launcher stages artifacts, and KFP their URIs.

    python -m pipeline.kubeflow_entrypoint --node NAME [--module_root FOLDER] [--write KEY=PARAMETER.KEY…]
        --executor_class_path CLASS --json_serialized_invocation_args EXECUTOR_INPUT
        [--json_serialized_inputs_spec_args SPEC] [BEAM_OPTION…]

Logs are lines of JSON on standard output. The last line is the task's outcome (`pipeline.kubeflow.outcome`). Exit codes
are those of `pipeline.base.exit_code`: 0 done, 2 the task's input cannot be right, 3 its executor failed, 130 stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn, TextIO

from components.common.base.beam_runner import remote_runner
from components.common.base.interruption import Interrupted
from components.evaluator.verdict import VERDICT_FILE
from pipeline import environment
from pipeline.base import collector
from pipeline.base.exit_code import EXIT_INTERRUPTED, EXIT_INVALID, EXIT_NODE_FAILED
from pipeline.kubeflow import contents, executor_input, outcome
from pipeline.kubeflow.executor_input import STAGED, InvalidTask, Json
from pipeline.kubeflow.outcome import TaskOutcome
from pipeline.kubeflow.task_code import refuse_other_code
from pipeline.kubeflow.task_log import log_to

_PUSHED_MODEL = "pushed_model"  # the output of TFX's Pusher, with these properties
_PUSHED, _DESTINATION = "pushed", "pushed_destination"
_EVALUATION = "evaluation"  # the output of our Evaluator
_REPORT, _WINNER = "report", "winner"  # the output of our Selector, with this property

_log = logging.getLogger("paredown.task")


def main(argv: list[str], stream: TextIO | None = None) -> int:
    """Runs a task.

    Args:
        argv: Arguments as in the module's docstring.
        stream: Gets the log; standard output if None.

    Returns:
        The exit code.
    """
    arguments, beam_args = _parse(argv)
    log_to(stream or sys.stdout, arguments.node)
    ended = _outcome(arguments, beam_args)
    message = ended.reason or "done"
    if ended.code == EXIT_NODE_FAILED:
        message = f"{arguments.node} failed: {message}"
    fields = {outcome.KEY: ended.model_dump(exclude_none=True)}
    _log.log(logging.ERROR if ended.code else logging.INFO, "%s", message, extra={"fields": fields})
    return ended.code


def _outcome(arguments: argparse.Namespace, beam_args: list[str]) -> TaskOutcome:
    try:
        _stop_on_signals()
        return _run(arguments, beam_args)
    except (Interrupted, KeyboardInterrupt):
        return TaskOutcome(code=EXIT_INTERRUPTED, reason="stopped before it was done")
    except InvalidTask as error:
        return TaskOutcome(code=EXIT_INVALID, reason=str(error))
    except (Exception, SystemExit) as error:  # whatever it is, KFP's user has to read the cause
        _log.error("traceback", extra={"fields": {"traceback": traceback.format_exc()}})
        return TaskOutcome(code=EXIT_NODE_FAILED, reason=_cause(error))


def _parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser("pipeline.kubeflow_entrypoint", allow_abbrev=False)
    parser.add_argument("--node", required=True)
    parser.add_argument("--module_root")
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("--executor_class_path", required=True)
    parser.add_argument("--json_serialized_invocation_args", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", default="")
    return parser.parse_known_args(argv)


def _run(arguments: argparse.Namespace, beam_args: list[str]) -> TaskOutcome:
    """Runs the executor; of an `ExecutorOutput` in an object store, the outcome says only that the task is done."""
    given = executor_input.read(arguments.json_serialized_invocation_args)
    for write in arguments.write:
        executor_input.write_parameter(given, write)
    refuse_other_code(arguments.executor_class_path, executor_input.parameters_of(given))
    executor_input.fill_types(given, arguments.json_serialized_inputs_spec_args)
    schemes, beam_args = reachable(arguments.executor_class_path, beam_args)
    staged = executor_input.stage(given, schemes)
    contents.refuse_changed(given)
    if arguments.module_root:
        sys.path.insert(0, os.path.abspath(arguments.module_root))
    environment.prepare()
    _log.info("importing %s", arguments.executor_class_path)
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    arguments.json_serialized_invocation_args = json.dumps(given)
    kubeflow_v2_run_executor.main((arguments, beam_args))
    output_file = given["outputs"]["outputFile"]
    if "://" in output_file:
        return TaskOutcome(code=0)
    output: Json = json.loads(Path(output_file).read_text(encoding="utf-8"))
    contents.record(output)
    done = _done(output)
    executor_input.unstage(output, staged)
    Path(output_file).write_text(json.dumps(output), encoding="utf-8")
    return done


def _done(output: Json) -> TaskOutcome:
    """The outcome of a task that is done, with what it pushed, judged or selected.

    Args:
        output: Its `ExecutorOutput`, with the paths where artifacts are staged.
    """
    for artifact in _outputs(output, _PUSHED_MODEL):
        metadata = artifact.get("metadata", {})
        if _PUSHED in metadata:
            return TaskOutcome(
                code=0, pushed=bool(metadata[_PUSHED]), destination=metadata.get(_DESTINATION)
            )
    for artifact in _outputs(output, _EVALUATION):
        verdict = Path(artifact.get("uri", ""), VERDICT_FILE)
        if verdict.is_file():
            return TaskOutcome(code=0, verdict=json.loads(verdict.read_text(encoding="utf-8")))
    for artifact in _outputs(output, _REPORT):
        if _WINNER in artifact.get("metadata", {}):
            return TaskOutcome(code=0, winner=artifact["metadata"][_WINNER])
    return TaskOutcome(code=0)


def _outputs(output: Json, key: str) -> list[Json]:
    """The artifacts of an output."""
    found: list[Json] = output.get("artifacts", {}).get(key, {}).get("artifacts", [])
    return found


# Modules of executors whose Beam workers get URIs.
_READ_BY_URI = (
    "tfx.",
    "components.csv_example_gen.",
    "components.import_example_gen.",
    "components.statistics_gen.",
)


def reachable(executor: str, beam_args: list[str]) -> tuple[set[str], list[str]]:
    """Decides where a task's artifacts are read and written, and where its Beam work is done.

    Workers of a Beam runner elsewhere see the object store, but not what is staged in this task. TFX's executors, and
    ours that are made of them, pass URIs on to them; the others work here, on files.

    Args:
        executor: Path of the executor's class.
        beam_args: Beam pipeline options.

    Returns:
        Schemes of the URIs to replace by the paths where they are staged, and the options to use.
    """
    remote = remote_runner(beam_args)
    if remote is None:
        return set(STAGED), beam_args
    if executor.startswith(_READ_BY_URI):
        return set(STAGED) - {"gs"}, beam_args
    _log.warning("%s would not see the staged files: Beam's work stays in this task", remote)
    return set(STAGED), [*beam_args, "--runner=DirectRunner"]  # the last --runner counts


def _cause(error: BaseException) -> str:
    """The innermost cause in one line: what libraries wrap around it says less."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)}" if lines else type(error).__name__


def _stop_on_signals() -> None:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Interrupted

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def run_as_process() -> NoReturn:
    """Runs the task that the command line names, and ends the process with its exit code."""
    collector.look_seldom()
    code = main(sys.argv[1:])
    sys.stdout.flush()
    # Threads of Beam and gRPC would keep the process, or write after the last line.
    os._exit(code)
