"""`paredown run` of configs/mnist and an equivalent script, in turns.

    .venv/bin/python -m benchmarks.demo [--turns 3] [--output FOLDER] [--set run.parallel=1]

Both train the same models for the same epochs and measure the same six candidates. Each turn starts both in new
processes and empty folders. Writes demo.md with medians, ratios and spread, the seconds of each node, and what each
candidate came to; prints it, too.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.process_tree import Cost, measure
from benchmarks.table import markdown, spread
from components.measurer.machine import this_machine

ROOT = Path(__file__).parents[1]
CONFIG = "configs/mnist/pipeline.yaml"
FIGURES = ("accuracy", "size", "gzip_size", "latency_ratio")


def run_script(folder: Path) -> tuple[Cost, dict[str, Any]]:
    """One run of the script; its costs, and what it printed."""
    result = folder / "script.json"
    command = [sys.executable, "-m", "benchmarks.tfmot_script", "--json", str(result)]
    cost = measure(command, ROOT, environment(), folder / "script.out", folder / "script.log")
    return cost, json.loads(result.read_text(encoding="utf-8"))


def run_pipeline(folder: Path, overrides: list[str]) -> tuple[Cost, dict[str, Any]]:
    """One run of the pipeline; its costs, and what `--json` gives."""
    settings = [
        f"run.pipeline_root={folder / 'root'}",
        f"push.directory={folder / 'serving'}",
        *overrides,
    ]
    command = [sys.executable, "-m", "pipeline.cli", "run", CONFIG, "--json"]
    for setting in settings:
        command += ["--set", setting]
    result, log = folder / "pipeline.json", folder / "pipeline.log"
    cost = measure(command, ROOT, environment(), result, log)
    return cost, json.loads(result.read_text(encoding="utf-8"))


def environment() -> dict[str, str]:
    """Python keeps what it compiles: both programs are started several times."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--turns", type=int, default=3, help="runs of each; default: 3")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks/results", help="folder of demo.md"
    )
    parser.add_argument(
        "--set", action="append", default=[], dest="overrides", help="override of the config"
    )
    arguments = parser.parse_args()
    costs: dict[str, list[Cost]] = {"script": [], "paredown": []}
    nodes: dict[str, list[float]] = defaultdict(list)
    script: dict[str, Any] = {}
    pipeline: dict[str, Any] = {}
    for turn in range(arguments.turns):
        with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
            # The other one begins in every second turn, so that neither always meets a warm machine.
            for which in ("script", "paredown") if turn % 2 == 0 else ("paredown", "script"):
                if which == "script":
                    cost, script = run_script(Path(name))
                else:
                    cost, pipeline = run_pipeline(Path(name), arguments.overrides)
                    for node, found in pipeline["nodes"].items():
                        nodes[node].append(found["seconds"])
                costs[which].append(cost)
                print(
                    f"{which}: {cost.wall:.1f} s, {cost.cpu:.1f} s CPU, {cost.peak / 1e9:.2f} GB",
                    file=sys.stderr,
                )
    text = report(costs, nodes, script, pipeline, arguments.overrides)
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "demo.md").write_text(text, encoding="utf-8")
    print(text)


def report(
    costs: dict[str, list[Cost]],
    nodes: dict[str, list[float]],
    script: dict[str, Any],
    pipeline: dict[str, Any],
    overrides: list[str],
) -> str:
    """The figures as Markdown."""
    sides = costs["script"], costs["paredown"]
    rows = []
    for name, unit, digits, of in (
        ("wall clock", "s", 1, lambda cost: cost.wall),
        ("CPU time", "s", 1, lambda cost: cost.cpu),
        ("cores in use", "", 2, lambda cost: cost.cpu / cost.wall),
        ("peak memory", "GB", 2, lambda cost: cost.peak / 1e9),
    ):
        one, other = ([of(cost) for cost in side] for side in sides)
        ratios = [b / a for a, b in zip(one, other, strict=True)]
        rows.append(
            [
                f"{name}, {unit}" if unit else name,
                spread(one, digits),
                spread(other, digits),
                spread(ratios, 2),
            ]
        )
    turns = len(costs["script"])
    head = (
        f"Machine: {this_machine()}. {turns} turn{'s' if turns > 1 else ''}; median (least to greatest). "
    )
    head += f"Overrides: {', '.join(overrides) or 'none'}.\n\n"
    text = head + markdown(["", "script", "paredown run", "ratio"], rows)
    found = []
    for name, verdict in pipeline["candidates"].items():
        ours = figures(verdict)
        theirs = script["candidates"][name]
        found.append([name, *(f"{theirs[key]:.4g} / {ours[key]:.4g}" for key in FIGURES)])
    text += "\nScript / Paredown, last turn:\n\n" + markdown(
        ["candidate", "accuracy", "bytes", "gzip bytes", "latency ratio"], found
    )
    by_node = [[node, spread(seconds)] for node, seconds in nodes.items()]
    return text + "\n" + markdown(["node", "seconds"], by_node)


def figures(verdict: dict[str, Any]) -> dict[str, float]:
    """The figures of a candidate in the JSON of a run."""
    measured = verdict["measured"]
    return {
        "accuracy": measured["accuracy"]["candidate"],
        "size": measured["size"]["candidate"]["file"],
        "gzip_size": measured["size"]["candidate"]["gzip"],
        "latency_ratio": measured["latency"]["ratio"],
    }


if __name__ == "__main__":
    main()
