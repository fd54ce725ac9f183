"""Which way the project's modules may know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "components").rglob("*.py"))
TENSORFLOW_FREE_FILES = {
    "params.py",
    "registry.py",
    "technique.py",
    "step_options.py",
    "interruption.py",
    "json_file.py",
    "file_hashes.py",
    "model_format.py",
    "version_folder.py",
    "document.py",
    "judgement.py",
    "judging.py",
    "file_facts.py",
    "measured.py",
    "report.py",
    "verdict.py",
    "verdict_upgrade.py",
    "progress.py",
    "layer_names.py",
    "metric_direction.py",
    "invariants.py",
    "file_types.py",
    "encoding.py",
    "kernel.py",
    "layer_path.py",
    "litert.py",
    "model_inputs.py",
    "operator.py",
    "tflite_file.py",
    "image_file.py",
    "vocabulary.py",
}
# What the evaluator writes for others to read.
TENSORFLOW_FREE = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in FILES
    if path.name in TENSORFLOW_FREE_FILES
)


def imported_by(path: Path) -> set[str]:
    """Dotted names of what a file imports, anywhere in it; of `from a import b`, `a` and `a.b`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            names.add(str(node.module))
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_the_components_are_found() -> None:
    folders = {path.parent.name for path in FILES}
    assert {"pruner", "clusterer", "evaluator", "common", "selector", "trainer", "pusher"} <= folders
    assert {path.name for path in FILES} >= TENSORFLOW_FREE_FILES
    assert imported_by(ROOT / "components/pruner/component.py") >= {"components.pruner.executor"}


def test_what_the_command_line_needs_imports_no_tensorflow() -> None:
    heavy = "{'tensorflow', 'tf_keras', 'tfx', 'apache_beam', 'tensorflow_model_optimization'}"
    code = f"import sys, {', '.join(TENSORFLOW_FREE)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert len(TENSORFLOW_FREE) >= 20
    assert done.stdout.strip() == "[]"
