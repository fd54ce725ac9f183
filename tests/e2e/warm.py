"""A process that has imported what a run needs and forks a `paredown` for each request.

Importing takes most of a short run's time. Tests that need many runs, rather than the start of one, spare
it: a fork is a process of its own, which can be killed like any other.

Each line of standard input is `{"arguments": [...], "out": path}`; the answer is the process's number.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from pipeline.environment import prepare

prepare()

from pipeline import cli  # noqa: E402
from pipeline.checks import preflight  # noqa: E402, F401


def main() -> None:
    """Serves until standard input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system clears away what has ended
    answers = os.dup(1)
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(request["arguments"], Path(request["out"]))
        os.write(answers, f"{child}\n".encode())


def _run(arguments: list[str], out: Path) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    for number in (1, 2):
        os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    try:
        cli.main(arguments, prog_name="paredown")
    except SystemExit as error:
        sys.stdout.flush()
        sys.stderr.flush()
        code = error.code if isinstance(error.code, int) else 1
        out.with_suffix(".code").write_text(str(code), encoding="utf-8")
        os._exit(code)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main()
