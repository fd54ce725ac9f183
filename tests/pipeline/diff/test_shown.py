"""How `paredown diff` shows what it found."""

from __future__ import annotations

import json

from pipeline.diff import difference as run_diff
from tests.pipeline.diff.two_runs import Project, made_of, rendered, verdict


def test_json_holds_every_section(project: Project) -> None:
    compared = project.diff(project.run("run-1"), project.run("run-2", made_of(seed=7)))
    shown = json.loads(json.dumps(run_diff.to_json(compared), allow_nan=False))
    assert list(shown["sections"]) == list(run_diff.SECTIONS)
    assert shown["sections"]["seeds"] == {
        "state": "different",
        "changes": [{"group": "", "key": "run.seed", "kind": "changed", "before": 42, "after": 7}],
        "unknown": [],
    }
    assert (shown["first"]["id"], shown["second"]["id"], shown["equal"]) == ("run-1", "run-2", False)
    assert shown["first"]["config_path"] == "/project/pipeline.yaml"


def test_a_narrow_terminal_loses_nothing(project: Project) -> None:
    reason = "accuracy by label×size was not measured: there is no such slice [bold]"
    compared = project.diff(
        project.run("run-1"), project.run("run-2", verdicts={"int8": verdict(reasons=[reason])})
    )
    narrow = rendered(compared, 60)
    assert max(map(len, narrow.splitlines())) <= 60
    assert set(reason.split()) <= set(narrow.split())
