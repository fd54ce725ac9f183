"""One process of a worker group: `python -m components.common.training.worker`."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import pickle
import select
import signal
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from components.common.base import progress
from components.common.base.distribution_options import Distribution, cluster_task, is_chief
from components.common.training.worker_group import ERROR, PROGRESS, RESULT, WORK


def main(group: Path, name: str) -> None:
    """Does this process's share of the work.

    Args:
        group: Folder with the work.
        name: Name of this process; its folder below `group` gets what it has to say.
    """
    folder = group / name
    _fail_in_one_line(folder)
    _end_with_parent()
    options, work = pickle.loads((group / WORK).read_bytes())
    asked = Distribution.model_validate(options)
    # TensorFlow is imported from here on: what ends a worker is in place before.
    from components.common.training import strategies
    from components.common.training.distributed import summary

    task = cluster_task(os.environ)
    if asked.kind == "parameter_server" and task and task[0] in ("worker", "ps"):
        _serve(*task)
        return
    if asked.devices is not None:
        strategies.divide_cpu(asked.devices)
    strategy = strategies.strategy_of(asked)
    # Loading it imports what may use TensorFlow, which the strategy has to come before.
    function, arguments, written = pickle.loads(work)
    if not is_chief(os.environ):
        arguments.update({argument: str(folder / argument) for argument in written})
    with (
        open(folder / PROGRESS, "a", encoding="utf-8", buffering=1) as reports,
        progress.listening(lambda said: _write_line(reports, said)),
    ):
        progress.note(summary(asked, strategies.workers(strategy)))
        with strategy.scope():
            result = function(**arguments)
    unfinished = folder / f"{RESULT}.unfinished"
    unfinished.write_bytes(pickle.dumps(result))
    unfinished.replace(folder / RESULT)


def _write_line(stream: Any, said: progress.Report) -> None:
    stream.write(json.dumps(dataclasses.asdict(said)) + "\n")


def _serve(kind: str, index: int) -> None:
    """Takes work from the cluster's chief, until this process is ended."""
    import tensorflow as tf

    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    tf.distribute.Server(cluster, job_name=kind, task_index=index, protocol="grpc", start=True).join()


def _fail_in_one_line(folder: Path) -> None:
    """Lets the parent know why this process ends."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        from components.common.base.errors import describe

        (folder / ERROR).write_text(describe(error), encoding="utf-8")
        sys.__excepthook__(kind, error, trace)
        sys.stderr.flush()
        # Threads of a broken cluster may never end.
        os._exit(1)

    sys.excepthook = hook


def _end_with_parent() -> None:
    """Ends this process when the parent is gone, which holds the other end of standard input.

    By a signal, whose default is to end the process: while TensorFlow waits for workers it may hold Python's lock,
    and no thread of Python's would run.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    already = select.poll()
    already.register(0, 0)
    if already.poll(0):
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
