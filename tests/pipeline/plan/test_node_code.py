"""The version of a node's code follows from its parameters alone: in a run, and in the image of a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config.config_file import load
from pipeline.plan import node_code
from pipeline.plan.planner import make_plan
from tests.project import Project

CONFIGS = sorted(str(path) for path in Path("configs").glob("*/*.yaml"))


@pytest.mark.parametrize("config", CONFIGS)
def test_every_node_of_every_example_names_the_code_that_it_runs(config: str) -> None:
    file = load(Path(config))
    for view in (file.each_target() or {"": file}).values():
        plan = make_plan(view.config, file.path)
        found = {node.id: node_code.versions(node.executor, node.parameters) for node in plan.nodes}

        assert len([versions for versions in found.values() if versions]) >= 8
        assert [node for node, versions in found.items() if versions and versions[0] != versions[1]] == []


@pytest.mark.parametrize(
    "sections",
    [
        {"target": "microcontroller", "push": "{directory: serving, c_array: true}"},
        {"target": "web", "push": "{directory: serving, web: true}"},
        {"target": "server", "push": "{directory: serving, serving: {}}"},
        {
            "target": "microcontroller",
            "candidates": "{packed: [{cluster: {clusters: 16}}, {convert: {quantization: int8, pack: auto}}]}",
        },
    ],
)
def test_options_that_call_more_code_name_it(
    sections: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, monkeypatch)
    project.write_config(**sections)
    for node in project.plan().nodes:
        planned, found = node_code.versions(node.executor, node.parameters) or ("", "")
        assert planned == found, node.id
