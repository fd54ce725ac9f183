"""Work in processes of its own: results, errors, progress, timing alone, and every way to be stopped."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest

from components.common.base import exclusive, progress
from components.common.base.file_hashes import ChangedFile
from components.common.base.interruption import Interrupted
from pipeline.base.process import descendants
from pipeline.run import node_process, node_processes
from pipeline.run.fork_server import Forked, ForkServer, ProcessEnded
from pipeline.run.interruption import Interruption
from pipeline.run.launcher import NodeFailed, launch_all
from pipeline.run.node_processes import NodeProcesses
from pipeline.run.sent_error import full_traceback
from pipeline.store.state import State
from tests.pipeline.run.nodes import Log
from tests.project import ROOT


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    started = ForkServer(node_process.main)
    yield started
    started.close()


@pytest.fixture
def processes(server: ForkServer, tmp_path: Path) -> NodeProcesses:
    return NodeProcesses(server, 2, tmp_path / "log")


def do(processes: NodeProcesses, work: Callable[[Any], Any], argument: Any = None) -> Any:
    with processes.side_by_side().turn:
        return processes.do("node", work, argument)


class Beside:
    """Work that goes on in a thread."""

    def __init__(self, processes: NodeProcesses, work: Callable[[Any], Any], argument: Any = None):
        self.error: BaseException | None = None

        def run() -> None:
            try:
                do(processes, work, argument)
            except BaseException as error:
                self.error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def end(self) -> BaseException | None:
        self._thread.join(20)
        assert not self._thread.is_alive()
        return self.error


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# What the processes do: functions of this module, which they have imported.


def double_elsewhere(number: int) -> tuple[int, int]:
    progress.report(f"doubling {number}")
    logging.getLogger("work").warning("100 % doubled")
    return 2 * number, os.getpid()


def write_until_stopped(file: Path) -> None:
    """Writes the time again and again, and once more at the end."""
    with open(file, "a", buffering=1) as times:
        try:
            while True:
                times.write(f"{time.monotonic()}\n")
        finally:
            times.write("tidied up\n")


def write_and_ignore_signals(file: Path) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    write_until_stopped(file)


def start_another(file: Path) -> None:
    """Has a process of its own that writes, as Beam has."""
    program = "import sys, time\nwhile True: print(time.monotonic(), flush=True)"
    with (
        open(file, "a") as times,
        subprocess.Popen([sys.executable, "-c", program], stdout=times) as started,
    ):
        try:
            started.wait()
        finally:
            started.kill()


def take_times(seconds: float) -> tuple[float, float]:
    with exclusive.section():
        begin = time.monotonic()
        while time.monotonic() < begin + seconds:
            pass
        return begin, time.monotonic()


def fail_by_a_changed_file(path: str) -> None:
    try:
        raise OSError(errno.ENOSPC, "No space left on device", path)
    except OSError as error:
        raise ChangedFile("changed") from error


class Unpicklable(ValueError):
    def __init__(self, first: str, second: str):
        super().__init__(f"{first}\n{second}")


def fail_by_an_error_of_its_own(_: None) -> None:
    raise Unpicklable("first line", "second line")


def kill_itself(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(20)


def leave(code: int) -> None:
    os._exit(code)


def test_work_is_done_in_another_process_each_time(processes: NodeProcesses, tmp_path: Path) -> None:
    said: list[progress.Report] = []
    with progress.listening(said.append):
        (four, first), (six, second) = (do(processes, double_elsewhere, number) for number in (2, 3))
    assert (four, six) == (4, 6) and len({first, second, os.getpid()}) == 3
    assert said == [progress.Report("doubling 2"), progress.Report("doubling 3")]
    assert (tmp_path / "log").read_text().count("[node] WARNING work: 100 % doubled\n") == 2


def score(_: None) -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())


def test_the_system_ends_a_node_rather_than_the_run_if_memory_runs_out(processes: NodeProcesses) -> None:
    assert do(processes, score) > score(None)


def test_an_error_comes_back_with_what_it_came_from(processes: NodeProcesses) -> None:
    with pytest.raises(ChangedFile, match="changed") as raised:
        do(processes, fail_by_a_changed_file, "/model")
    cause = raised.value.__cause__
    assert isinstance(cause, OSError) and (cause.errno, cause.filename) == (errno.ENOSPC, "/model")
    outer = NodeFailed("node", "changed")
    outer.__cause__ = raised.value
    assert "in fail_by_a_changed_file" in full_traceback(outer)


def test_an_error_that_cannot_travel_keeps_its_name_and_text(processes: NodeProcesses) -> None:
    with pytest.raises(Exception, match="first line\nsecond line") as raised:
        do(processes, fail_by_an_error_of_its_own)
    outer = NodeFailed("node", "")
    outer.__cause__ = raised.value
    assert outer.reason() == "Unpicklable: first line"


@pytest.mark.parametrize(
    ("work", "argument", "message"),
    [
        (
            kill_itself,
            signal.SIGKILL,
            r"killed \(SIGKILL\), as the system does if memory runs out; .*run.parallel: 1",
        ),
        (kill_itself, signal.SIGXCPU, "was ended by SIGXCPU"),
        (kill_itself, signal.SIGTERM, "was asked to end by SIGTERM"),
        (leave, 3, "ended with exit code 3 before its work was done"),
    ],
)
def test_a_process_that_ends_fails_its_node_and_no_other(
    processes: NodeProcesses, work: Callable[[int], None], argument: int, message: str
) -> None:
    with pytest.raises(ProcessEnded, match=message):
        do(processes, work, argument)
    assert do(processes, double_elsewhere, 1)[0] == 2


@pytest.mark.parametrize("work", [write_until_stopped, start_another])
def test_nothing_else_is_at_work_while_times_are_taken(
    processes: NodeProcesses, tmp_path: Path, work: Callable[[Path], None]
) -> None:
    file = tmp_path / "times"
    file.touch()
    other = Beside(processes, work, file)
    wait_for(lambda: file.stat().st_size > 1000)
    sections = [do(processes, take_times, 0.2) for _ in range(2)]
    size = file.stat().st_size
    wait_for(lambda: file.stat().st_size > size + 1000)
    processes.stop()
    assert isinstance(other.end(), Interrupted)
    times = [float(line) for line in file.read_text().splitlines() if line[:1].isdecimal()]
    for begin, end in sections:
        assert not [at for at in times if begin < at < end]
    between = [at for at in times if sections[0][1] < at < sections[1][0]]
    assert between and times[0] < sections[0][0]


def test_two_that_take_times_wait_for_each_other(processes: NodeProcesses, tmp_path: Path) -> None:
    found: list[tuple[float, float]] = []
    threads = [
        threading.Thread(target=lambda: found.append(do(processes, take_times, 0.2))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    (_, first), (second, end), (third, _) = sorted(found)
    assert first < second < end < third


def test_stopping_ends_all_work_at_once_and_lets_it_tidy_up(
    processes: NodeProcesses, server: ForkServer, tmp_path: Path
) -> None:
    files = [tmp_path / "a", tmp_path / "b"]
    works = [Beside(processes, write_until_stopped, file) for file in files]
    wait_for(lambda: all(file.exists() and file.stat().st_size for file in files))
    processes.stop()
    assert all(isinstance(work.end(), Interrupted) for work in works)
    assert [file.read_text().splitlines()[-1] for file in files] == ["tidied up"] * 2
    assert not server.descendants()
    with pytest.raises(Interrupted):
        do(processes, double_elsewhere, 1)


def test_work_that_does_not_stop_is_killed(
    processes: NodeProcesses, server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node_processes, "_GRACE", 0.2)
    file = tmp_path / "a"
    work = Beside(processes, write_and_ignore_signals, file)
    wait_for(lambda: file.exists() and file.stat().st_size)
    processes.stop()
    assert isinstance(work.end(), Interrupted)
    assert not server.descendants()


def test_ctrl_c_interrupts_all_nodes_that_are_at_work(processes: NodeProcesses, tmp_path: Path) -> None:
    log, interruption = Log(), Interruption()
    files = {node: tmp_path / node for node in "abc"}

    def launch(node: str) -> tuple[State, int]:
        processes.do(node, write_until_stopped, files[node])
        return State.RAN, 1

    def press() -> None:
        wait_for(lambda: all(files[node].exists() and files[node].stat().st_size for node in "ab"))
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    graph = {"a": [], "b": [], "c": [], "d": ["a"]}
    with pytest.raises(Interrupted), interruption.by_signals():
        launch_all(graph, launch, [log], interruption, together=processes.side_by_side())
    assert log.states() == {"a": "interrupted", "b": "interrupted"}
    assert not files["c"].exists()


def test_ctrl_c_interrupts_a_node_that_runs_alone(processes: NodeProcesses, tmp_path: Path) -> None:
    log, interruption, file = Log(), Interruption(), tmp_path / "a"

    def launch(node: str) -> tuple[State, int]:
        processes.do(node, write_until_stopped, file)
        return State.RAN, 1

    def press() -> None:
        wait_for(lambda: file.exists() and file.stat().st_size)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with pytest.raises(Interrupted), interruption.by_signals():
        launch_all({"a": [], "b": []}, launch, [log], interruption, together=processes.side_by_side({"a"}))
    assert log.states() == {"a": "interrupted"}
    assert file.read_text().endswith("tidied up\n")


RUN = """
    import sys, threading, time
    from pathlib import Path
    from pipeline.base.process import paused_by_ctrl_z
    from pipeline.run import node_process
    from pipeline.run.fork_server import ForkServer
    from pipeline.run.node_processes import NodeProcesses
    from tests.pipeline.run import test_node_processes as works

    file = Path(sys.argv[1])
    server = ForkServer(node_process.main)
    processes = NodeProcesses(server, 2, file.with_name("log"))
    work = works.Beside(processes, works.write_until_stopped, file)
    works.wait_for(lambda: file.exists() and file.stat().st_size)
    if sys.argv[2] == "paused":
        works.Beside(processes, works.take_times, 60)
        works.wait_for(lambda: "T" in map(works.state, server.descendants()))
    with paused_by_ctrl_z(server.descendants):
        print(server.pid, *server.descendants(), flush=True)
        time.sleep(60)
"""


@contextmanager
def other_run(file: Path, how: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that has others at work, and the ids of these: the server, and what it forked."""
    command = [sys.executable, "-c", textwrap.dedent(RUN), str(file), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        try:
            assert run.stdout is not None
            pids = [int(pid) for pid in run.stdout.readline().split()]
            assert descendants(run.pid) == set(pids)
            yield run, pids
        finally:
            run.kill()


def test_nothing_is_left_of_a_run_that_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "times"
    with other_run(file, "paused") as (_, pids):
        assert len(pids) == 3  # the server, one at work and one that waits
    wait_for(lambda: not any(map(alive, pids)))
    size = file.stat().st_size
    time.sleep(0.1)
    assert file.stat().st_size == size and "tidied up" not in file.read_text()


def test_ctrl_z_pauses_what_is_at_work_until_the_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "times"
    with other_run(file, "at work") as (run, (_, *pids)):
        run.send_signal(signal.SIGTSTP)
        wait_for(lambda: {state(pid) for pid in (run.pid, *pids)} == {"T"})
        size = file.stat().st_size
        run.send_signal(signal.SIGCONT)
        wait_for(lambda: file.stat().st_size > size)


def test_ctrl_z_does_not_wake_what_waits_for_times_to_be_taken(tmp_path: Path) -> None:
    with other_run(tmp_path / "times", "paused") as (run, (_, *pids)):
        (waiting,) = [pid for pid in pids if state(pid) == "T"]
        run.send_signal(signal.SIGTSTP)
        wait_for(lambda: {state(pid) for pid in (run.pid, *pids)} == {"T"})
        run.send_signal(signal.SIGCONT)
        wait_for(lambda: "T" not in {state(pid) for pid in pids if pid != waiting})
        assert state(waiting) == "T"


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has not been waited for does not."""
    return state(pid) not in "ZX"


def state(pid: int) -> str:
    """The letter of a process's state; X if there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def test_a_process_that_ended_without_a_report_yet_is_signalled_without_an_error() -> None:
    """The server waits for it first and writes its status then; Ctrl-C may come in between."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    connection, _ = Pipe()
    status, written = os.pipe()
    ended = Forked(child.pid, connection, status)
    ended.terminate()
    ended.kill()
    os.close(written)
    ended.close(patience=0)
