"""Running a plan on this machine with TFX's LocalDagRunner, node by node before somebody's eyes."""

from __future__ import annotations

import contextlib
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
from tfx.orchestration import metadata as tfx_metadata
from tfx.orchestration.local import local_dag_runner
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.mlmd import context_lib

from components.common.base import progress
from components.common.base.errors import ParedownError
from components.common.base.interruption import Interrupted
from components.common.models.user_module import describe
from components.selector.executor import REPORT_FILE
from pipeline.base.exit_code import EXIT_INTERRUPTED, EXIT_NODE_FAILED, EXIT_NONE_PASSED, EXIT_PUSHED
from pipeline.config import metadata_url
from pipeline.config.config import Config
from pipeline.plan.node import EXAMPLE_GENS, PUSHER, SELECTOR
from pipeline.plan.plan import Plan
from pipeline.run import build, cache
from pipeline.run.provenance import Provenance
from pipeline.run.record import RunRecord
from pipeline.store.connection import connect
from pipeline.store.reader import RUN, Reader
from pipeline.store.records import Artifact, by_key
from pipeline.store.state import State

RAN, CACHED, FAILED = State.RAN, State.CACHED, State.FAILED


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


class NodeFailed(ParedownError):
    """A node failed; `node` is its id, and the cause is the exception that this one is raised from."""

    def __init__(self, node: str, message: str):
        super().__init__(message)
        self.node = node

    def reason(self) -> str:
        """The first cause, in one line."""
        cause: BaseException = self
        while cause.__cause__ is not None:
            cause = cause.__cause__
        return describe(cause) if cause is not self else str(self)


@dataclass
class RunResult:
    """What a run came to.

    Attributes:
        run_id: By which ML Metadata knows the run.
        report: As components.selector.executor.build_report makes it.
        pushed: Folder of the version that is pushed; None where no candidate passed.
        pushed_now: Whether this run pushed it, rather than an earlier one.
        nodes: Node id → RAN or CACHED, in order.
        seconds: Node id → wall-clock time.
    """

    run_id: str
    report: dict[str, Any]
    pushed: str | None
    pushed_now: bool
    nodes: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


Observer = Callable[[NodeEvent], None]


def run(
    plan: Plan,
    config: Config,
    provenance: Provenance,
    observe: Observer,
    begun: Callable[[str], None] = lambda run_id: None,
) -> RunResult:
    """Runs a plan. What earlier runs have done is taken from the cache.

    Args:
        plan: What to run.
        config: The config that it was made from.
        provenance: What the run is made of, for its record.
        observe: Is told of every node.
        begun: Is told the run's id once ML Metadata has its record.

    Raises:
        NodeFailed: Where a node fails.
        Interrupted: Where SIGINT or SIGTERM arrives. In both cases what was pushed before is untouched,
            and the next run goes on where this one ended.
    """
    pipeline = build.build(plan, config)
    watch = _Watch(plan, config, provenance, observe, begun)
    path = metadata_url.parse(config.metadata_url).path
    if path is not None:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        # LocalDagRunner has no hook for nodes; the launcher that it makes for each of them is one.
        with (
            _interruptible(watch),
            _launching_with(watch.launcher_class()),
        ):
            local_dag_runner.LocalDagRunner().run(pipeline)
        return watch.result()
    except BaseException as error:
        # A store that went away must not hide what happened first.
        with contextlib.suppress(metadata_url.StoreError):
            for version in watch.unfinished_pushes():
                shutil.rmtree(os.path.join(watch.push_directory, version), ignore_errors=True)
            watch.stopped(error)
        raise


class _Connection(tfx_metadata.Metadata):
    """TFX's handle of the metadata store, opened by the URL that the config has."""

    def __init__(self, url: str):
        super().__init__(metadata_store_pb2.ConnectionConfig())
        self._url = url
        self._opened: Any = None
        self._users = 0

    def __enter__(self) -> _Connection:
        if self._opened is None:
            self._opened = connect(self._url, write=True)
        self._users += 1
        return self

    def __exit__(self, *exception: object) -> None:
        self._users -= 1
        if self._users == 0:
            self._opened = None

    @property
    def store(self) -> Any:
        if self._opened is None:
            raise RuntimeError("the metadata store is used outside `with`")
        return self._opened


class _Watch:
    """Follows a run from launcher to launcher."""

    def __init__(
        self,
        plan: Plan,
        config: Config,
        provenance: Provenance,
        observe: Observer,
        begun: Callable[[str], None],
    ):
        self.begun = begun
        self.plan = plan
        self.config = config
        self.provenance = provenance
        self.observe = observe
        self.run_id = ""
        self.record: RunRecord | None = None
        self.nodes: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.executions: dict[str, int] = {}
        self.interrupted = False
        self.versions_before_push: set[str] | None = None
        self.push_directory = cache.push_directory(plan.node(PUSHER))

    def reader(self) -> Reader:
        """The metadata as it is now."""
        return Reader(connect(self.config.metadata_url))

    def launcher_class(self) -> type[launcher.Launcher]:
        """A TFX launcher that reports to this watch."""
        watch = self

        class ObservedLauncher(launcher.Launcher):
            def __init__(self, mlmd_connection: Any, **arguments: Any):
                # The pipeline is given no real connection: TFX writes it to the log, and with it a
                # password.
                self._connection = _Connection(watch.config.metadata_url)
                super().__init__(mlmd_connection=self._connection, **arguments)

            def launch(self) -> Any:
                watch.begin(self._connection, self._pipeline_node.contexts)
                node_id = self._pipeline_node.node_info.id
                if node_id == PUSHER and not watch.push_is_current():
                    self._pipeline_node.execution_options.caching_options.enable_cache = False
                return watch.follow(node_id, super().launch)

        return ObservedLauncher

    def begin(self, connection: tfx_metadata.Metadata, contexts: Any) -> None:
        """Begins the run's record, before its first node."""
        if self.record is not None:
            return
        with connection as handle:
            context_lib.prepare_contexts(handle, contexts)
        self.run_id = next(
            spec.name.field_value.string_value for spec in contexts.contexts if spec.type.name == RUN
        )
        self.record = RunRecord(self.config.metadata_url, self.run_id, self.provenance)
        self.begun(self.run_id)

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
        self._record_node(node_id, State.RUNNING, 0.0)
        start, began = time.monotonic(), time.time()

        def tell(text: str) -> None:
            self.observe(NodeEvent(node_id, "progress", time.monotonic() - start, text))

        try:
            with progress.listening(tell):
                info = launch()
        except BaseException as error:
            self.observe(NodeEvent(node_id, FAILED, time.monotonic() - start))
            self._find_execution(node_id, began)
            self._record_node(node_id, FAILED, time.monotonic() - start)
            self._stop_if_asked()
            if isinstance(error, Interrupted) or not isinstance(error, Exception):
                raise
            raise NodeFailed(node_id, str(error)) from error
        self._stop_if_asked()
        seconds = time.monotonic() - start
        state = self._state(node_id, info)
        self.observe(NodeEvent(node_id, state, seconds))
        self._record_node(node_id, state, seconds)
        if state == FAILED:
            raise NodeFailed(node_id, "its inputs were not found in the metadata store")
        self.nodes[node_id], self.seconds[node_id] = state, seconds
        if state == RAN:
            self._record_outputs(node_id)
        return info

    def _find_execution(self, node_id: str, began: float) -> None:
        """Remembers the execution of a node that failed; TFX may not have come to make one."""
        for execution in self.reader().executions_of_node(self.plan.name, node_id)[:1]:
            if execution.started.timestamp() >= int(began * 1000) / 1000:
                self.executions[node_id] = execution.id

    def _record_node(self, node_id: str, state: State, seconds: float) -> None:
        if self.record is not None:
            self.record.node(node_id, state, seconds, self.executions.get(node_id))

    def _record_outputs(self, node_id: str) -> None:
        if self.record is None:
            return
        artifacts = [artifact for found in self.outputs(node_id).values() for artifact in found]
        self.record.outputs(artifacts)
        if node_id in EXAMPLE_GENS.values():
            self.record.examples(artifacts)

    def stopped(self, error: BaseException) -> None:
        """Records that the run did not come to its end."""
        if self.record is None:
            return
        if isinstance(error, NodeFailed):
            self.record.finish(
                State.FAILED, EXIT_NODE_FAILED, failed_node=error.node, reason=error.reason()
            )
        elif isinstance(error, (Interrupted, KeyboardInterrupt)):
            self.record.finish(State.INTERRUPTED, EXIT_INTERRUPTED)
        else:
            self.record.finish(State.FAILED, EXIT_NODE_FAILED, reason=describe(error))

    def _stop_if_asked(self) -> None:
        if self.interrupted:
            raise Interrupted

    def _state(self, node_id: str, info: Any) -> State:
        for execution in self.reader().executions([info.execution_id] if info is not None else []):
            self.executions[node_id] = execution.id
            return execution.state if execution.state in (RAN, CACHED) else FAILED
        return FAILED

    def outputs(self, node_id: str) -> dict[str, list[Artifact]]:
        """Output artifacts of a node in this run, whether it ran or not."""
        if node_id not in self.executions:
            return {}
        return _outputs(self.reader(), self.executions[node_id])

    def push_is_current(self) -> bool:
        """Whether the selected model is the newest that was pushed, so that it need not be again."""
        selected = [artifact.id for artifact in self.outputs(SELECTOR).get("model", [])]
        reader = self.reader()
        for execution in reader.executions_of_node(self.plan.name, PUSHER):
            edges = reader.edges_of_executions([execution.id])
            if execution.state is RAN and by_key(edges, output=False).get("model") == selected:
                pushed = _outputs(reader, execution.id).get("pushed_model", [])
                return bool(pushed) and cache.is_current_push(pushed[0], self.push_directory)
        return True

    def unfinished_pushes(self) -> set[str]:
        """Versions that this run's Pusher has begun and not recorded; others' are none of its business."""
        if self.versions_before_push is None or PUSHER in self.nodes:
            return set()
        reader = self.reader()
        ran = [e.id for e in reader.executions_of_node(self.plan.name, PUSHER) if e.state is RAN]
        pushed = reader.artifacts(edge.artifact for edge in reader.edges_of_executions(ran) if edge.output)
        recorded = {str(artifact.properties.get("pushed_version")) for artifact in pushed}
        return _versions(self.push_directory) - self.versions_before_push - recorded

    def result(self) -> RunResult:
        """The run's outcome, read from what its last nodes wrote."""
        report_uri = self.outputs(SELECTOR)["report"][0].uri
        report = json.loads(Path(report_uri, REPORT_FILE).read_text(encoding="utf-8"))
        pushed = self.outputs(PUSHER)["pushed_model"][0].properties
        destination = str(pushed["pushed_destination"]) if pushed.get("pushed") else None
        pushed_now = self.nodes[PUSHER] == RAN
        if self.record is not None:
            self.record.finish(
                State.PUSHED if destination else State.NONE_PASSED,
                EXIT_PUSHED if destination else EXIT_NONE_PASSED,
                winner=report["winner"] or "",
                pushed=destination or "",
                pushed_now=int(bool(destination) and pushed_now),
            )
        return RunResult(self.run_id, report, destination, pushed_now, dict(self.nodes), dict(self.seconds))


@contextmanager
def _launching_with(launcher_class: type[launcher.Launcher]) -> Iterator[None]:
    original = local_dag_runner.launcher.Launcher
    local_dag_runner.launcher.Launcher = launcher_class
    try:
        yield
    finally:
        local_dag_runner.launcher.Launcher = original


def _outputs(reader: Reader, execution_id: int) -> dict[str, list[Artifact]]:
    found = by_key(reader.edges_of_executions([execution_id]), output=True)
    return {key: reader.artifacts(ids) for key, ids in found.items()}


def _versions(directory: str) -> set[str]:
    try:
        return {name for name in os.listdir(directory) if name.isdecimal()}
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
