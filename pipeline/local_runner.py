"""Running a plan on this machine with TFX's LocalDagRunner, node by node before somebody's eyes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher

from components.common import progress
from components.common.interruption import Interrupted
from components.selector.executor import REPORT_FILE
from pipeline import build, cache
from pipeline.config import Config
from pipeline.metadata_store import MetadataStore, properties
from pipeline.plan import PUSHER, SELECTOR, Plan

RAN, CACHED, FAILED = "ran", "cached", "failed"


@dataclass(frozen=True)
class NodeEvent:
    """Something that happened to a node.

    Attributes:
        node: Its id.
        kind: `started`, `progress`, or how it ended: RAN, CACHED or FAILED.
        seconds: Since it started.
        text: How far it is, for `progress`.
    """

    node: str
    kind: str
    seconds: float = 0.0
    text: str = ""


class NodeFailed(Exception):
    """A node failed; `node` is its id, and the cause is the exception that this one is raised from."""

    def __init__(self, node: str, message: str):
        super().__init__(message)
        self.node = node


@dataclass
class RunResult:
    """What a run came to.

    Attributes:
        report: As components.selector.executor.build_report makes it.
        pushed: Folder of the version that is pushed; None where no candidate passed.
        pushed_now: Whether this run pushed it, rather than an earlier one.
        nodes: Node id → RAN or CACHED, in order.
        seconds: Node id → wall-clock time.
    """

    report: dict[str, Any]
    pushed: str | None
    pushed_now: bool
    nodes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


Observer = Callable[[NodeEvent], None]


def run(plan: Plan, config: Config, observe: Observer) -> RunResult:
    """Runs a plan. What earlier runs have done is taken from the cache.

    Args:
        plan: What to run.
        config: The config that it was made from.
        observe: Is told of every node.

    Raises:
        NodeFailed: Where a node fails.
        Interrupted: Where SIGINT or SIGTERM arrives. In both cases what was pushed before is untouched,
            and the next run goes on where this one ended.
    """
    pipeline = build.build(plan, config)
    watch = _Watch(plan, config, observe)
    os.makedirs(os.path.dirname(os.path.abspath(config.metadata_path)), exist_ok=True)
    try:
        # LocalDagRunner has no hook for nodes; the launcher that it makes for each of them is one.
        with (
            _interruptible(watch),
            _launching_with(watch.launcher_class()),
        ):
            local_dag_runner.LocalDagRunner().run(pipeline)
    except BaseException:
        for version in watch.unfinished_pushes():
            shutil.rmtree(os.path.join(watch.push_directory, version), ignore_errors=True)
        raise
    return watch.result()


class _Watch:
    """Follows a run from launcher to launcher."""

    def __init__(self, plan: Plan, config: Config, observe: Observer):
        self.plan = plan
        self.config = config
        self.observe = observe
        self.nodes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.executions: dict[str, int] = {}
        self.interrupted = False
        self.versions_before_push: set[str] | None = None
        self.push_directory = cache.push_directory(plan.node(PUSHER))

    def store(self) -> MetadataStore:
        """The metadata as it is now."""
        return MetadataStore(os.path.abspath(self.config.metadata_path), self.plan.name)

    def launcher_class(self) -> type[launcher.Launcher]:
        """A TFX launcher that reports to this watch."""
        watch = self

        class ObservedLauncher(launcher.Launcher):
            def launch(self) -> Any:
                node_id = self._pipeline_node.node_info.id
                if node_id == PUSHER and not watch.push_is_current():
                    self._pipeline_node.execution_options.caching_options.enable_cache = False
                return watch.follow(node_id, super().launch)

        return ObservedLauncher

    def follow(self, node_id: str, launch: Callable[[], Any]) -> Any:
        """Launches a node and says how it went.

        Raises:
            NodeFailed: Where it failed, or where TFX could not find its inputs and went on regardless.
            Interrupted: Where somebody asked to stop meanwhile.
        """
        self._stop_if_asked()
        if node_id == PUSHER:
            self.versions_before_push = _versions(self.push_directory)
        self.observe(NodeEvent(node_id, "started"))
        start = time.monotonic()

        def tell(text: str) -> None:
            self.observe(NodeEvent(node_id, "progress", time.monotonic() - start, text))

        try:
            with progress.listening(tell):
                info = launch()
        except BaseException as error:
            self.observe(NodeEvent(node_id, FAILED, time.monotonic() - start))
            self._stop_if_asked()
            if isinstance(error, Interrupted) or not isinstance(error, Exception):
                raise
            raise NodeFailed(node_id, str(error)) from error
        self._stop_if_asked()
        seconds = time.monotonic() - start
        state = self._state(node_id, info)
        self.observe(NodeEvent(node_id, state, seconds))
        if state == FAILED:
            raise NodeFailed(node_id, "its inputs were not found in the metadata store")
        self.nodes[node_id], self.seconds[node_id] = state, seconds
        return info

    def _stop_if_asked(self) -> None:
        if self.interrupted:
            raise Interrupted

    def _state(self, node_id: str, info: Any) -> str:
        states = metadata_store_pb2.Execution
        for execution in self.store().executions(node_id, completed=False):
            if info is not None and execution.id == info.execution_id:
                self.executions[node_id] = execution.id
                known = {states.COMPLETE: RAN, states.CACHED: CACHED}
                return known.get(execution.last_known_state, FAILED)
        return FAILED

    def outputs(self, node_id: str) -> dict[str, list[Any]]:
        """Output artifacts of a node in this run, whether it ran or not."""
        store = self.store()
        for execution in store.executions(node_id, completed=False):
            if execution.id == self.executions.get(node_id):
                return store.details(execution).outputs
        return {}

    def push_is_current(self) -> bool:
        """Whether the selected model is the newest that was pushed, so that it need not be again."""
        selected = [artifact.id for artifact in self.outputs(SELECTOR).get("model", [])]
        for done in self.store().done(PUSHER):
            if done.inputs.get("model") == selected:
                pushed = done.outputs.get("pushed_model", [])
                return bool(pushed) and cache.is_current_push(pushed[0], self.push_directory)
        return True

    def unfinished_pushes(self) -> set[str]:
        """Versions that this run's Pusher has begun and not recorded; others' are none of its business."""
        if self.versions_before_push is None or PUSHER in self.nodes:
            return set()
        recorded = {
            str(properties(artifact).get("pushed_version"))
            for done in self.store().done(PUSHER)
            for artifact in done.outputs.get("pushed_model", [])
        }
        return _versions(self.push_directory) - self.versions_before_push - recorded

    def result(self) -> RunResult:
        """The run's outcome, read from what its last nodes wrote."""
        report_uri = self.outputs(SELECTOR)["report"][0].uri
        report = json.loads(Path(report_uri, REPORT_FILE).read_text(encoding="utf-8"))
        pushed = properties(self.outputs(PUSHER)["pushed_model"][0])
        destination = str(pushed["pushed_destination"]) if pushed.get("pushed") else None
        return RunResult(
            report, destination, self.nodes[PUSHER] == RAN, dict(self.nodes), dict(self.seconds)
        )


@contextmanager
def _launching_with(launcher_class: type[launcher.Launcher]) -> Iterator[None]:
    original = local_dag_runner.launcher.Launcher
    local_dag_runner.launcher.Launcher = launcher_class
    try:
        yield
    finally:
        local_dag_runner.launcher.Launcher = original


def _versions(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if name.isdigit()}
    except OSError:
        return set()


@contextmanager
def _interruptible(watch: _Watch) -> Iterator[None]:
    """Turns the first SIGINT or SIGTERM into `Interrupted`; a second one ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        watch.interrupted = True
        for which, handler in previous.items():
            signal.signal(which, handler)
        raise Interrupted

    previous = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    for which in previous:
        signal.signal(which, stop)
    try:
        yield
    finally:
        for which, handler in previous.items():
            signal.signal(which, handler)
