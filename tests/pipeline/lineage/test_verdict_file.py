"""Which JSON values are taken for a verdict, and what stands in for one that is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.lineage import facts as lineage_facts
from pipeline.lineage.verdict_file import is_report, is_verdict
from tests.pipeline.lineage_example import FAILED, example

WHOLE: dict[str, Any] = {"blessed": False, "reasons": ["no"], "judgements": [FAILED], "measured": {}}


def test_a_whole_verdict_is_one_and_so_is_a_report_of_it() -> None:
    assert is_verdict(WHOLE)
    assert is_report({"winner": None, "candidates": {"int8": WHOLE}})


@pytest.mark.parametrize(
    "change",
    [{"measured": []}, {"reasons": "no"}, {"judgements": ["met"]}, {"judgements": [{"met": True}]}],
    ids=str,
)
def test_what_lacks_a_part_is_none(change: dict[str, Any], tmp_path: Path) -> None:
    damaged = {**WHOLE, **change}
    assert not is_verdict(damaged)
    assert not is_report({"winner": None, "candidates": {"int8": damaged}})
    evaluation = example(tmp_path).artifact("distilled-int8-evaluate", "evaluation")
    Path(evaluation.uri, "verdict.json").write_text(json.dumps(damaged), encoding="utf-8")
    told = lineage_facts.verdict(evaluation)
    assert (told["blessed"], told["judgements"], told["measured"]) == (False, [], {})
