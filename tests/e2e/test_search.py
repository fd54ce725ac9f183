"""A search that is killed in its second round, continued, and asked where its winner comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.store.reader import Reader
from tests.e2e.project import CONFIG, Project, make_project

# Conversions only: the baseline is all that is trained.
SEARCH = """\
search:
  space:
    - convert: {quantization: {choose: [int8, dynamic, float16, int16x8]}}
  trials: 4
  round: 2
  finalists: 2
  tune: {fraction: 0.25}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose search was killed in its second round."""
    made = make_project(tmp_path_factory.mktemp("search") / "project", train=800, test=200)
    begin, end = CONFIG.index("candidates:"), CONFIG.index("gate:")
    config = CONFIG[:begin] + SEARCH + CONFIG[end:]
    for old, new in (
        ("epochs: 3", "epochs: 1"),
        ("min: 0.5", "min: 0.05"),
        ("\n    slices: [{by: label, min: 0.1}]", ""),
    ):
        assert old in config
        config = config.replace(old, new)
    (made.root / "search.yaml").write_text(config, encoding="utf-8")
    search = made.start("search", "search.yaml")
    search.wait_for(r"Round 2[\s\S]*-measure +ran")
    assert search.kill()
    return made


@pytest.fixture(scope="module")
def proposed(project: Project) -> list[dict[str, Any]]:
    """The first round that a new search proposes."""
    outcome = project.paredown("search", "search.yaml", "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    return outcome.json()["trials"]


@pytest.fixture(scope="module")
def found(project: Project, proposed: list[dict[str, Any]]) -> dict[str, Any]:
    """The result of the continued search."""
    outcome = project.paredown("search", "search.yaml", "--json")
    assert outcome.code == 0, outcome.err
    return {**outcome.json(), "messages": outcome.err}


def reader(project: Project) -> Reader:
    return Reader.open(f"sqlite:///{project.root}/.paredown/small/metadata.sqlite")


def test_it_goes_on_with_the_round_that_was_killed(
    project: Project, proposed: list[dict[str, Any]], found: dict[str, Any]
) -> None:
    assert [(one["number"], one["steps"]) for one in found["trials"][:2]] == [
        (one["number"], one["steps"]) for one in proposed
    ]
    assert [one["round"] for one in found["trials"]] == [1, 1, 2, 2]
    assert len({json.dumps(one["steps"]) for one in found["trials"]}) == 4
    assert "Round 1 " not in found["messages"] and "Round 2 " in found["messages"]


def test_finished_nodes_of_the_killed_round_are_cached(project: Project, found: dict[str, Any]) -> None:
    last, continued, killed, first = reader(project).runs()
    assert [str(run.status) for run in (last, continued, killed, first)] == [
        "pushed",
        "judged",
        "interrupted",
        "judged",
    ]
    ran = {node for node, run in killed.nodes.items() if str(run.state) == "ran"}
    assert any(node.endswith("-measure") for node in ran)
    assert {str(continued.nodes[node].state) for node in ran} == {"cached"}
    assert str(continued.nodes["Trainer"].state) == "cached"


def test_only_the_last_run_reads_the_eval_split_and_pushes(project: Project, found: dict[str, Any]) -> None:
    last, continued, _, first = reader(project).runs()
    for run in (first, continued):
        files = reader(project).document(run.data_hash)
        assert files is not None
        assert [one["file"] for one in files["all"]] == ["train.tfrecord.gz"]
        assert run.pushed is None and "Pusher" not in run.nodes
    whole = reader(project).document(last.data_hash)
    assert whole is not None and sorted(whole) == ["eval", "train"]
    assert len(list((project.root / "serving").iterdir())) == 1
    judged = found["last"]["candidates"]
    assert len(judged) == 2 and found["winner"] in judged
    best = sorted(found["trials"], key=lambda one: one["objectives"])[:2]
    assert sorted(judged) == sorted(f"trial-{one['number']}" for one in best)


def test_lineage_leads_from_the_pushed_file_to_trial_study_and_space(
    project: Project, found: dict[str, Any]
) -> None:
    outcome = project.paredown("lineage", "serving")
    assert outcome.code == 0, outcome.err
    assert (
        f"search study {found['study']}, after 4 trials in 2 rounds, for gzip_size, seed 7" in outcome.out
    )
    number = found["winner"].removeprefix("trial-")
    assert f"trial {number}: convert.quantization" in outcome.out
    assert 'space {"convert": {"quantization": {"choose"' in outcome.out


def test_the_report_has_the_trials_and_the_winner_to_paste(project: Project, found: dict[str, Any]) -> None:
    page = Path(found["last"]["report"]).read_text(encoding="utf-8")
    assert f"4 trials of {found['study']} were looked at in 2 rounds" in page
    steps = found["winner_steps"]
    assert f"- convert: {{quantization: {steps[0]['convert']['quantization']}}}" in page


def test_a_finished_search_runs_nothing(project: Project, found: dict[str, Any]) -> None:
    again = project.paredown("run", "search.yaml", "--json")
    assert again.code == 0, again.err
    result = again.json()
    assert result["trials"] == found["trials"] and result["winner"] == found["winner"]
    assert {node["state"] for node in result["last"]["nodes"].values()} == {"cached"}
