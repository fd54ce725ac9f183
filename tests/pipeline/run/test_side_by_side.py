"""Nodes that do not read from each other overlap, as many as may, and every end is reported once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection

import pytest

from components.common.base import progress
from components.common.base.interruption import Interrupted
from pipeline.run.interruption import Interruption
from pipeline.run.launcher import Launched, NodeFailed, NodeHook, SideBySide, launch_all
from pipeline.store.state import State
from tests.pipeline.run.nodes import Log

GRAPH = {
    "data": [],
    "base": ["data"],
    "a1": ["base"],
    "a2": ["a1"],
    "b1": ["base"],
    "b2": ["b1"],
    "end": ["a2", "b2"],
}


class Work:
    """Nodes that are at work until they are asked to end, away from the turn.

    Attributes:
        at_work: Sets of nodes that were at work at the same time, whenever one began.
        held: Nodes that go on until all are stopped.
        errors: Node → what it raises.
        meet: Nodes that go on when all of them are at work.
    """

    def __init__(
        self,
        most: int,
        alone: Collection[str] = (),
        busy: Collection[str] = (),
        held: str = "",
        errors: dict[str, BaseException] | None = None,
        meet: str = "",
    ):
        self.together = SideBySide(most, alone, busy, stop=self._stop)
        self.at_work: list[set[str]] = []
        self.held = held.split()
        self.errors = errors or {}
        self._now: set[str] = set()
        self.meet = set(meet.split())
        self._met = threading.Event()
        self._stopped = threading.Event()

    def __call__(self, node: str) -> tuple[State, int | None]:
        self._now.add(node)
        self.at_work.append(set(self._now))
        if self.meet <= self._now:
            self._met.set()
        self.together.turn.release()
        try:
            progress.report(f"at {node}")
            assert node not in self.meet or self._met.wait(20)
            if node in self.errors:
                raise self.errors[node]
            if node in self.held:
                assert self._stopped.wait(20)
                raise Interrupted
        finally:
            self.together.turn.acquire()
            self._now.remove(node)
        return State.RAN, ord(node[0])

    def _stop(self) -> None:
        self._stopped.set()


def run(
    work: Work,
    graph: dict[str, list[str]] = GRAPH,
    without: Callable[[NodeFailed], set[str] | None] = lambda e: None,
) -> Log:
    log = Log()
    launch_all(graph, work, [log], Interruption(), without, work.together)
    return log


def test_branches_overlap_and_nothing_comes_before_what_it_reads() -> None:
    work = Work(2, meet="a1 b1")
    log = run(work)
    assert {"a1", "b1"} in work.at_work and max(map(len, work.at_work)) == 2
    assert set(log.states().values()) == {"ran"} and set(log.ended) == set(GRAPH)
    when = {event: index for index, event in enumerate(log.events)}
    for node, sources in GRAPH.items():
        for source in sources:
            assert when[source, "ran"] < when[node, "before"]
    # Each hears only itself.
    said = {(node, text) for node, text in log.events if text.startswith("at ")}
    assert said == {(node, f"at {node}") for node in GRAPH}


@pytest.mark.parametrize(("most", "widest"), [(1, 1), (2, 2), (3, 3), (9, 4)])
def test_as_many_run_as_may(most: int, widest: int) -> None:
    work = Work(most, meet=" ".join("abcd"[:most]))
    run(work, {name: [] for name in "abcd"})
    assert max(map(len, work.at_work)) == widest
    began = [
        node for node, event in run(Work(1), {name: [] for name in "dbca"}).events if event == "before"
    ]
    assert began == list("dbca")


def test_a_node_that_must_be_alone_is_and_is_not_overtaken_for_ever() -> None:
    work = Work(2, alone={"c"}, meet="a b")
    log = run(work, {name: [] for name in "abcdef"})
    assert [found for found in work.at_work if "c" in found] == [{"c"}]
    began = [node for node, event in log.events if event == "before"]
    assert began.index("c") == 2 and {"a", "b"} in work.at_work


def test_a_busy_node_runs_beside_one_that_is_not() -> None:
    work = Work(2, busy={"a", "b"}, meet="a c")
    run(work, {name: [] for name in "abcd"})
    assert work.at_work[:2] == [{"a"}, {"a", "c"}]


def test_one_branch_fails_and_the_other_goes_on() -> None:
    work = Work(2, errors={"a1": ValueError("no")})
    log = run(work, without=lambda error: {"a1", "a2"} if error.node == "a1" else None)
    assert log.states() == {
        "data": "ran", "base": "ran", "a1": "failed", "a2": "skipped", "b1": "ran", "b2": "ran", "end": "ran",
    }  # fmt: skip
    assert [event for event in log.events if event == ("a2", "before")] == []


def test_both_branches_fail_and_the_second_ends_the_run() -> None:
    failed: list[str] = []

    def without(error: NodeFailed) -> set[str] | None:
        failed.append(error.node)
        return {error.node, error.node.replace("1", "2")} if len(failed) == 1 else None

    work = Work(2, errors={"a1": ValueError("a"), "b1": ValueError("b")})
    with pytest.raises(NodeFailed) as ended:
        run(work, without=without)
    assert sorted(failed) == ["a1", "b1"] and ended.value.node == failed[1]


def test_a_failure_that_ends_the_run_stops_the_others() -> None:
    log = Log()
    work = Work(2, held="b1", errors={"a1": ValueError("no")}, meet="a1 b1")
    with pytest.raises(NodeFailed, match="no") as failed:
        launch_all(GRAPH, work, [log], Interruption(), together=work.together)
    assert failed.value.node == "a1"
    assert log.states() == {"data": "ran", "base": "ran", "a1": "failed", "b1": "interrupted"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_all_that_are_at_work(number: int) -> None:
    log, interruption = Log(), Interruption()
    work = Work(2, held="a1 b1")

    def press() -> None:
        while {"a1", "b1"} not in work.at_work:
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    threading.Thread(target=press).start()
    with pytest.raises(Interrupted), interruption.by_signals():
        launch_all(GRAPH, work, [log], interruption, together=work.together)
    assert log.states() == {"data": "ran", "base": "ran", "a1": "interrupted", "b1": "interrupted"}


def test_hooks_are_called_one_at_a_time() -> None:
    inside: list[str] = []

    class Slow(NodeHook):
        def before_node(self, node: str) -> None:
            self._one(node)

        def after_node(self, node: str, launched: Launched) -> None:
            self._one(node)

        def _one(self, node: str) -> None:
            assert not inside
            inside.append(node)
            time.sleep(0.01)
            inside.remove(node)

    work = Work(3, meet="a b c")
    launch_all({name: [] for name in "abcd"}, work, [Slow()], Interruption(), together=work.together)
    assert max(map(len, work.at_work)) == 3
