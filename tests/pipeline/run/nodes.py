"""Running some nodes of a plan, and what hooks are called with."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from components.common.base.progress import Report
from pipeline.config.config import Config
from pipeline.config.config_file import load
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.run.interruption import Interruption
from pipeline.run.launcher import Launched, NodeHook, launch_all


class Log(NodeHook):
    """Keeps what it is called with.

    Attributes:
        events: `(node, event)`: `before`, a text of progress, or the state in which the node ended.
        ended: Node → what became of it.
    """

    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.ended: dict[str, Launched] = {}

    def before_node(self, node: str) -> None:
        self.events.append((node, "before"))

    def on_progress(self, node: str, seconds: float, said: Report) -> None:
        self.events.append((node, said.text))

    def after_node(self, node: str, launched: Launched) -> None:
        self.events.append((node, launched.state))
        self.ended[node] = launched

    def states(self) -> dict[str, str]:
        return {node: str(launched.state) for node, launched in self.ended.items()}


def plan_up_to(config: Path, last: str, *overrides: str) -> tuple[Plan, Config]:
    """The plan of a config up to a node, in the order of the plan, and the config."""
    file = load(config, list(overrides))
    whole = make_plan(file.config, file.path)
    count = [node.id for node in whole.nodes].index(last) + 1
    return dataclasses.replace(whole, nodes=whole.nodes[:count]), file.config


def run_up_to(config: Path, root: Path, last: str, *overrides: str) -> Log:
    """Runs the nodes up to one, with a pipeline root and a store of their own."""
    from pipeline.run import build
    from pipeline.run.tfx_nodes import TfxNodes

    plan, options = plan_up_to(config, last, f"run.pipeline_root={root}", *overrides)
    nodes = TfxNodes(build.build(plan, options), f"sqlite:///{root}/metadata.sqlite")
    nodes.register_run()
    log = Log()
    launch_all(plan.graph(), nodes.launch, [log], Interruption())
    return log
