"""Does one piece of work in a forked process.

A run executes operations of TensorFlow in its process, which cannot be forked any more afterwards. A search and a
config with several targets have several runs, and each needs a process that can be forked.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from components.common.base.errors import ParedownError
from pipeline.base.process import descendants, end_with, paused_by_ctrl_z

Result = TypeVar("Result")


class ApartEnded(ParedownError):
    """The process ended before its work was done."""


def apart(work: Callable[[], Result]) -> Result:
    """The result of a function that a forked process calls; Ctrl-C is passed on to it, and it ends with this process.

    Args:
        work: Is called once. Its result, or the ParedownError that it raises, is pickled.

    Raises:
        ParedownError: That of the function.
        ApartEnded: If the process ended without a result.
    """
    with tempfile.TemporaryDirectory(prefix="paredown-apart-") as folder:
        file = Path(folder, "result")
        parent = os.getpid()
        child = os.fork()
        if child == 0:
            _work(work, file, parent)
        with paused_by_ctrl_z(lambda: {child, *descendants(child)}):
            status = _wait(child)
        try:
            result = pickle.loads(file.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            how = os.waitstatus_to_exitcode(status)
            raise ApartEnded(
                f"the process of a run ended with exit code {how} before the run did; run again to continue"
            ) from None
    if isinstance(result, BaseException):
        raise result
    return result


def _wait(child: int) -> int:
    while True:
        try:
            return os.waitpid(child, 0)[1]
        except KeyboardInterrupt:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGINT)


def _work(work: Callable[[], Any], file: Path, parent: int) -> None:
    """Calls the function and ends this process."""
    code = 1
    try:
        os.setsid()  # Ctrl-C reaches the parent, which passes it on once
        end_with(parent)
        try:
            result: Any = work()
        except ParedownError as error:
            result = error
        file.write_bytes(pickle.dumps(result))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
