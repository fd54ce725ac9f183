"""Figures of a candidate as runs are compared by them."""

from __future__ import annotations

from pipeline.lineage.run_facts import _of_properties, _of_verdict
from tests.verdicts import served_load, verdict


def test_figures_of_a_server_are_the_same_from_the_report_and_from_the_store() -> None:
    judged = verdict(load=served_load())
    figures, kept = _of_verdict(judged), _of_properties(judged.properties())
    names = [name for name in figures if "(" in name or name.startswith("answers")]
    assert len(names) == 10
    assert {name: kept[name] for name in names} == {name: figures[name] for name in names}
    assert figures["throughput ratio (gRPC, batched)"] == 0.9
    assert figures["p99 ratio (REST, unbatched)"] == 1.2
    assert figures["answers by gRPC that differ"] == 0
