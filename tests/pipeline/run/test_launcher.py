"""Nodes are launched in their order, one at a time, and every end is reported once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

import pytest

from components.common.base import progress
from components.common.base.interruption import Interrupted
from pipeline.config.metadata_url import StoreError
from pipeline.run.interruption import Interruption
from pipeline.run.launcher import Launched, NodeFailed, NodeHook, launch_all, ready
from pipeline.store.state import State
from tests.pipeline.run.nodes import Log

# In this order, though `d` could come before `b`.
GRAPH = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a"]}


def launching(
    actions: dict[str, Callable[[], None]] | None = None, states: dict[str, State] | None = None
) -> Callable[[str], tuple[State, int | None]]:
    """A launch that calls actions by node, and returns states."""

    def launch(node: str) -> tuple[State, int | None]:
        (actions or {}).get(node, lambda: None)()
        return (states or {}).get(node, State.RAN), ord(node)

    return launch


def raising(error: BaseException) -> Callable[[], None]:
    def action() -> None:
        raise error

    return action


class FullStore(NodeHook):
    """Cannot record anything any more."""

    def __init__(self, moment: str):
        self.moment = moment

    def before_node(self, node: str) -> None:
        if self.moment == "before":
            raise StoreError("sqlite:///x: the disk is full")

    def after_node(self, node: str, launched: Launched) -> None:
        if self.moment == "after":
            raise StoreError("sqlite:///x: the disk is full")


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_store_that_is_full_fails_the_node(moment: str) -> None:
    log = Log()
    with pytest.raises(NodeFailed) as failed:
        launch_all(GRAPH, launching(), [log, FullStore(moment)], Interruption())
    assert (failed.value.node, failed.value.exit_code) == ("a", 3)
    assert failed.value.reason() == "StoreError: sqlite:///x: the disk is full"


def test_a_store_that_is_full_does_not_hide_why_a_node_failed() -> None:
    log = Log()
    actions = {"a": raising(OSError(28, "No space left on device", "/model"))}
    with pytest.raises(NodeFailed) as failed:
        launch_all(GRAPH, launching(actions), [log, FullStore("after")], Interruption())
    assert "/model" in failed.value.reason()
    assert log.events == [("a", "before"), ("a", "failed")]


@pytest.mark.parametrize(
    ("done", "begun", "expected"),
    [
        ([], [], ["a"]),
        ([], ["a"], []),
        (["a"], [], ["b", "d"]),
        (["a"], ["b"], ["d"]),
        (["a", "d"], ["b"], []),
        (["a", "b"], [], ["c", "d"]),
        (["a", "b", "c", "d"], [], []),
    ],
)
def test_nodes_are_ready_after_all_that_they_read(
    done: list[str], begun: list[str], expected: list[str]
) -> None:
    assert ready(GRAPH, done, begun) == expected


def test_nodes_run_one_at_a_time_in_the_order_of_the_graph() -> None:
    log = Log()
    report = {"b": lambda: progress.report("epoch 1/2")}
    launch_all(GRAPH, launching(report, {"c": State.CACHED}), [log], Interruption())
    assert log.events == [
        ("a", "before"), ("a", "ran"),
        ("b", "before"), ("b", "epoch 1/2"), ("b", "ran"),
        ("c", "before"), ("c", "cached"),
        ("d", "before"), ("d", "ran"),
    ]  # fmt: skip
    assert [log.ended[node].execution for node in GRAPH] == [97, 98, 99, 100]
    assert all(0 <= launched.seconds < 1 for launched in log.ended.values())


def test_nothing_is_launched_after_a_failure() -> None:
    log = Log()
    cause = ValueError("first line\nsecond line")
    with pytest.raises(NodeFailed) as failed:
        launch_all(GRAPH, launching({"b": raising(cause)}), [log], Interruption())
    assert (failed.value.node, failed.value.exit_code) == ("b", 3)
    assert failed.value.reason() == "ValueError: first line"
    assert failed.value.__cause__ is cause
    assert log.events == [("a", "before"), ("a", "ran"), ("b", "before"), ("b", "failed")]
    assert log.ended["b"].execution is None


@pytest.mark.parametrize(
    ("skipped", "expected"),
    [
        (set(), {"a": "ran", "b": "failed", "c": "ran", "d": "ran"}),
        ({"b", "c"}, {"a": "ran", "b": "failed", "c": "skipped", "d": "ran"}),
        ({"d"}, {"a": "ran", "b": "failed", "d": "skipped", "c": "ran"}),
    ],
)
def test_the_others_go_on_without_nodes_that_are_skipped(
    skipped: set[str], expected: dict[str, str]
) -> None:
    log = Log()
    failed: list[str] = []

    def without(error: NodeFailed) -> set[str]:
        failed.append(error.node)
        return skipped

    launch_all(GRAPH, launching({"b": raising(ValueError())}), [log], Interruption(), without)
    assert failed == ["b"] and log.states() == expected
    assert ("c", "before") not in log.events or "c" not in skipped


def test_inputs_that_tfx_does_not_find_are_a_failure() -> None:
    log = Log()
    with pytest.raises(NodeFailed, match="its inputs were not found in the metadata store") as failed:
        launch_all(GRAPH, launching(states={"c": State.FAILED}), [log], Interruption())
    assert failed.value.reason() == "its inputs were not found in the metadata store"
    assert log.states() == {"a": "ran", "b": "ran", "c": "failed"}


@pytest.mark.parametrize(
    ("action", "error"),
    [
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGINT), Interrupted, id="Ctrl-C"),
        pytest.param(lambda: os.kill(os.getpid(), signal.SIGTERM), Interrupted, id="SIGTERM"),
        pytest.param(raising(Interrupted()), Interrupted, id="an executor that was asked"),
        pytest.param(raising(KeyboardInterrupt()), KeyboardInterrupt, id="Python's own"),
    ],
)
def test_an_interrupted_node_is_not_a_failure(
    action: Callable[[], None], error: type[BaseException]
) -> None:
    log, interruption = Log(), Interruption()
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(error), interruption.by_signals():
        launch_all(GRAPH, launching({"b": action}), [log], interruption)
    assert log.states() == {"a": "ran", "b": "interrupted"}
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_an_interruption_that_a_library_swallows_stops_the_run() -> None:
    def swallow() -> None:
        with contextlib.suppress(Interrupted):
            os.kill(os.getpid(), signal.SIGINT)

    def turn_into_another() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except Interrupted:
            raise RuntimeError("Graph execution error:") from None

    for action in (swallow, turn_into_another):
        log, interruption = Log(), Interruption()
        with pytest.raises(Interrupted), interruption.by_signals():
            launch_all(GRAPH, launching({"b": action}), [log], interruption)
        assert log.states() == {"a": "ran", "b": "interrupted"}


def test_a_run_in_another_thread_leaves_signals_alone() -> None:
    handler, found = signal.getsignal(signal.SIGINT), []

    def run() -> None:
        with Interruption().by_signals():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [handler]


def test_hooks_are_called_in_their_order() -> None:
    seen: list[str] = []

    class Named(NodeHook):
        def __init__(self, name: str):
            self.name = name

        def after_node(self, node: str, launched: Launched) -> None:
            seen.append(f"{self.name} {node}")

    launch_all({"a": []}, launching(), [Named("first"), NodeHook(), Named("second")], Interruption())
    assert seen == ["first a", "second a"]


@pytest.mark.parametrize("graph", [{"a": ["b"], "b": ["a"]}, {"a": [], "b": ["elsewhere"]}])
def test_a_graph_that_cannot_end_is_refused(graph: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match=r"no node makes the inputs of: .*b"):
        launch_all(graph, launching(), [], Interruption())
