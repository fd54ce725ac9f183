"""A run from its checks to its outcome: log, lock, nodes, report.

Nothing here imports TensorFlow or TFX before a run that needs them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from components.common.base.errors import ParedownError
from components.common.base.interruption import Interrupted
from components.common.base.texts import listed
from components.evaluator.verdict import Verdict
from pipeline import environment
from pipeline.base import collector, log_file
from pipeline.base.console import make_console
from pipeline.base.exit_code import EXIT_INTERRUPTED, EXIT_NODE_FAILED
from pipeline.base.process import paused_by_ctrl_z
from pipeline.base.shown import Shown
from pipeline.base.texts import printable
from pipeline.config.config_file import ConfigFile
from pipeline.config.problem import InvalidInput, Problem
from pipeline.plan.node_code import model_version
from pipeline.plan.plan import Plan
from pipeline.plan.table import plan_summary
from pipeline.run import lock, node_process, parallelism
from pipeline.run.fork_server import ForkServer
from pipeline.run.launcher import NodeFailed
from pipeline.run.node_processes import NodeProcesses
from pipeline.run.planned_code import PlannedCode
from pipeline.run.sent_error import full_traceback
from pipeline.run.verdict_table import verdict_table
from pipeline.store.records import NodeFailure

if TYPE_CHECKING:
    from pipeline.run.local_runner import RunResult
    from pipeline.store.search_record import SearchRecord


class AnotherRun(ParedownError):
    """Another run is using the pipeline root."""


@dataclasses.dataclass(frozen=True)
class Stopped:
    """Why a run did not finish.

    Attributes:
        code: Exit code of the process.
        node: The node that failed, if one did.
        message: What happened.
        traceback: File with the traceback, if there is one.
        run: Id of the run; None if it was stopped before it had one.
        report: Page about the run, if there is one.
    """

    code: int
    node: str | None
    message: str
    traceback: str | None
    run: str | None = None
    report: str | None = None


@dataclasses.dataclass(frozen=True)
class Finished(Shown):
    """The result of a finished run.

    Attributes:
        result: Its outcome.
        log: File with what libraries printed.
        report: Page about the run, if there is one.
    """

    result: RunResult
    log: str
    report: str | None

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Candidate → its verdict, in the order of the config."""
        return self.result.report.candidates

    @property
    def winner(self) -> str | None:
        """The selected candidate; None if no candidate passed."""
        return self.result.report.winner

    @property
    def pushed(self) -> str | None:
        """Folder of the version that is pushed; None if no candidate passed."""
        return self.result.pushed

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.result.run_id

    @property
    def exit_code(self) -> int:
        """Exit code of the command."""
        return self.result.exit_code

    def show(self, console: Console) -> None:
        show_outcome(console, self.result)

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        result = self.result
        nodes = {
            node: {"state": launched.state, "seconds": round(launched.seconds, 3)}
            for node, launched in result.nodes.items()
        }
        return {
            **result.report.to_json(),
            "pushed": result.pushed,
            "pushed_now": result.pushed_now,
            "nodes": nodes,
            "failures": [dataclasses.asdict(failure) for failure in result.failures],
            "run": result.run_id,
            "log": self.log,
            "report": self.report,
        }


def run(
    file: ConfigFile,
    plan: Plan,
    cached: set[str],
    write_page: Callable[[str, Path], bool],
    strict: bool = False,
    search: SearchRecord | None = None,
) -> Finished | Stopped:
    """Checks and runs a config, and says on standard error how far it is.

    Args:
        file: The config.
        plan: Made from it.
        cached: Ids of nodes that are done.
        write_page: Writes the page about a run: is given the run's id and the file; returns whether there is a
            page.
        strict: Whether to refuse what is otherwise a warning.
        search: The search that the run is part of, for its record; None if it is not.

    Raises:
        InvalidInput: If the data, the model or a step cannot work; nothing was written then.
        AnotherRun: If the pipeline root is in use.
    """
    if not strict and all(node.id in cached for node in plan.nodes):
        # The same data, code and options were checked before these nodes ran.
        return _run_locked(file, plan, cached, write_page, b"", (), lambda log: None, search)
    environment.prepare_for(file)
    with log_file.quiet("Importing TensorFlow and TFX …") as said, collector.importing():
        from pipeline.checks import preflight

        most = parallelism.nodes_at_once(file.config, len(plan.nodes) - len(cached))
        if most > 1 and environment.tensorflow_is_used():
            most = 1  # in a notebook, for example: this process cannot be forked any more
        if most > 1:
            _import_nodes(plan)
        before = said.read_bytes()
    # Processes are forked from one that has executed none of TensorFlow's operations, as the checks will.
    with _fork_server() if most > 1 else contextlib.nullcontext() as server:
        with log_file.quiet("Checking data and models …") as said:
            found = preflight.check(file, plan, cached)
            before += said.read_bytes()
        if problems := found.refused(strict):
            raise InvalidInput(problems)

        def processes(log: Path) -> NodeProcesses | None:
            return NodeProcesses(server, most, log) if server else None

        return _run_locked(file, plan, cached, write_page, before, found.warnings, processes, search)


def _import_nodes(plan: Plan) -> None:
    """Imports what every process of a node needs."""
    for name in ("pipeline.run.tfx_nodes", *(node.component.rpartition(".")[0] for node in plan.nodes)):
        importlib.import_module(name)


@contextlib.contextmanager
def _fork_server() -> Iterator[ForkServer]:
    server = ForkServer(node_process.main)
    try:
        with paused_by_ctrl_z(server.descendants):
            yield server
    finally:
        server.close()


def _run_locked(
    file: ConfigFile,
    plan: Plan,
    cached: set[str],
    write_page: Callable[[str, Path], bool],
    before: bytes,
    warnings: Sequence[Problem],
    processes: Callable[[Path], NodeProcesses | None],
    search: SearchRecord | None,
) -> Finished | Stopped:
    """Runs while no other run may use the pipeline root.

    Args:
        file: The config.
        plan: Made from it.
        cached: Ids of nodes that are done.
        write_page: See `run`.
        before: What libraries printed before, which begins the log.
        warnings: Warnings about the config.
        processes: Those of nodes that run side by side, with their log; None if they run one at a time.
        search: See `run`.
    """
    root = Path(file.config.pipeline_root).absolute()
    log = root / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
    with lock.hold(root) as held:
        if not held:
            raise AnotherRun(
                f"Another run is using {root}. Wait for it, or set run.pipeline_root to a different folder."
            )
        with log_file.output_to(log) as (_, err):
            print(before.decode("utf-8", "replace"), end="")
            console = make_console(err)
            console.print(f"Running {file.config.name}: {plan_summary(plan, cached)}")
            for warning in warnings:
                console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)
            console.print(f"Libraries log to {log}", style="dim", markup=False, soft_wrap=True)
            begun: list[str] = []
            outcome = _run_logged(file, plan, cached, console, log, begun.append, processes(log), search)
            page = _page(begun[0], root, console, write_page) if begun else None
    if isinstance(outcome, Stopped):
        return dataclasses.replace(outcome, run=begun[0] if begun else None, report=page)
    return Finished(outcome, str(log), page)


def show_outcome(console: Console, result: RunResult) -> None:
    """Prints the verdicts, and what was pushed or why nothing was."""
    report = result.report
    console.print(verdict_table(report.candidates, report.winner, console.width, report.select))
    if result.pushed:
        when = "pushed to" if result.pushed_now else "was pushed before, to"
        console.print(result.report.winner, style="bold green", end=" ")
        console.print(f"{when} {result.pushed}", markup=False, soft_wrap=True)
        return
    console.print("[bold red]No candidate passed the gate; nothing was pushed.[/]")
    for name, verdict in result.report.candidates.items():
        for reason in verdict.reasons:
            console.print(f"  {name}: {printable(reason)}", markup=False)


def _run_logged(
    file: ConfigFile,
    plan: Plan,
    cached: set[str],
    console: Console,
    log: Path,
    begun: Callable[[str], None],
    processes: NodeProcesses | None,
    search: SearchRecord | None,
) -> RunResult | Stopped:
    """Runs, with output going to the log."""
    from pipeline.run import local_runner, provenance
    from pipeline.run.display import RunDisplay

    display = RunDisplay(console, plan)

    def report(error: NodeFailed) -> str | None:
        """Saves the traceback; returns its file, None if it cannot be written."""
        display.close()
        saved = log.with_name(f"{log.stem}-{error.node}-traceback.txt")
        console.print(f"[bold red]Node {error.node} failed:[/] ", end="")
        console.print(error.reason(), markup=False, soft_wrap=True)
        try:
            saved.write_text(full_traceback(error), encoding="utf-8")
        except OSError as unwritten:
            console.print(f"{saved} cannot be written: {unwritten.strerror}", markup=False, soft_wrap=True)
            return None
        console.print(f"Traceback: {saved}", markup=False, soft_wrap=True)
        return str(saved)

    def failed(error: NodeFailed, candidates: tuple[str, ...]) -> NodeFailure:
        saved = report(error)
        console.print(f"The run goes on without {listed(candidates)}.", markup=False, soft_wrap=True)
        return NodeFailure(error.node, candidates, error.reason(), saved or "")

    try:
        made_of = provenance.collect(file.config, file.path, search)
        code = PlannedCode(plan, lambda: model_version(file.config, file.path))
        return local_runner.run(plan, file.config, made_of, display, failed, code, begun, processes, cached)
    except NodeFailed as error:
        saved = report(error)
        console.print("Nothing was pushed. Fix the problem and run again; finished nodes are cached.")
        return Stopped(EXIT_NODE_FAILED, error.node, error.reason(), saved)
    except (Interrupted, KeyboardInterrupt):
        display.close()
        console.print("Interrupted. Nothing was pushed; run again to continue.")
        return Stopped(EXIT_INTERRUPTED, None, "interrupted", None)
    finally:
        display.close()


def _page(run_id: str, root: Path, console: Console, write_page: Callable[[str, Path], bool]) -> str | None:
    """Writes the page about a run; if that fails, the run ends as it would have."""
    page = root / "reports" / f"{run_id.replace(':', '')}.html"
    try:
        if not write_page(run_id, page):
            return None
    except Exception as error:
        with contextlib.suppress(OSError):
            traceback.print_exc()  # to the log
        console.print(f"No report was written: {type(error).__name__}: {error}", markup=False)
        return None
    console.print(f"Report: {page}", markup=False, soft_wrap=True)
    return str(page)
