"""A node that fails takes the candidates with it that need it, and no others."""

from __future__ import annotations

import errno

import pytest

from components.common.base.file_hashes import ChangedFile
from pipeline.config.config_file import load
from pipeline.config.metadata_url import StoreError
from pipeline.plan.plan import Plan
from pipeline.plan.planner import make_plan
from pipeline.run.failures import Failures
from pipeline.run.launcher import NodeFailed
from pipeline.store.failures import by_candidate
from pipeline.store.records import NodeFailure
from tests.project import ROOT

CONFIG = ROOT / "configs/mnist/pipeline.yaml"


@pytest.fixture(scope="module")
def plan() -> Plan:
    file = load(CONFIG)
    return make_plan(file.config, file.path)


def failure(node: str, cause: BaseException | None = None) -> NodeFailed:
    error = NodeFailed(node, "no")
    error.__cause__ = cause or ValueError("no")
    return error


def record(error: NodeFailed, candidates: tuple[str, ...]) -> NodeFailure:
    return NodeFailure(error.node, candidates, error.reason(), f"/logs/{error.node}.txt")


def shared_by_two(plan: Plan) -> str:
    return next(
        node.id
        for node in plan.nodes
        if len(node.candidates) == 2 and node.trains and node.id != plan.baseline
    )


def test_a_shared_step_fails_all_candidates_that_need_it(plan: Plan) -> None:
    failures = Failures(plan, record)
    node = shared_by_two(plan)
    users = set(plan.node(node).candidates)
    skipped = failures.without(failure(node))
    assert skipped is not None
    assert skipped == {n.id for n in plan.nodes if n.candidates and set(n.candidates) <= users}
    assert {plan.evaluations[name] for name in users} <= skipped
    assert not skipped & {plan.baseline, "Selector", "Pusher", "Trainer"}
    assert [(one.node, set(one.candidates), one.reason) for one in failures.found] == [
        (node, users, "ValueError: no")
    ]
    found = by_candidate(failures.found)
    assert set(found) == users
    assert {(one.node, one.reason) for one in found.values()} == {
        (node, f"node {node} failed: ValueError: no")
    }


def test_a_second_failure_names_only_candidates_that_were_left(plan: Plan) -> None:
    failures = Failures(plan, record)
    first, *others = plan.evaluations
    assert failures.without(failure(plan.evaluations[first])) is not None
    for name in others[:-1]:
        assert failures.without(failure(plan.evaluations[name])) is not None
    assert [one.candidates for one in failures.found] == [(name,) for name in (first, *others[:-1])]
    assert failures.without(failure(plan.evaluations[others[-1]])) is None  # no candidate is left


@pytest.mark.parametrize("node", ["ImportExampleGen", "Trainer", "convert-float32", "Selector", "Pusher"])
def test_the_run_ends_at_what_all_need(plan: Plan, node: str) -> None:
    failures = Failures(plan, record)
    assert failures.without(failure(node)) is None and failures.found == []


@pytest.mark.parametrize(
    "cause",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        ChangedFile("data/train.gz was changed"),
        StoreError("no store"),
    ],
)
def test_the_run_ends_at_what_is_not_the_candidates_fault(plan: Plan, cause: BaseException) -> None:
    outer = RuntimeError("writing failed")
    outer.__cause__ = cause
    assert Failures(plan, record).without(failure(shared_by_two(plan), outer)) is None


def test_a_file_that_is_missing_is_the_candidates_own_fault(plan: Plan) -> None:
    cause = FileNotFoundError(errno.ENOENT, "No such file", "student.h5")
    assert Failures(plan, record).without(failure(shared_by_two(plan), cause)) is not None
