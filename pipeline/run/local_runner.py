"""Runs a plan on this machine, node by node."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.base import progress
from components.common.base.errors import causes, describe
from components.common.base.file_hashes import ChangedFile, FileHashes
from components.common.base.interruption import Interrupted
from components.common.data import shared_folder
from components.selector.report import REPORT_FILE, SelectorReport
from pipeline.base import collector
from pipeline.base.exit_code import (
    EXIT_CANDIDATE_FAILED,
    EXIT_INTERRUPTED,
    EXIT_NODE_FAILED,
    EXIT_NONE_PASSED,
    EXIT_PUSHED,
)
from pipeline.config.config import Config
from pipeline.config.metadata_url import StoreError
from pipeline.plan.node import PUSHER, SELECTOR
from pipeline.plan.plan import Plan
from pipeline.run import parallelism, refused_write
from pipeline.run.cache import Cache, Cached
from pipeline.run.cached_nodes import CachedNodes
from pipeline.run.failures import Failures
from pipeline.run.integrity import refuse_changed
from pipeline.run.interruption import Interruption
from pipeline.run.launcher import Launched, NodeFailed, NodeHook, launch_all
from pipeline.run.node_processes import NodeProcesses
from pipeline.run.planned_code import PlannedCode
from pipeline.run.provenance import Provenance, data_document
from pipeline.run.push import Push
from pipeline.run.record import RunRecord
from pipeline.run.recording import Recording
from pipeline.store.connection import reporting
from pipeline.store.failures import by_candidate
from pipeline.store.reader import Reader
from pipeline.store.records import Artifact, FailureCause, NodeFailure
from pipeline.store.state import State

if TYPE_CHECKING:
    from pipeline.run.tfx_nodes import TfxNodes


@dataclass(frozen=True)
class RunResult:
    """The result of a finished run.

    Attributes:
        run_id: Its name in ML Metadata.
        report: Every verdict, and the winner.
        pushed: Folder of the version that is pushed; None if no candidate passed.
        pushed_now: Whether this run pushed it, rather than an earlier one.
        nodes: Node id → its outcome, in order.
        failures: Nodes that failed, and the candidates that failed by them.
    """

    run_id: str
    report: SelectorReport
    pushed: str | None
    pushed_now: bool
    nodes: dict[str, Launched]
    failures: tuple[NodeFailure, ...] = ()

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        if self.failures:
            return EXIT_CANDIDATE_FAILED if self.pushed else EXIT_NODE_FAILED
        return EXIT_PUSHED if self.pushed else EXIT_NONE_PASSED


def run(
    plan: Plan,
    config: Config,
    provenance: Provenance,
    hook: NodeHook,
    failed: Callable[[NodeFailed, tuple[str, ...]], NodeFailure],
    code: PlannedCode,
    begun: Callable[[str], None] = lambda run_id: None,
    processes: NodeProcesses | None = None,
    cached: Collection[str] = (),
) -> RunResult:
    """Runs a plan. The results of earlier runs are taken from the cache.

    Args:
        plan: What to run.
        config: The config that it was made from.
        provenance: What the run is made of, for its record.
        hook: Called around each node.
        failed: Called with the failure of a node that the run goes on without, and the candidates that need it; returns
            its record.
        code: The code that it was planned with.
        begun: Called with the run's id when ML Metadata has its record.
        processes: Run nodes side by side; None if they run one after the other, in this process.
        cached: Ids of nodes that are done. If that is all of them, neither TensorFlow nor TFX is imported.

    Raises:
        NodeFailed: If a node fails that all candidates need, or the last candidate fails.
        Interrupted: If SIGINT or SIGTERM arrives. In both cases what was pushed before is untouched, and the next
            run continues where this one ended.
        StoreError: If the metadata store cannot be opened.
    """

    def reader() -> Reader:
        return Reader.open(config.metadata_url)

    nodes, launch_node = _nodes(plan, config, processes, cached)
    push = Push(plan, reader) if plan.pushes else None
    interruption = Interruption()
    with interruption.by_signals():
        with reporting(config.metadata_url):
            nodes.register_run()
            record = RunRecord(config.metadata_url, nodes.run_id, provenance)
        recording = Recording(plan, record, reader)

        hashes = FileHashes()
        cache = Cache(plan.name, hashes, lambda: provenance.data.digest)

        def inputs_of(node: str) -> tuple[list[Artifact], Cached | None]:
            """The inputs of a node, and the execution whose outputs it takes if it is cached."""
            store = reader()  # is closed before the node runs, which may take hours
            inputs = {
                key: found
                for key, source in plan.node(node).inputs.items()
                if (found := recording.outputs(source.node, store).get(source.key, []))
            }
            read = [artifact for found in inputs.values() for artifact in found]
            refuse_changed(read, hashes)
            if node in plan.again:
                return read, None
            ids = {key: [artifact.id for artifact in found] for key, found in inputs.items()}
            return read, cache.find(store, plan.node(node), ids, _say_why_it_runs)

        def launch(node: str) -> tuple[State, int | None]:
            read, found = inputs_of(node)
            if found is None:
                code.refuse_change(node)
            try:
                with reporting(config.metadata_url):
                    state, execution = launch_node(node, found)
            except Exception as error:
                refused = refused_write.find(error, os.path.join(config.pipeline_root, node))
                if refused is None:
                    raise
                raise refused from error
            if execution is not None:
                made = [one for found in reader().outputs(execution).values() for one in found]
                if state is State.RAN:
                    code.refuse_change(node)
                    # If they changed meanwhile, it is not known which content the node read.
                    refuse_changed(read, hashes)
                    if node == plan.example_gen:
                        _refuse_changed_data(config, provenance)
                    record.contents(made, hashes)
                elif state is State.CACHED:
                    refuse_changed(made, hashes)
            return state, execution

        def report(error: NodeFailed, candidates: tuple[str, ...]) -> NodeFailure:
            failure = failed(error, candidates)
            record.failure(failure)
            return failure

        failures = Failures(plan, report)
        try:
            begun(nodes.run_id)
            trains = {node.id for node in plan.nodes if node.trains}
            together = (
                processes.side_by_side(parallelism.alone(plan, config), trains) if processes else None
            )
            with shared_folder.made(Path(config.pipeline_root)):
                launch_all(
                    plan.graph(),
                    launch,
                    [hook, *filter(None, [push]), recording],
                    interruption,
                    failures.without,
                    together,
                )
            return _finish(record, recording, reader(), nodes.run_id, tuple(failures.found))
        except BaseException as error:
            # A store that went away must not hide what happened first.
            with contextlib.suppress(StoreError):
                if push is not None:
                    push.remove_unfinished()
                _stop(record, error)
            raise


def _nodes(
    plan: Plan, config: Config, processes: NodeProcesses | None, cached: Collection[str]
) -> tuple[CachedNodes | TfxNodes, Callable[[str, Cached | None], tuple[State, int | None]]]:
    """The nodes of a run, and what launches one: is given the execution whose outputs it takes if it is cached."""
    if all(node.id in cached for node in plan.nodes):
        taken = CachedNodes(plan.name, config.metadata_url)
        return taken, taken.launch
    from pipeline.run.build import build
    from pipeline.run.tfx_nodes import TfxNodes

    nodes = TfxNodes(build(plan, config), config.metadata_url)

    def launch(node: str, found: Cached | None) -> tuple[State, int | None]:
        # The process that pushes knows what it pushed, and removes it if it is stopped.
        elsewhere = partial(processes.do, node) if processes and node != PUSHER else None
        try:
            return nodes.launch(node, found is not None, elsewhere)
        finally:
            if elsewhere is None:
                collector.collect()

    return nodes, launch


def _finish(
    record: RunRecord, recording: Recording, reader: Reader, run_id: str, failures: tuple[NodeFailure, ...]
) -> RunResult:
    """Reads the result from what the last nodes wrote, and records it."""
    report_uri = recording.outputs(SELECTOR, reader)["report"][0].uri
    report = SelectorReport.read(Path(report_uri, REPORT_FILE)).with_failures(by_candidate(failures))
    destination, pushed_now = _pushed(recording, reader)
    result = RunResult(run_id, report, destination, pushed_now, dict(recording.nodes), failures)
    unpushed = State.NONE_PASSED if PUSHER in recording.nodes else State.JUDGED
    record.finish(
        State.PUSHED if destination else unpushed,
        result.exit_code,
        winner=report.winner or "",
        pushed=destination or "",
        pushed_now=int(pushed_now),
    )
    return result


def _pushed(recording: Recording, reader: Reader) -> tuple[str | None, bool]:
    """Folder of the version that is pushed, None if there is none; and whether this run pushed it."""
    if PUSHER not in recording.nodes:
        return None, False
    pushed = recording.outputs(PUSHER, reader)["pushed_model"][0].properties
    destination = str(pushed["pushed_destination"]) if pushed.get("pushed") else None
    return destination, destination is not None and recording.nodes[PUSHER].state is State.RAN


def _say_why_it_runs(why: str) -> None:
    progress.note(f"runs again: {why}")


def _refuse_changed_data(config: Config, provenance: Provenance) -> None:
    """Raises a ChangedFile if the data are not those that the run's record names, now that they have been read."""
    if data_document(config, FileHashes()).digest != provenance.data.digest:
        raise ChangedFile(f"the data in {config.data.path} changed while they were read; run again")


def _stop(record: RunRecord, error: BaseException) -> None:
    """Records that the run did not finish."""
    if isinstance(error, NodeFailed):
        cause = next(filter(None, map(_cause, causes(error))), None)
        facts = {
            "failed_node": error.node,
            "reason": error.reason(),
            **({"cause": cause.value} if cause else {}),
        }
        record.finish(State.FAILED, EXIT_NODE_FAILED, **facts)
    elif isinstance(error, Interrupted | KeyboardInterrupt):
        record.finish(State.INTERRUPTED, EXIT_INTERRUPTED)
    else:
        record.finish(State.FAILED, EXIT_NODE_FAILED, reason=describe(error))


def _cause(error: BaseException) -> FailureCause | None:
    if isinstance(error, ChangedFile):
        return FailureCause.CHANGED_FILE
    return FailureCause.REFUSED_WRITE if isinstance(error, refused_write.RefusedWrite) else None
