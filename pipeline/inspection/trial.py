"""Tries a TFLite file on LiteRT in a separate process: a broken file may crash the runtime."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.common.base.installed import version_of
from pipeline.inspection.contents import Trial

# Seconds; loading takes well under one, and one run of a large model some.
_LIMIT = 120


def attempt(path: Path, limit: float = _LIMIT) -> Trial:
    """Loads a file on LiteRT with the default delegate and runs it once, on zeros.

    Args:
        path: The file.
        limit: Seconds after which it is given up.
    """
    runtime = f"LiteRT {version_of('ai-edge-litert')}"
    program = "from pipeline.inspection.trial import main; main()"
    # So that the package is found also if it is not installed.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)], capture_output=True, env=environment, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        return replace(_last(runtime, error.stdout), error=f"did not finish within {limit:.0f} s")
    result = _last(runtime, done.stdout)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return replace(result, error=f"crashed the process ({name})")
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        return replace(result, error=lines[-1] if lines else f"exit code {done.returncode}")
    return result


def _last(runtime: str, output: bytes | None) -> Trial:
    """The last result that the process printed before it ended."""
    lines = (output or b"").splitlines()
    result: dict[str, Any] = (
        json.loads(lines[-1]) if lines else {"loads": False, "runs": False, "error": None}
    )
    return Trial(runtime, **result)


def main() -> None:
    """Tries the file that the command line names; prints JSON objects for `attempt`, one a step."""
    for result in _run(sys.argv[1]):
        print(json.dumps(result), flush=True)


def _run(path: str) -> Iterator[dict[str, Any]]:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=path)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        yield {"loads": False, "runs": False, "error": _line(error)}
        return
    yield {"loads": True, "runs": False, "error": None}
    try:
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], _zeros(detail))
        interpreter.invoke()
    except (ValueError, RuntimeError) as error:
        yield {"loads": True, "runs": False, "error": _line(error)}
    else:
        yield {"loads": True, "runs": True, "error": None}


def _zeros(detail: dict[str, Any]) -> Any:
    import numpy as np

    text = np.dtype(detail["dtype"]).kind in "SUO"
    return np.full(detail["shape"], b"") if text else np.zeros(detail["shape"], detail["dtype"])


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
