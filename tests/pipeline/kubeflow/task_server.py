"""The process that `tests.pipeline.kubeflow.launcher.TaskServer` starts."""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback

sys.path[0] = os.getcwd()  # as `python -m` has it

from pipeline.environment import prepare  # noqa: E402

prepare()

import tf_keras  # noqa: E402, F401
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor  # noqa: E402, F401

import components.evaluator.executor  # noqa: E402
import components.measurer.executor  # noqa: E402
import components.tflite_converter.executor  # noqa: E402, F401


def main() -> None:
    """Serves until standard input ends; answers with each command's exit code."""
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request["command"], request["environment"], request["log"])
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def _run(command: list[str], environment: dict[str, str], log: str) -> None:
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ.update(environment)
    assert command[:2] == ["python", "-m"]
    sys.argv = command[2:]
    code = 1
    try:
        # Forgotten, or runpy would run a module that is imported already.
        sys.modules.pop(command[2], None)
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
