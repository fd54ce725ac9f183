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
SEARCH = str(ROOT / "configs/mnist/search.yaml")
HEAVY = {"tensorflow", "tf_keras", "keras", "tfx", "tensorflow_model_analysis", "apache_beam", "kfp"}
# What no listing and no table needs either: clients of servers, and arrays.
SLOW = {"httpx", "requests", "openlineage"}
STORE = {"ml_metadata", "grpc"}

# One process for all commands: what an earlier one imports counts against the later ones, too.
PROGRAM = """
import json, os, sys
from pipeline.cli import main
found = []
for folder, arguments, unwanted in json.load(sys.stdin):
    os.chdir(folder)
    try:
        main(arguments)
    except SystemExit as error:
        code = error.code
    found.append((code, sorted({name.partition('.')[0] for name in sys.modules} & set(unwanted))))
print(json.dumps(found), file=sys.stderr)
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


EVERYTHING = HEAVY | STORE | SLOW | {"numpy", "pydantic", "rich"}


def cases(folder: Path) -> list[tuple[Path, list[str], set[str]]]:
    """Working directory, command, and packages that it must not import; those that allow more come later."""
    templates = [folder / template for template in ("image", "tabular", "import")]
    return [
        (folder, ["--help"], EVERYTHING),
        (folder, ["init", "new"], HEAVY | STORE | SLOW | {"numpy"}),
        (folder, ["validate", MNIST], HEAVY | STORE | SLOW | {"numpy"}),
        (folder, ["schema"], HEAVY | STORE | SLOW | {"numpy"}),
        (folder, ["plan", MNIST], HEAVY | SLOW | {"numpy"}),
        (folder, ["plan", MNIST, "--json"], HEAVY | SLOW | {"numpy"}),
        *(
            (project, [command, "pipeline.yaml"], HEAVY | SLOW)
            for command in ("validate", "plan")
            for project in templates
        ),
        (folder, ["plan", SEARCH], HEAVY | SLOW | {"optuna"}),
        (folder, ["search", SEARCH, "--dry-run"], HEAVY | SLOW),
        (folder, ["runs"], HEAVY | SLOW),
        *(
            (folder, ["lineage", "latest", "--format", form], HEAVY | SLOW)
            for form in ("tree", "json", "mermaid")
        ),
        (folder, ["lineage", "1", "--down"], HEAVY | SLOW),
        (folder, ["diff", "2026-01-01T00", "latest"], HEAVY | SLOW),
        (folder, ["report", "-o", "page.html"], HEAVY | SLOW),
        (folder, ["report", "--compare", "2026-01-01T00", "-o", "pages.html"], HEAVY | SLOW),
        (folder, ["gc"], HEAVY | SLOW),
        (folder, ["lineage", "latest", "--format", "openlineage"], HEAVY | {"httpx", "requests"}),
    ]


def imported(
    commands: list[tuple[Path, list[str], set[str]]],
) -> dict[tuple[str, str], tuple[int, list[str]]]:
    """Exit code of each command, and which packages had been imported that should not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps(
            [(str(folder), arguments, sorted(unwanted)) for folder, arguments, unwanted in commands]
        ),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    found = json.loads(done.stderr.splitlines()[-1])
    return {
        (folder.name, " ".join(arguments)): (code, names)
        for (folder, arguments, _), (code, names) in zip(commands, found, strict=True)
    }


def test_no_command_that_needs_nothing_heavy_imports_it(folder: Path) -> None:
    found = imported(cases(folder))
    assert len(found) > 20
    found |= imported([(folder, [name, "--help"], HEAVY | STORE) for name in COMMANDS])
    assert {command: outcome for command, outcome in found.items() if outcome != (0, [])} == {}


def test_a_heavy_import_is_noticed(folder: Path) -> None:
    assert list(imported([(folder, ["plan", MNIST], {"rich"})]).values()) == [(0, ["rich"])]
