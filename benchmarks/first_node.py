"""Time before the first node of a run, and of `explain`, compared with the imports that both need.

    .venv/bin/python -m benchmarks.first_node [TURNS]

Commands take turns, so that all of them meet the same load of the machine. Printed are the medians of CPU and
wall-clock seconds and their ratios to `import tensorflow, tfx.components`. `paredown run configs/mnist/pipeline.yaml`
may take 1.1 × the CPU time of these imports until its first node is launched.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMIT = 1.1
CONFIG = "configs/mnist/pipeline.yaml"
IMPORTS, RUN, EXPLAIN = "import tensorflow, tfx.components", "run, to its first node", "explain"
_REACHED = 99
# Its checks are made and its pipeline is built; then the process ends.
_RUN = f"""
import os, sys
from pipeline.cli import main
from pipeline.run import local_runner
def end(*arguments, **named):
    os._exit({_REACHED})
local_runner.launch_all = end
sys.argv = ["paredown", "run", *sys.argv[1:]]
main()
"""


def seconds(arguments: list[str], code: int = 0) -> tuple[float, float]:
    """CPU and wall-clock time of a Python process.

    Raises:
        RuntimeError: If it ends with another code.
    """
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    if done.returncode != code:
        raise RuntimeError(done.stderr.decode("utf-8", "replace")[-2000:])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main() -> int:
    """Prints the table; returns 1 if a run takes more than its limit."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    measured: dict[str, list[tuple[float, float]]] = {IMPORTS: [], RUN: [], EXPLAIN: []}
    for _ in range(turns):
        with tempfile.TemporaryDirectory() as folder:
            fresh = ["--set", f"run.pipeline_root={folder}/root", "--set", f"push.directory={folder}/push"]
            measured[IMPORTS].append(seconds(["-c", IMPORTS]))
            measured[RUN].append(seconds(["-c", _RUN, CONFIG, *fresh], _REACHED))
            measured[EXPLAIN].append(seconds(["-m", "pipeline.cli", "explain", CONFIG]))
    medians = {
        name: [statistics.median(column) for column in zip(*found, strict=True)]
        for name, found in measured.items()
    }
    for name, (cpu, wall) in medians.items():
        ratios = [one / base for one, base in zip((cpu, wall), medians[IMPORTS], strict=True)]
        print(f"{name:36} CPU {cpu:5.2f} s ({ratios[0]:.2f} ×)   wall {wall:5.2f} s ({ratios[1]:.2f} ×)")
    return int(medians[RUN][0] > LIMIT * medians[IMPORTS][0])


if __name__ == "__main__":
    sys.exit(main())
