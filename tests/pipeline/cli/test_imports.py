"""Commands that need neither TensorFlow nor TFX do not import them, however they get their work done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.cli.group import COMMANDS
from tests import many_runs

ROOT = Path(__file__).parents[3]
MNIST = str(ROOT / "configs/mnist/pipeline.yaml")
HEAVY = {"tensorflow", "tf_keras", "keras", "tfx", "tensorflow_model_analysis", "apache_beam", "kfp"}
# What no listing and no table needs either: clients of servers, and arrays.
SLOW = {"httpx", "requests", "openlineage"}
STORE = {"ml_metadata", "grpc"}

PROGRAM = """
import json, sys
from pipeline.cli import main
arguments, unwanted = json.loads(sys.argv[1])
try:
    main(arguments)
finally:
    print(sorted({name.partition('.')[0] for name in sys.modules} & set(unwanted)), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a project of each template, MNIST's data, and a store of two runs."""
    root = tmp_path_factory.mktemp("imports")
    many_runs.make(root, 2, ".paredown/nightly/metadata.sqlite")
    for template in ("image", "tabular", "import"):
        made = CliRunner().invoke(main, ["init", str(root / template), "--template", template])
        assert made.exit_code == 0, made.output
    (root / "configs").symlink_to(ROOT / "configs")
    (root / "data").symlink_to(ROOT / "data")
    return root


CASES = [
    (["--help"], STORE | SLOW | {"pydantic", "rich"}),
    (["init", "new"], STORE | SLOW),
    (["validate", MNIST], STORE | SLOW | {"numpy"}),
    (["plan", MNIST], SLOW | {"numpy"}),
    (["plan", MNIST, "--json"], SLOW | {"numpy"}),
    (["runs"], SLOW),
    *((["lineage", "latest", "--format", form], SLOW) for form in ("tree", "json", "mermaid")),
    (["lineage", "latest", "--format", "openlineage"], {"httpx", "requests"}),
    (["lineage", "1", "--down"], SLOW),
    (["diff", "2026-01-01T00", "latest"], SLOW),
    (["report", "-o", "page.html"], SLOW),
    (["report", "--compare", "2026-01-01T00", "-o", "pages.html"], SLOW),
    (["gc"], SLOW),
    (["schema"], STORE | SLOW),
]


def imported(arguments: list[str], unwanted: set[str], folder: Path) -> tuple[int, str]:
    """Exit code of a command, and which packages it imported that it should not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([arguments, sorted(unwanted | HEAVY)])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "unwanted"),
    CASES,
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value)[-40:],
)
def test_a_command_imports_nothing_heavy(arguments: list[str], unwanted: set[str], folder: Path) -> None:
    assert imported(arguments, unwanted, folder) == (0, "[]")


@pytest.mark.parametrize("template", ["image", "tabular", "import"])
@pytest.mark.parametrize("command", ["validate", "plan"])
def test_checking_a_project_of_a_template_imports_nothing_heavy(
    command: str, template: str, folder: Path
) -> None:
    assert imported([command, "pipeline.yaml"], SLOW, folder / template) == (0, "[]")


def test_no_help_needs_a_heavy_import(folder: Path) -> None:
    # One process for all: each imports its command.
    code = f"[main([name, '--help'], standalone_mode=False) for name in {list(COMMANDS)}]; sys.argv[1:] = ['--help']"
    program = PROGRAM.replace("    main(arguments)", f"    {code}")
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps([[], sorted(HEAVY | STORE)])],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "[]")
    assert done.stdout.count("Usage: ") == len(COMMANDS)


def test_a_heavy_import_is_noticed(folder: Path) -> None:
    assert imported(["plan", MNIST], {"rich"}, folder) == (0, "['rich']")
