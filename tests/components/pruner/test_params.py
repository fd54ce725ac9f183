"""Options of `prune`: what goes together, and what is said of the rest."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from components.common.base.step_options import Baseline
from components.pruner import span
from components.pruner.params import PruneOptions


def refusal(**written: Any) -> tuple[tuple[str | int, ...], str]:
    """Where the one mistake is, and what is said of it."""
    with pytest.raises(ValidationError) as raised:
        PruneOptions(**written)
    (error,) = raised.value.errors()
    return error["loc"], str(error["ctx"]["error"]) if error["type"] == "value_error" else error["msg"]


@pytest.mark.parametrize(
    ("written", "where", "message"),
    [
        ({}, (), "how much to prune is missing; write e.g. sparsity: 0.8, or m_by_n: [2, 4]"),
        ({"sparsity": None}, ("sparsity",), "is empty; write e.g. sparsity: 0.8, or m_by_n: [2, 4]"),
        ({"m_by_n": None}, ("m_by_n",), "is empty; write e.g."),
        ({"sparsity": 0.5, "m_by_n": "2:4"}, (), "sparsity (0.5) and m_by_n (2:4) both say"),
        ({"m_by_n": 124}, ("m_by_n",), '124 is not an m:n sparsity; write [2, 4] or "2:4"'),
        ({"m_by_n": "2 of 4"}, ("m_by_n",), "'2 of 4' is not an m:n sparsity"),
        ({"m_by_n": [2, 4, 1]}, ("m_by_n",), "is not an m:n sparsity"),
        ({"m_by_n": [True, 4]}, ("m_by_n",), "is not an m:n sparsity"),
        ({"m_by_n": [0, 4]}, ("m_by_n",), "is not an m:n sparsity"),
        ({"m_by_n": "4:4"}, ("m_by_n",), "4 zeros in every 4 weights would leave none of them; write fewer, "
         "e.g. [2, 4]"),
        ({"m_by_n": "2:4", "schedule": "constant"}, (), "schedule cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "initial_sparsity": 0.1}, (), "initial_sparsity cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "block": [4, 1]}, (), "block cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "begin": "1 steps"}, (), "begin cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "end": "1 steps"}, (), "end cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "frequency": "1 steps"}, (), "leave frequency out, or write sparsity in place"),
        ({"m_by_n": "2:4", "per_layer": {"d": 0.5}}, (), "per_layer cannot be combined with m_by_n"),
        ({"m_by_n": "2:4", "allocation": "lamp"}, (), "allocation cannot be combined with m_by_n"),
        ({"sparsity": 0.5, "block": [4, 1], "allocation": "lamp"}, (),
         "block cannot be combined with allocation: lamp"),
        ({"sparsity": 0.5, "reconstruct": True, "end": "1 epochs"}, (),
         "end cannot be combined with reconstruct; leave"),
        ({"sparsity": 0.5, "block": 4}, ("block",), "4 is not a block; write [rows, columns], e.g. [4, 1]"),
        ({"sparsity": 0.5, "block": [4, 0]}, ("block",), "is not a block"),
        ({"sparsity": 0.5, "block": [1, 1]}, ("block",), "a single weight; write a larger one, or leave"),
        ({"sparsity": 0.5, "block_pooling": "max"}, (), "block_pooling needs block"),
        ({"sparsity": 0.5, "per_layer": {"d": 0}}, ("per_layer", "d"), "remove the pattern and list the "
         "layers under exclude"),
        ({"sparsity": 0.5, "per_layer": {"d": 1.0}}, ("per_layer", "d"), "less than 1"),
        ({"sparsity": 0.5, "initial_sparsity": 0.5}, (), "initial_sparsity (0.5) must be below sparsity (0.5)"),
        ({"sparsity": 0.5, "initial_sparsity": 0.3, "per_layer": {"d": 0.2}}, (), "where 'd' has 0.2"),
        ({"sparsity": 0.5, "initial_sparsity": 0.3, "schedule": "constant"}, (), "write schedule: polynomial"),
        ({"sparsity": 0.5, "begin": 200}, ("begin",), "200 has no unit; write 200 steps (of the optimizer), or "
         "200 epochs"),
        ({"sparsity": 0.5, "end": 1.5}, ("end",), "1.5 has no unit"),
        ({"sparsity": 0.5, "frequency": "often"}, ("frequency",), "'often' is not a length of training"),
        ({"sparsity": 0.5, "begin": "-1 steps"}, ("begin",), "is not a length of training"),
        ({"sparsity": 0.5, "begin": "1.5 steps"}, ("begin",), "is not a whole number of steps; write e.g. 2 steps"),
        ({"sparsity": 0.5, "frequency": "0 epochs"}, (), "frequency: 0 epochs is not a length of time"),
        ({"sparsity": 0.5, "end": "0 steps"}, (), "end: 0 steps is before the first step"),
        ({"sparsity": 0.5, "epochs": 2, "end": "2.5 epochs"}, (), "end: 2.5 epochs is after the end of training, which "
         "takes 2 epochs"),
        ({"sparsity": 0.5, "steps": 90, "end": "91 steps"}, (), "which takes 90 steps"),
        ({"sparsity": 0.5, "begin": "1 epoch", "end": "1 epochs"}, (), "begin: 1 epochs must be before end: 1 ep"),
        ({"sparsity": 0.5, "epochs": 2, "begin": "1.5 epochs"}, (), "before end: 1.5 epochs, by default three "
         "quarters of training"),
        ({"sparsity": 0.5, "epochs": 2, "begin": "2 epochs", "schedule": "constant"}, (), "leaves "
         "no training"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_fix(written: dict, where: tuple, message: str) -> None:
    location, said = refusal(**written)
    assert location == where
    assert message in said


@pytest.mark.parametrize(
    "written",
    [
        {"m_by_n": [2, 4]},
        {"m_by_n": "2:4", "begin": None, "block": None},
        {"m_by_n": "1:2", "exclude": ["d"], "epochs": 3},
        {"sparsity": 0.5, "block": [4, 1], "block_pooling": "max", "per_layer": {"d": 0.9}},
        {"sparsity": 0.5, "begin": "1.9 epochs", "schedule": "constant"},
        {"sparsity": 0.5, "end": "2 epochs"},
        # Nor how many epochs there are by default.
        {"sparsity": 0.5, "begin": "2 epochs", "end": "3 epochs"},
        # How many steps an epoch has is known only with the data.
        {"sparsity": 0.5, "begin": "900 steps", "end": "1 epochs"},
        {"sparsity": 0.5, "steps": 90, "begin": "8 epochs", "end": "9 epochs"},
    ],
)
def test_what_may_make_sense_is_taken(written: dict) -> None:
    PruneOptions(**written)


def test_the_ways_to_write_m_by_n_and_spans_give_one_cache_key() -> None:
    assert PruneOptions(m_by_n="2:4") == PruneOptions(m_by_n=[2, 4])
    keys = {PruneOptions(sparsity=0.5, begin=text).canonical_json() for text in ("1.0 epoch", " 1epochs")}
    assert len(keys) == 1
    assert json.loads(keys.pop())["begin"] == "1 epochs"


@pytest.mark.parametrize(
    ("written", "imported", "allocation", "reconstruct"),
    [
        ({"sparsity": 0.5}, True, "lamp", True),
        ({"sparsity": 0.5}, False, None, None),
        ({"sparsity": 0.5, "teacher": "labels"}, True, None, None),
        ({"sparsity": 0.5, "teacher": "self", "allocation": "uniform"}, False, "uniform", True),
        ({"sparsity": 0.5, "end": "9 steps"}, True, "lamp", False),
        ({"sparsity": 0.5, "initial_sparsity": 0.1}, True, "uniform", False),
        ({"m_by_n": "2:4"}, True, None, None),
        ({"sparsity": 0.5, "block": [4, 1]}, True, None, None),
    ],
)
def test_how_weights_are_chosen_follows_from_what_teaches(
    written: dict, imported: bool, allocation: str | None, reconstruct: bool | None
) -> None:
    options = PruneOptions(**written).like(Baseline(imported=imported))
    assert (options.allocation, options.reconstruct) == (allocation, reconstruct)
    assert PruneOptions.from_canonical(options.canonical_json()) == options


def test_the_order_of_patterns_reaches_the_executor() -> None:
    first = PruneOptions(sparsity=0.5, per_layer={"dense": 0.9, "*": 0.6})
    second = PruneOptions(sparsity=0.5, per_layer={"*": 0.6, "dense": 0.9})

    assert json.loads(first.canonical_json())["per_layer"] == [["dense", 0.9], ["*", 0.6]]
    assert json.loads(second.canonical_json())["per_layer"] == [["*", 0.6], ["dense", 0.9]]
    assert first.slug() != second.slug()
    assert (first.target("dense"), second.target("dense")) == (0.9, 0.6)


def test_the_schema_for_editors_takes_what_is_taken() -> None:
    fields = PruneOptions.model_json_schema()["properties"]

    assert fields["per_layer"]["additionalProperties"] == {
        "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1
    }  # fmt: skip
    assert {kind.get("type") for kind in fields["m_by_n"]["anyOf"]} == {"array", "string", "null"}
    assert fields["begin"]["anyOf"][0]["examples"] == ["200 steps", "1.5 epochs"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({"sparsity": 0.8}, {"sparsity": 0.5}, "sparsity 0.5 is below the 0.8 of an earlier `prune`; write a hig"),
        ({"sparsity": 0.5, "per_layer": {"d": 0.9}}, {"sparsity": 0.8}, "sparsity 0.8 of 'd' is below the 0.9"),
        (
            {"sparsity": 0.5, "per_layer": {"d*": 0.9}}, {"sparsity": 0.8, "per_layer": {"d*": 0.85}},
            "sparsity 0.85 of 'd*' is below the 0.9",
        ),
        ({"sparsity": 0.5}, {"sparsity": 0.8, "per_layer": {"d": 0.4}}, "sparsity 0.4 of 'd' is below the 0.5"),
        ({"m_by_n": "2:4"}, {"sparsity": 0.4}, "sparsity 0.4 is below the 0.5"),
        ({"m_by_n": "2:4"}, {"m_by_n": "1:4"}, "m_by_n 1:4 makes no weight zero after the 2:4"),
        ({"sparsity": 0.5, "per_layer": {"d": 0.9}}, {"sparsity": 0.8, "per_layer": {"d": 0.9}}, None),
        ({"sparsity": 0.5, "per_layer": {"*": 0.9}}, {"sparsity": 0.4, "per_layer": {"*": 0.95}}, None),
        ({"sparsity": 0.8}, {"m_by_n": "2:4"}, None),
        ({"m_by_n": "2:4"}, {"m_by_n": "3:4"}, None),
        ({"m_by_n": "2:4"}, {"sparsity": 0.8}, None),
        ({"sparsity": 0.8}, {"sparsity": 0.5, "include": ["d"]}, None),
    ],
)  # fmt: skip
def test_a_later_pruning_of_the_same_layers_is_to_prune_more(
    before: dict, after: dict, message: str | None
) -> None:
    first, second = PruneOptions(**before), PruneOptions(**after)
    if message is None:
        second.check_after(first)
        return
    with pytest.raises(ValueError, match="earlier `prune`") as raised:
        second.check_after(first)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("text", "steps"),
    [("200 steps", 200), ("1 step", 1), ("1.5 epochs", 70), ("2 epochs", 94), ("0.29 epochs", 14), (".5 epoch", 24)],
)  # fmt: skip
def test_spans_in_steps(text: str, steps: int) -> None:
    assert span.to_steps(span.normalized(text), 47) == steps
