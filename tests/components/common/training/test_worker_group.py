"""Processes that train together end together; stood in for by small programs that know no TensorFlow."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from components.common.base import progress
from components.common.base.distribution_options import Distribution, cluster_task, is_chief
from components.common.base.interruption import Interrupted
from components.common.training import worker_group
from components.common.training.worker_group import WorkerError, WorkerGroup

TWO = Distribution(kind="multi_worker")

PRELUDE = """
import json, os, pathlib, pickle, signal, sys, time
group, name = pathlib.Path(sys.argv[1]), sys.argv[2]
folder = group / name
task = json.loads(os.environ["TF_CONFIG"] or "{}").get("task")
def answer(value):
    (folder / "unfinished").write_bytes(pickle.dumps(value))
    (folder / "unfinished").rename(folder / "result")
def fail(text):
    (folder / "error").write_text(text)
    sys.exit(1)
"""


class Programs(WorkerGroup):
    """A group whose processes run a program in place of components.common.training.worker."""

    def __init__(self, program: str, asked: Distribution = TWO, **environment: str):
        super().__init__(asked, {**os.environ, "TF_CONFIG": "", **environment})
        self._program = PRELUDE + textwrap.dedent(program)

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-c", self._program, str(self.folder), name]

    def call(self) -> Any:
        with self:
            return self.run(print, {"a": 1}, ())

    def alive(self) -> list[int]:
        return [pid for pid in self.processes() if os.path.exists(f"/proc/{pid}")]


def test_the_first_workers_answer_is_taken_and_all_are_ended() -> None:
    # To wait for the other one would take longer than a test may.
    group = Programs("answer(task) if task['index'] == 0 else time.sleep(1500)")

    assert group.call() == {"type": "worker", "index": 0}
    assert len(group.processes()) == 2 and group.alive() == []
    assert not group.folder.exists()


def test_each_process_gets_the_whole_cluster() -> None:
    group = Programs(
        """
        if task["type"] == "chief":
            answer(json.loads(os.environ["TF_CONFIG"]))
        time.sleep(60)
        """,
        Distribution(kind="parameter_server", workers=3, servers=2),
    )
    config = group.call()
    addresses = [address for found in config["cluster"].values() for address in found]

    assert {kind: len(found) for kind, found in config["cluster"].items()} == {
        "chief": 1, "worker": 3, "ps": 2,
    }  # fmt: skip
    assert len(set(addresses)) == 6 and all(address.startswith("127.0.0.1:") for address in addresses)


def test_a_worker_that_fails_ends_all_with_its_reason() -> None:
    group = Programs("fail('ValueError: enough') if task['index'] else time.sleep(60)")

    with pytest.raises(WorkerError, match=r"^worker-1 of 2 processes: ValueError: enough$"):
        group.call()
    assert group.alive() == []


def test_a_worker_that_is_killed_is_named() -> None:
    group = Programs("os.kill(os.getpid(), signal.SIGKILL) if task['index'] else time.sleep(60)")

    with pytest.raises(WorkerError, match=r"^worker-1 of 2 processes: was ended by SIGKILL$"):
        group.call()
    assert group.alive() == []


def test_what_failed_first_is_reported_and_not_what_followed_from_it() -> None:
    group = Programs(
        """
        if task["index"] == 0:
            fail("UnavailableError: Connection reset by peer")
        time.sleep(1)
        fail("ResourceExhaustedError: out of memory")
        """
    )
    with pytest.raises(WorkerError, match="worker-1 of 2 processes: ResourceExhaustedError: out of memory"):
        group.call()


def test_a_first_worker_without_an_answer_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "_CAUSE_SECONDS", 0.2)
    with pytest.raises(WorkerError, match="worker-0 of 2 processes: ended without a result"):
        Programs("time.sleep(0 if task['index'] == 0 else 60)").call()


def test_an_interruption_leaves_no_process_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_group, "_GRACE_SECONDS", 1.0)
    group = Programs(
        """
        (folder / "progress").write_text(json.dumps({"text": "epoch 1/2", "left": 2.5}) + "\\n")
        signal.signal(signal.SIGTERM, signal.SIG_IGN if task["index"] else signal.SIG_DFL)
        time.sleep(60)
        """
    )

    def stop(said: progress.Report) -> None:
        assert said == progress.Report("epoch 1/2", left=2.5)
        raise Interrupted

    with progress.listening(stop), pytest.raises(Interrupted):
        group.call()
    assert len(group.processes()) == 2 and group.alive() == []


def test_a_process_of_another_cluster_starts_one() -> None:
    config = json.dumps(
        {"cluster": {"worker": ["a:1", "b:1", "c:1"]}, "task": {"type": "worker", "index": 2}}
    )
    group = Programs("answer([name, json.loads(os.environ['TF_CONFIG'])])", TF_CONFIG=config)

    assert group.call() == ["worker-2", json.loads(config)]
    assert len(group.processes()) == 1


def test_parts_of_the_cpu_are_in_one_process_that_is_in_no_cluster() -> None:
    config = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}})
    group = Programs("answer([name, task])", Distribution(kind="mirrored", devices=2), TF_CONFIG=config)

    assert group.call() == ["replicas", None]


@pytest.mark.parametrize(
    ("cluster", "task", "chief"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("chief", 0), True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("worker", 0), False),
        ({"chief": ["a:1"], "worker": ["b:1"], "ps": ["c:1"]}, ("ps", 0), False),
    ],
)
def test_who_writes_the_model(cluster: dict, task: tuple[str, int], chief: bool) -> None:
    environment = {
        "TF_CONFIG": json.dumps(
            {"cluster": cluster, "task": dict(zip(("type", "index"), task, strict=True))}
        )
    }
    assert cluster_task(environment) == task
    assert is_chief(environment) is chief


@pytest.mark.parametrize("environment", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}])
def test_a_process_alone_writes_the_model(environment: dict) -> None:
    assert cluster_task(environment) is None
    assert is_chief(environment)


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    """Also if that is killed and cannot end it, and if a library holds Python's lock, as TensorFlow may."""
    import signal
    import subprocess

    program = """
        import ctypes, sys
        sys.path.insert(0, sys.argv[1])
        from components.common.training.worker import _end_with_parent
        _end_with_parent()
        ctypes.PyDLL(None).system(b"echo ready; sleep 5")
    """
    root = str(Path(__file__).resolve().parents[4])
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), root],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    assert process.stdout.readline() == b"ready\n"
    process.stdin.close()

    assert process.wait(30) == -signal.SIGIO
    process.stdout.close()
