"""Code that is edited during a run: its results are not cached as those of the code before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.common.base.file_hashes import ChangedFile
from pipeline.plan import code_version
from pipeline.plan.node_code import model_version
from pipeline.plan.plan import Plan
from pipeline.run.planned_code import PlannedCode
from tests.project import Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without examples, which no plan reads."""
    return Project(tmp_path, monkeypatch)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the code of all components, which plans go by."""
    root = tmp_path / "code"
    shutil.copytree(
        code_version.ROOT / "components", root / "components", ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(code_version, "ROOT", root)
    code_version.forget()
    return root


def planned(project: Project) -> tuple[Plan, PlannedCode]:
    plan = project.plan()
    return plan, PlannedCode(plan, lambda: model_version(project.load().config, project.config))


def node_of(plan: Plan, component: str) -> str:
    return next(node.id for node in plan.nodes if node.component.endswith(component))


def model_of(project: Project) -> Path:
    return project.root / f"{project.module}.py"


def append(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)


def test_an_edit_stops_what_it_concerns(project: Project, root: Path) -> None:
    plan, code = planned(project)
    converter, trainer = node_of(plan, "TFLiteConverter"), node_of(plan, "Trainer")
    code.refuse_change(converter)

    append(root / "components/tflite_converter/executor.py", "# a comment\n")
    code.refuse_change(converter)

    append(root / "components/tflite_converter/executor.py", "EDITED = True\n")
    with pytest.raises(ChangedFile, match=rf"the code that {converter} runs, or the model module, changed"):
        code.refuse_change(converter)
    code.refuse_change(trainer)


def test_an_edit_between_plan_and_run_is_noticed(project: Project, root: Path) -> None:
    plan, _ = planned(project)
    append(root / "components/tflite_converter/executor.py", "EDITED = True\n")

    code = PlannedCode(plan, lambda: plan.module_version)

    with pytest.raises(ChangedFile, match="changed during the run"):
        code.refuse_change(node_of(plan, "TFLiteConverter"))


@pytest.mark.parametrize("edit", ["EDITED = True\n", "def broken(:\n"])
def test_an_edit_of_the_model_stops_every_node(project: Project, edit: str) -> None:
    plan, code = planned(project)
    for node in plan.nodes:
        code.refuse_change(node.id)

    append(model_of(project), edit)

    for node in plan.nodes:
        with pytest.raises(ChangedFile, match="changed during the run"):
            code.refuse_change(node.id)


def test_a_model_that_was_removed_stops_the_run(project: Project) -> None:
    plan, code = planned(project)
    model_of(project).unlink()

    with pytest.raises(ChangedFile, match="Run again"):
        code.refuse_change(plan.nodes[0].id)
