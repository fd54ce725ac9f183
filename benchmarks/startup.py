"""CPU time of the commands that must answer at once.

    .venv/bin/python benchmarks/startup.py [FOLDER]

FOLDER is where configs/mnist/pipeline.yaml has been run (default: the working directory). Commands take turns, so
that all of them meet the same load of the machine; the fastest of seven turns counts, in seconds of CPU time.
`python alone` and `import pydantic` show what no command can do without.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONFIG = "configs/mnist/pipeline.yaml"
# What each command may take; 0.4 × what it took when all modules were imported by name, or 0.35 s.
LIMITS = {"--help": 0.35, "validate": 0.35, "plan": 0.383, "runs": 0.35, "lineage": 0.35}
ARGUMENTS = {
    "--help": [],
    "validate": [CONFIG],
    "plan": [CONFIG],
    "runs": [],
    "lineage": ["serving/mnist"],
}
START = f"import sys; sys.path[0] = {str(ROOT)!r}; from pipeline.cli import main; main()"
COMMANDS = {
    "python alone": ["-c", "pass"],
    "import pydantic": ["-c", "import pydantic.main"],
    **{name: ["-c", START, name, *arguments] for name, arguments in ARGUMENTS.items()},
}
TURNS = 7


def cpu_seconds(arguments: list[str], folder: str) -> float:
    """CPU time of a process, including its children.

    Raises:
        CalledProcessError: If it fails.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Prints the CPU seconds of each command beside its limit; returns 1 if one is over it."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "."
    fastest = dict.fromkeys(COMMANDS, float("inf"))
    for _ in range(TURNS):
        for name, arguments in COMMANDS.items():
            fastest[name] = min(fastest[name], cpu_seconds(arguments, folder))
    for name, seconds in fastest.items():
        limit = f"limit {LIMITS[name]:.2f} s" if name in LIMITS else ""
        print(f"{name:16} {seconds:5.2f} s  {limit}")
    return int(any(fastest[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
