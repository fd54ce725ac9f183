"""Plans of the example's config."""

from __future__ import annotations

from pathlib import Path

from pipeline.config.config_file import load
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan

MNIST = Path("configs/mnist/pipeline.yaml")
PREDICT = "convert-float32-predict"
MEASURE, JUDGE = "convert-int8-01556e-measure", "convert-int8-01556e-evaluate"


def plan_of(*overrides: str) -> Plan:
    file = load(MNIST, list(overrides))
    return make_plan(file.config, file.path)


def ids(plan: Plan) -> set[str]:
    return {node.id for node in plan.nodes}
