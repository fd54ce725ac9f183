"""How long `validate` and `plan` take, beside Python alone and beside importing TensorFlow.

    .venv/bin/python tests/benchmarks/startup.py

Commands take turns, so that all of them meet the same load of the machine; medians are compared.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

CONFIG = "configs/mnist/pipeline.yaml"
COMMANDS = {
    "python alone": ["-c", "pass"],
    "paredown validate": ["-m", "pipeline.cli", "validate", CONFIG],
    "paredown plan": ["-m", "pipeline.cli", "plan", CONFIG],
    "import tensorflow": ["-c", "import tensorflow"],
}
TURNS = 5


def main() -> None:
    """Prints the median seconds of each command, and its ratio to importing TensorFlow."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(TURNS):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(
            f"{name:18} {median:6.2f} s  {median / medians['import tensorflow']:5.2f} × import tensorflow"
        )


if __name__ == "__main__":
    main()
