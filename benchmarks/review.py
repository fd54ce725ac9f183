"""How long `runs`, `lineage` and `diff` take on stores with 1,000 and 10,000 runs.

    .venv/bin/python benchmarks/review.py [--runs 1000 --runs 10000] [--keep FOLDER]

Makes the stores first (many_runs.py: a minute for each 4,000 runs), or takes those that --keep has from
before. Commands take turns, each in a process of its own as people start it, so that all of them meet the
same load of the machine; medians are shown beside the limits, and beside Python alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.many_runs import Maker

LIMITS = {1000: 1.0, 10000: 3.0}  # runs in the store → seconds that a command may take
TURNS = 5


def main() -> None:
    """Prints a table; exits with 1 if a limit is not met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, action="append", help="size of a store; may be repeated")
    parser.add_argument("--keep", type=Path, help="folder to keep the stores in")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        met = [measure(make(folder, count), count) for count in arguments.runs or LIMITS]
    sys.exit(0 if all(met) else 1)


def make(folder: Path, count: int) -> Path:
    """A store with this many runs, and the newest pushed model as a real file."""
    path = folder / f"{count}.sqlite"
    root = folder / f"{count}"
    if not path.exists():
        beside = path.with_suffix(".part")
        beside.unlink(missing_ok=True)
        start = time.perf_counter()
        maker = Maker(beside, root)
        for number in range(count):
            maker.run(number)
            if sys.stderr.isatty() and number % 100 == 0:
                print(f"\rmaking {count:,} runs: {number / count:.0%}", end="", file=sys.stderr)
        beside.rename(path)
        print(
            f"made {count:,} runs in {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e6:.0f} MB"
        )
    pushed = root / "serving" / str(count - 1)
    pushed.mkdir(parents=True, exist_ok=True)
    # Its SHA-256 is what Maker records for the last run's pushed model.
    (pushed / "tflite").write_text(f"{count - 1}-prune-convert-int8", encoding="utf-8")
    return path


def measure(path: Path, count: int) -> bool:
    """Prints each command's median; returns whether all met the limit."""
    pushed = path.with_suffix("") / "serving" / str(count - 1)
    commands = {
        "runs": ["runs"],
        "runs --status failed": ["runs", "--status", "failed"],
        "lineage latest": ["lineage", "latest"],
        "lineage of a pushed folder": ["lineage", str(pushed)],
        "lineage of a file's content": ["lineage", str(pushed / "tflite")],
        "lineage --down": ["lineage", "1", "--down"],
        "lineage --format openlineage": ["lineage", "latest", "--format", "openlineage"],
        "diff": ["diff", "2026-01-01T05", "latest"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ("python alone", *commands)}
    for _ in range(TURNS):
        for name in seconds:
            program = ["-m", "pipeline.cli", *commands[name]] if name in commands else ["-c", "pass"]
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *program, *(["--metadata", str(path)] if name in commands else [])],
                capture_output=True,
                text=True,
            )
            seconds[name].append(time.perf_counter() - start)
            if done.returncode:
                sys.exit(f"{name} failed:\n{done.stdout}{done.stderr}")
    alone = statistics.median(seconds["python alone"])
    limit = LIMITS.get(count)
    print(f"{count:,} runs" + (f", at most {limit:.1f} s" if limit else ""))
    met = True
    for name, times in seconds.items():
        median = statistics.median(times)
        fine = limit is None or median <= limit
        met = met and fine
        print(f"  {name:30} {median:6.2f} s {median / alone:6.1f} × python{'' if fine else '   TOO SLOW'}")
    return met


if __name__ == "__main__":
    main()
