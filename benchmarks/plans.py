"""CPU time of planning very many candidates.

    .venv/bin/python -m benchmarks.plans [--candidates 200]

Reading and checking the config counts, and so does hashing the code that the nodes run; importing does not. Returns 1
if it takes more than half a second.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from pipeline.checks.checked_config import load_checked
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan

ROOT = Path(__file__).parents[1]
LIMIT = 0.5
HEAD = """\
name: many
data: {{path: {data}, splits: {{train: "train*", eval: "test*"}}, label: label}}
model: {{module: configs.mnist.model, hparams: {{filters: [16, 32], units: 512, learning_rate: 0.001}}}}
gate: {{accuracy: {{metric: SparseCategoricalAccuracy, max_drop: 0.01}}}}
push: {{directory: serving}}
candidates:
"""
CANDIDATE = """\
  c{number}:
    - prune: {{sparsity: {sparsity}}}
    - qat: {{epochs: {epochs}}}
    - convert: {{quantization: int8}}
"""


def config(count: int) -> str:
    """A config with `count` candidates; every ten share their pruning."""
    chains = [
        CANDIDATE.format(number=number, sparsity=0.01 + (number // 10) / 100, epochs=1 + number % 10)
        for number in range(count)
    ]
    return HEAD.format(data=ROOT / "data/mnist") + "".join(chains)


def planned(path: Path) -> tuple[float, Plan]:
    """CPU seconds of making a plan, and the plan."""
    begin = time.process_time()
    file = load_checked(path, (), ())
    plan = make_plan(file.config, file.path)
    return time.process_time() - begin, plan


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", type=int, default=200)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        path.write_text(config(arguments.candidates), encoding="utf-8")
        seconds, plan = planned(path)
    print(
        f"{arguments.candidates} candidates, {len(plan.nodes)} nodes: {seconds:.2f} s of CPU (limit {LIMIT} s)"
    )
    return 1 if seconds > LIMIT else 0


if __name__ == "__main__":
    sys.exit(main())
