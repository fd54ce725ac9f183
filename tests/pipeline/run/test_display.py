"""Progress of several nodes at once, in a pipe and on a terminal."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from components.common.base.progress import Kind, Report
from pipeline.config.config_file import load
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.run.display import RunDisplay
from pipeline.run.launcher import Launched
from pipeline.store.state import State
from tests.project import ROOT


@pytest.fixture(scope="module")
def plan() -> Plan:
    file = load(ROOT / "configs/mnist/pipeline.yaml")
    whole = make_plan(file.config, file.path)
    return dataclasses.replace(whole, nodes=whole.nodes[:6])


def show(plan: Plan, console: Console) -> None:
    display = RunDisplay(console, plan)
    display.before_node("Trainer")
    display.before_node("AnomalyGate")
    display.on_progress("Trainer", 1.0, Report("epoch 1/9", Kind.EPOCH))
    display.on_progress("AnomalyGate", 1.0, Report("epoch 1/3", Kind.EPOCH))
    display.on_progress("Trainer", 5.0, Report("epoch 2/9", Kind.EPOCH))  # too early for another line
    display.after_node("AnomalyGate", Launched(State.FAILED, 2.0))
    display.on_progress("Trainer", 12.0, Report("epoch 3/9", Kind.EPOCH))
    display.close()


def test_in_a_pipe_every_line_names_its_node(plan: Plan) -> None:
    out = io.StringIO()
    show(plan, Console(file=out, width=100))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert lines[:2] == [["Trainer", "epoch", "1/9"], ["AnomalyGate", "epoch", "1/3"]]
    assert lines[2][:5] == ["1/6", "AnomalyGate", "failed", "2.0", "s"]
    assert lines[3:] == [["Trainer", "epoch", "3/9"]]


def test_on_a_terminal_each_node_has_a_moving_line_until_it_ends(plan: Plan) -> None:
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    display = RunDisplay(console, plan)
    display.before_node("Trainer")
    display.before_node("AnomalyGate")
    display.on_progress("Trainer", 1.0, Report("epoch 1/9", Kind.EPOCH))
    rows = [(task.fields["node"].strip(), task.fields["text"]) for task in display._progress.tasks]
    assert rows == [("Trainer", "epoch 1/9"), ("AnomalyGate", "")]
    display.after_node("AnomalyGate", Launched(State.FAILED, 2.0))
    display.on_progress("Trainer", 12.0, Report("epoch 3/9", Kind.EPOCH))
    assert [task.fields["text"] for task in display._progress.tasks] == ["epoch 3/9"]
    assert display._progress.live.is_started
    display.close()
    assert not display._progress.live.is_started
