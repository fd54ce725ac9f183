"""`paredown image-check`: what of a compiled pipeline the environment lacks."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.kubeflow.image_check import Fault, SpecError, find_faults, read_tasks
from pipeline.plan.code_version import component_version

ENTRYPOINT = ["python", "-m", "pipeline.kubeflow_entrypoint"]
THERE = "components.common.base.interruption.Interrupted"
VERSION = component_version("components.common.base.interruption")


def task(executor: str, **parameters: Any) -> dict[str, Any]:
    return {"executor": executor, "parameters": {"code_version": VERSION, **parameters}}


def spec_of(tasks: dict[str, Any], legacy: bool = False, arguments: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `paredown compile` writes, as far as it matters here; `legacy` for schema 2.0."""
    spec: dict[str, Any] = {"root": {"dag": {"tasks": {}}}, "components": {}}
    spec |= {"pipelineInfo": {"name": "mnist"}, "schemaVersion": "2.0.0" if legacy else "2.1.0"}
    spec["deploymentSpec"] = {"executors": {}}
    for name, given in tasks.items():
        constants: dict[str, Any] = {
            key: {"constantValue": {"intValue" if isinstance(value, int) else "stringValue": str(value)}}
            if legacy
            else {"constant": value}
            for key, value in given["parameters"].items()
        }
        inputs = {key: {"runtimeValue": value} for key, value in constants.items()}
        inputs["seed"] = {"componentInputParameter": "seed"}
        spec["root"]["dag"]["tasks"][name] = {
            "componentRef": {"name": name},
            "inputs": {"parameters": inputs},
        }
        spec["components"][name] = {"executorLabel": f"{name}-executor"}
        args = [
            *arguments,
            "--executor_class_path",
            given["executor"],
            "--json_serialized_invocation_args",
            "{{$}}",
        ]
        spec["deploymentSpec"]["executors"][f"{name}-executor"] = {
            "container": {"command": ENTRYPOINT, "args": args}
        }
    return {"pipelineSpec": spec} if legacy else spec


def write(path: Path, *documents: Any) -> Path:
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


@pytest.mark.parametrize("legacy", [False, True])
def test_a_specification_is_read_in_both_schemas(tmp_path: Path, legacy: bool) -> None:
    spec = spec_of({"b": task("x.B", count=3), "a": task("x.A")}, legacy, ("--module_root", "src"))
    path = tmp_path / "spec"
    path.write_text(json.dumps(spec), encoding="utf-8")
    first, second = read_tasks(path)
    assert (first.task, first.executor, first.command) == ("a", "x.A", "pipeline.kubeflow_entrypoint")
    assert second.parameters == {"code_version": VERSION, "count": 3}
    assert first.module_root == "src"


def test_a_second_document_is_the_platforms(tmp_path: Path) -> None:
    path = write(tmp_path / "spec.yaml", spec_of({"a": task(THERE)}), {"platforms": {"kubernetes": {}}})
    assert [found.task for found in read_tasks(path)] == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is neither YAML nor JSON"),
        ("", "is not a compiled pipeline; give the file that `paredown compile` wrote"),
        ("name: mnist", "is not a complete pipeline specification (pipelineInfo.name: Field required)"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        read_tasks(path)
    assert str(raised.value).startswith(f"{path} ")
    assert message in str(raised.value)
    result = CliRunner().invoke(main, ["image-check", str(path)])
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_is_there_is_not_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "spec.yaml", spec_of({"a": task(THERE), "b": task(THERE)}))
    assert find_faults(read_tasks(path)) == []
    result = CliRunner().invoke(main, ["image-check", str(path)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path} can run here: 2 tasks, 1 executor classes\n"


def test_each_class_that_is_missing_is_one_line(tmp_path: Path) -> None:
    tasks = {
        "a": task("components.common.base.interruption.Missing"),
        "b": task("components.no_such.executor.Executor"),
        "c": task("components.no_such.executor.Executor"),
        "d": task(THERE),
    }
    path = write(tmp_path / "spec.yaml", spec_of(tasks))
    result = CliRunner().invoke(main, ["image-check", str(path)])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "components.common.base.interruption.Missing: cannot be imported: components.common.base.interruption has no "
        "class Missing (task a)",
        "components.no_such.executor.Executor: cannot be imported: ModuleNotFoundError: No module named "
        "'components.no_such' (task b and 1 more)",
    ]
    found = json.loads(CliRunner().invoke(main, ["image-check", str(path), "--json"]).stdout)
    assert found["tasks"] == 4
    assert [fault["tasks"] for fault in found["faults"]] == [["a"], ["b", "c"]]


def test_other_code_than_it_was_compiled_with_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "spec.yaml", spec_of({"a": task(THERE, code_version="0123456789ab")}))
    (fault,) = find_faults(read_tasks(path))
    assert fault.what == THERE
    assert f"the image has version {VERSION} of components.common.base.interruption" in fault.why
    assert "the pipeline was compiled with 0123456789ab" in fault.why


@pytest.mark.parametrize("place", ["model_module", "custom_config"])
def test_a_missing_model_module_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    module = f"module_of_an_image_{place}"
    value = (
        module if place == "model_module" else json.dumps({"model_module": module, "code_version": VERSION})
    )
    path = write(
        tmp_path / "spec.yaml",
        spec_of({"a": task(THERE, **{place: value})}, arguments=("--module_root", "src")),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    wanted = f"cannot be imported: ModuleNotFoundError: No module named '{module}'"
    assert find_faults(read_tasks(path)) == [Fault(module, wanted, ("a",))]
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / f"{module}.py").write_text("raise OSError('libcuda.so.1:\\n cannot open')")
    importlib.invalidate_caches()
    (fault,) = find_faults(read_tasks(path))
    assert fault.why == "cannot be imported: OSError: libcuda.so.1: cannot open"
    (tmp_path / "src" / f"{module}.py").write_text("hparams = {}")
    assert find_faults(read_tasks(path)) == []
