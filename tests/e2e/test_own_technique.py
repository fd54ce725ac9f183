"""A technique of another package, from YAML to the gate, the tables, lineage and the report.

All of it is in tests/components/dummy_technique; the one thing that it takes is a call of `registry.register`.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.e2e.project import Project, make_project

pytestmark = pytest.mark.e2e

CANDIDATES = """\
candidates:
  mirrored:
    - mirror: {include: ["conv*"], epochs: 1, batch_size: 64}
    - convert: {quantization: int8}
  mirrored-qat:
    - mirror: {include: ["conv*"], epochs: 1, batch_size: 64}
    - qat: {batch_size: 64}
    - convert: {quantization: int8}
gate:
  accuracy: {metric: SparseCategoricalAccuracy, min: 0.2}
  latency: {repetitions: 60, warmup: 5}
push: {directory: serving}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_project(tmp_path_factory.mktemp("own") / "project", train=1000, test=300)
    config = made.root / "pipeline.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text[: text.index("candidates:")] + CANDIDATES, encoding="utf-8")
    environment = {**made.environment, "COLUMNS": "160"}
    return replace(made, environment=environment, program="tests.components.dummy_technique.program")


def test_from_yaml_to_the_verdict_and_the_report(project: Project) -> None:
    unknown = replace(project, program="").cold().paredown("validate", "pipeline.yaml")
    assert unknown.code == 2 and "mirror" in unknown.err

    planned = project.cold().paredown("plan", "pipeline.yaml", "--json").json()
    nodes = {node["id"]: node for node in planned["nodes"]}
    (step,) = [node for name, node in nodes.items() if name.startswith("mirror-") and name.count("-") == 1]
    assert step["component"] == "tests.components.dummy_technique.component.Mirrorer" and step["trains"]

    explained = project.paredown("explain", "pipeline.yaml", "--json").json()
    mirror, qat, _ = explained["candidates"]["mirrored-qat"]["steps"]
    assert mirror["layers"] == dict.fromkeys(("conv1", "conv2"), "mirror-symmetric")
    assert qat["layers"]["conv1"] == "int8, keeps its symmetry"
    assert qat["layers"]["dense"] == "int8"

    # tests/components/dummy_technique/test_mirror.py trains it quantization-aware, too.
    ran = project.paredown("run", "pipeline.yaml", "--json", "--only", "mirrored")
    assert ran.code == 0, ran.err
    verdict = ran.json()["candidates"]["mirrored"]
    assert verdict["blessed"], verdict["reasons"]
    judged = {j["figure"]: j for j in verdict["judgements"]}
    for layer in ("conv1", "conv2"):
        found = judged[f"mirrored[{layer}]"]
        assert (found["bound"], found["limit"], found["value"], found["met"]) == ("min", 1.0, 1.0, True)
    assert "mirrored[dense]" not in judged
    assert verdict["measured"]["invariants"] == {"least_mirrored": 1.0}

    again = project.paredown("run", "pipeline.yaml", "--only", "mirrored")
    assert again.code == 0, again.err
    head, row = (_line(again.out, text) for text in ("candidate  ", "passed, selected"))
    assert "mirrored" in head and "sparsity" not in head  # a column for what was asked for
    assert "100.0%" in row

    lineage = project.paredown("lineage", str(project.root / "serving"))
    assert lineage.code == 0, lineage.err
    assert "least mirrored 100.0%" in lineage.out

    page = project.root / "report.html"
    report = project.paredown("report", "--output", str(page))
    assert report.code == 0, report.err
    assert "weights that equal their mirror image" in page.read_text(encoding="utf-8").lower()


def _line(text: str, part: str) -> str:
    """The first line with a text."""
    return next(line for line in text.splitlines() if part in line)
