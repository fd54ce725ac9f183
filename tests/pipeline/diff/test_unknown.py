"""What is not known of a run is not taken for equal."""

from __future__ import annotations

from pipeline.diff import difference as run_diff
from pipeline.lineage import run_facts
from tests.pipeline.diff.two_runs import Project, changes_in, made_of, rendered, states
from tests.pipeline.run_history import document, provenance


def test_a_run_without_a_record_is_not_taken_for_equal(project: Project) -> None:
    old = project.run("run-1", status=None)
    new = project.run("run-2")
    compared = project.diff(old, new)
    assert compared.section("config").unknown == ("the config of run-1 was not recorded",)
    assert compared.section("environment").unknown == ("the environment of run-1 was not recorded",)
    assert compared.section("code").unknown == (
        "Git commit and Paredown version of run-1 were not recorded",
    )
    data = compared.section("data")
    assert (data.state, data.unknown) == ("unknown", ("the data of run-1 was not recorded",))
    assert states(compared)["seeds"] == "unknown" and states(compared)["metrics"] == "equal"
    assert not compared.equal and not project.diff(old, old).equal
    assert rendered(compared).count("no difference known") == 5


def test_the_seed_of_an_older_run_is_that_of_its_nodes(project: Project) -> None:
    old = project.run("run-1", status=None, nodes=("prune", "qat"))
    same, other = project.run("run-2"), project.run("run-3", made_of(seed=7))
    assert states(project.diff(old, same))["seeds"] == "equal"
    assert changes_in(project.diff(old, other), "seeds") == {("", "run.seed", "changed", 42, 7)}


def test_a_document_that_is_not_in_the_store_is_unknown_unless_its_hash_is_equal(project: Project) -> None:
    first, second = project.run("run-1"), project.run("run-2")
    lost = provenance(config=document("config", {"name": "lost"}))
    runs = [project.history.reader.run(name) for name in (first, second)]
    assert runs[0] is not None and runs[1] is not None
    facts = [run_facts.read(project.history.reader, run) for run in runs]
    for each in facts:
        object.__setattr__(each, "config", None)
    assert run_diff.compare(*facts).section("config").state == "equal"
    object.__setattr__(facts[1].run, "config_hash", lost.config.digest)
    assert run_diff.compare(*facts).section("config").unknown == tuple(
        f"the config of {each.run.id}, {each.run.config_hash[:12]}, is not in the store" for each in facts
    )
