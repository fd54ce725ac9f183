"""All benchmarks, one at a time: `make bench`.

    .venv/bin/python -m benchmarks [--quick] [--output FOLDER]

--quick runs the script and the pipeline once each and leaves out a million examples: about 12 minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def commands(quick: bool, output: Path) -> list[list[str]]:
    """Module and arguments of each benchmark; the quickest come first."""
    sizes = ["10000", "100000"] if quick else ["10000", "100000", "1000000"]
    written = ["--output", str(output)]
    return [
        ["plans"],
        ["first_node", "3" if quick else "5"],
        ["measurer"],
        ["demo", "--turns", "1" if quick else "3", *written],
        ["growth", "--sizes", *sizes, *written],
    ]


def main() -> int:
    """Returns 1 if one of them fails; the others still run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="one turn, without the million examples")
    parser.add_argument(
        "--output", type=Path, default=ROOT / "benchmarks/results", help="folder of the results"
    )
    arguments = parser.parse_args()
    failed = []
    for name, *others in commands(arguments.quick, arguments.output):
        print(f"== {name}", file=sys.stderr)
        command = [sys.executable, "-m", f"benchmarks.{name}", *others]
        if subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
