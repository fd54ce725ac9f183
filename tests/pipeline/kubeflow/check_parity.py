"""Runs a config here and, compiled for Kubeflow Pipelines, task by task; says whether both give the same result.

    .venv/bin/python -m tests.pipeline.kubeflow.check_parity [configs/mnist/pipeline.yaml] [--only CANDIDATE]

From the project's folder. `paredown run` comes first, and takes from the cache what is done; then every
task of the compiled pipeline runs in a process of its own with nothing cached: for configs/mnist about ten
minutes on two cores. Verdicts, figures (latency aside), winner and the bytes of the pushed file are
compared. Exits with 1 if they differ.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from tests.pipeline.kubeflow.launcher import Launcher, TaskServer, environment_of

FIGURES = ("accuracy", "size", "invariants", "file")


def main() -> None:
    """Prints a line for each task and candidate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", default="configs/mnist/pipeline.yaml")
    parser.add_argument("--only", action="append", default=[], help="only this candidate; may be repeated")
    arguments = parser.parse_args()
    only = [part for name in arguments.only for part in ("--only", name)]
    print(f"paredown run {arguments.config}", flush=True)
    local = json.loads(paredown("run", arguments.config, "--json", *only, codes=(0, 4)))
    with tempfile.TemporaryDirectory() as folder:
        launcher = run_tasks(arguments.config, only, Path(folder))
        different = compare(local, launcher)
    sys.exit(1 if different else 0)


def paredown(*arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """Runs the program; returns what it prints."""
    command = [sys.executable, "-m", "pipeline.cli", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in codes:
        sys.exit(f"paredown {' '.join(arguments)} exited with {done.returncode}")
    return done.stdout


def run_tasks(config: str, only: list[str], folder: Path) -> Launcher:
    """Compiles a config and runs each task."""
    written = yaml.safe_load(Path(config).read_text(encoding="utf-8"))["data"]["path"]
    data = (Path(config).parent / written).resolve()
    text = paredown(
        "compile", config, *only, "--image", "here:1", "--pipeline-root", "minio://bucket/root", "-o", "-",
        "--set", f"kubeflow.data_path={data}",
        "--set", f"kubeflow.volumes=[{{claim: pushed, mount: {folder}/pushed}}]",
        "--set", f"kubeflow.push_directory={folder}/pushed/models",
    )  # fmt: skip
    directory = Path.cwd()
    environment = environment_of(directory)
    with closing(TaskServer(directory, environment)) as server:
        launcher = Launcher.of(
            text, folder=folder / "run", directory=directory, environment=environment, server=server
        )
        order = launcher.order()
        for number, name in enumerate(order, 1):
            start = time.monotonic()
            launcher.results[name] = launcher.run_task(name)
            print(f"  {number:2}/{len(order)}  {name:50} {time.monotonic() - start:6.1f} s", flush=True)
    return launcher


def compare(local: dict[str, Any], launcher: Launcher) -> bool:
    """Prints what is the same and what is not; returns whether anything is not."""
    report = json.loads(
        (launcher.artifact("selector", "report") / "report.json").read_text(encoding="utf-8")
    )
    different = False
    for name, verdict in report["candidates"].items():
        expected = local["candidates"][name]
        found = [
            figure
            for figure in FIGURES
            if verdict["measured"].get(figure) != expected["measured"].get(figure)
        ]
        if verdict["blessed"] != expected["blessed"]:
            found.append("verdict")
        different |= bool(found)
        print(f"  {name:30} {'differs in ' + ', '.join(found) if found else 'the same'}")
    if report["winner"] != local["winner"]:
        different = True
    print(f"  winner here {local['winner']}, of the tasks {report['winner']}")
    if local["pushed"]:
        here = (Path(local["pushed"]) / "tflite").read_bytes()
        there = launcher.artifact("pusher", "pushed_model") / "tflite"
        same = there.is_file() and there.read_bytes() == here
        different |= not same
        print(f"  pushed file {'the same' if same else 'differs'}, {len(here):,} bytes")
    return different


if __name__ == "__main__":
    main()
