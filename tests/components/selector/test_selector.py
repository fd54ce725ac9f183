"""Who wins."""

from __future__ import annotations

from typing import Any

import pytest

from components.selector.executor import select


def verdict(
    accuracy: float = 0.9,
    size: int = 100,
    gzip: int = 50,
    latency: dict[str, float] | None = None,
    blessed: bool = True,
    higher_is_better: bool = True,
    percentile: int = 50,
) -> dict[str, Any]:
    return {
        "blessed": blessed,
        "judgements": [{"figure": f"p{percentile} latency"}],
        "measured": {
            "accuracy": {"candidate": accuracy, "higher_is_better": higher_is_better},
            "size": {"candidate": {"file": size, "gzip": gzip}},
            "latency": {"candidate": latency or {"50": 1.0, "90": 2.0, "99": 3.0}},
        },
    }


def winner(
    verdicts: dict[str, Any], minimize: str | None = None, maximize: str | None = None
) -> str | None:
    blessed = {name: entry["blessed"] for name, entry in verdicts.items()}
    return select(verdicts, blessed, {"minimize": minimize, "maximize": maximize})


def test_the_smallest_that_passed() -> None:
    verdicts = {"a": verdict(size=200), "b": verdict(size=150), "c": verdict(size=10, blessed=False)}
    assert winner(verdicts, minimize="size") == "b"


def test_gzip_size_is_another_figure() -> None:
    verdicts = {"a": verdict(size=100, gzip=90), "b": verdict(size=200, gzip=20)}
    assert winner(verdicts, minimize="size") == "a"
    assert winner(verdicts, minimize="gzip_size") == "b"


@pytest.mark.parametrize(("percentile", "expected"), [(50, "a"), (99, "b")])
def test_latency_is_taken_at_the_gates_percentile(percentile: int, expected: str) -> None:
    verdicts = {
        "a": verdict(latency={"50": 1.0, "99": 9.0}, percentile=percentile),
        "b": verdict(latency={"50": 2.0, "99": 3.0}, percentile=percentile),
    }
    assert winner(verdicts, minimize="latency") == expected


def test_the_most_accurate() -> None:
    assert winner({"a": verdict(0.91), "b": verdict(0.93)}, maximize="accuracy") == "b"


def test_of_errors_the_smallest() -> None:
    verdicts = {name: verdict(e, higher_is_better=False) for name, e in (("a", 2.0), ("b", 1.5))}
    assert winner(verdicts, maximize="accuracy") == "b"


def test_ties_go_to_the_more_accurate_then_to_the_name() -> None:
    verdicts = {"c": verdict(0.90), "b": verdict(0.95), "a": verdict(0.90)}
    assert winner(verdicts, minimize="size") == "b"
    verdicts["b"] = verdict(0.90)
    assert winner(verdicts, minimize="size") == "a"


def test_nobody_wins_where_nobody_passed() -> None:
    assert winner({"a": verdict(blessed=False)}, minimize="size") is None


def test_the_blessing_counts_not_the_verdict_beside_it() -> None:
    verdicts = {"a": verdict(size=1), "b": verdict(size=2)}
    options = {"minimize": "size", "maximize": None}
    assert select(verdicts, {"a": False, "b": True}, options) == "b"


def test_who_was_not_measured_cannot_win() -> None:
    verdicts = {"a": verdict(), "b": verdict()}
    verdicts["a"]["measured"]["size"] = {}
    assert winner(verdicts, minimize="size") == "b"
