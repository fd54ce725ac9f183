"""Which span and version of the data is read, as ExampleGen's own driver chooses them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.config.data_options import Data, Range, Splits
from pipeline.plan import data_files, spans


def data(root: Path, files: list[str], **options: Any) -> Data:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,label\n1,2\n", encoding="utf-8")
    wanted = options.pop("range", None)
    return Data(
        format="csv",
        path=str(root),
        splits=Splits(**options),
        label="label",
        range=Range(**wanted) if wanted else None,
    )


SPANS = [
    f"span-{span}/v{version}/{split}.csv" for span in (1, 2, 10) for version in (1, 2) for split in "te"
]
BOTH = {"train": "span-{SPAN}/v{VERSION}/t*", "eval": "span-{SPAN}/v{VERSION}/e*"}


@pytest.mark.tf
@pytest.mark.parametrize(
    ("files", "options", "wanted"),
    [
        pytest.param(SPANS, BOTH, (10, 2), id="latest, by number and not by text"),
        pytest.param(SPANS, {**BOTH, "range": {"latest": 1}}, (10, 2), id="latest, written out"),
        pytest.param(SPANS, {**BOTH, "range": {"first": 2, "last": 2}}, (2, 2), id="one of them"),
        pytest.param(
            ["span-1/v2/t", "span-2/v1/t"],
            {"pattern": "span-{SPAN}/v{VERSION}/*", "eval_fraction": 0.2},
            (2, 1),
            id="version of the span that is read",
        ),
        pytest.param(
            ["07/t", "11/t"], {"pattern": "{SPAN:2}/*", "eval_fraction": 0.2}, (11, None), id="digits"
        ),
        pytest.param(
            ["07/t", "11/t"],
            {"pattern": "{SPAN:2}/*", "eval_fraction": 0.2, "range": {"first": 7, "last": 7}},
            (7, None),
            id="digits, with a zero before",
        ),
        pytest.param(
            ["20260131/t", "20260201/t", "20251231/t"],
            {"pattern": "{YYYY}{MM}{DD}/*", "eval_fraction": 0.2},
            (20485, None),  # days since 1970
            id="date",
        ),
        pytest.param(
            ["2026-01-31/v3/t", "2026-02-01/v9/t"],
            {
                "pattern": "{YYYY}-{MM}-{DD}/v{VERSION}/*",
                "eval_fraction": 0.2,
                "range": {"first": 20484, "last": 20484},
            },
            (20484, 3),
            id="one date, with a version",
        ),
    ],
)
def test_what_is_read_is_what_the_driver_of_tfx_finds(
    tmp_path: Path, files: list[str], options: dict[str, Any], wanted: tuple[int, int | None]
) -> None:
    from tfx import components
    from tfx.components.example_gen import driver
    from tfx.utils import proto_utils

    from pipeline.plan import data_nodes
    from pipeline.run import example_gen

    section = data(tmp_path, files, **options)
    span = data_files.chosen_span(section)
    assert span is not None and (span.number, span.version) == wanted
    node = data_nodes.data_nodes(section, None, True)[0]
    built = example_gen.build(node, section, components.CsvExampleGen, on_cluster=False)
    given = {
        name: value if isinstance(value, (str, int)) else proto_utils.proto_to_json(value)
        for name, value in built.spec.exec_properties.items()
        if value is not None
    }
    recorded = driver.FileBasedDriver(None).resolve_exec_properties(given, None, None)  # type: ignore[arg-type]
    assert {name: recorded[name] for name in node.parameters} == node.parameters
    assert recorded["version"] == wanted[1]
    assert {path.relative_to(tmp_path).parts[0] for path in data_files.trained_files(section)} == {
        next(part for part in Path(pattern).parts) for pattern in data_files.patterns(section).values()
    }

    # On a cluster nothing runs the driver: the task is given what it would have made of the patterns.
    there = example_gen.build(node, section, components.CsvExampleGen, on_cluster=True)
    assert there.spec.exec_properties["input_config"] == recorded["input_config"]


def test_patterns_without_placeholders_have_no_span(tmp_path: Path) -> None:
    section = data(tmp_path, ["train.csv", "eval.csv"])
    assert data_files.chosen_span(section) is None
    assert data_files.patterns(section) == {"train": "train*", "eval": "eval*"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"range": {"latest": 1}}, "the patterns of data.splits have none; write {SPAN}"),
        ({**BOTH, "range": {"latest": 3}}, "ExampleGen reads one at a time"),
        ({**BOTH, "range": {"first": 1, "last": 2}}, "ExampleGen reads one at a time"),
        (
            {**BOTH, "range": {"first": 3, "last": 3}},
            "span 3, which data.range asks for, .*exist: 1, 2, 10",
        ),
        ({**BOTH, "eval": "span-{SPAN}/v2/e*"}, "have different placeholders"),
        ({"train": "{SPAN}{SPAN}", "eval": "{SPAN}"}, "has {SPAN} twice"),
        ({"train": "{YYYY}-{MM}/t", "eval": "{YYYY}-{MM}/e"}, "has {YYYY} but not {DD}"),
        ({"train": "v{VERSION}/t", "eval": "v{VERSION}/e"}, "without a span; write {SPAN}, too"),
        ({"train": "{SPAN:x}/t", "eval": "{SPAN:x}/e"}, "the width in {SPAN:x} is not a number of digits"),
        ({"train": "span-{SPAN}*/v1/t*", "eval": "span-{SPAN}*/v1/e*"}, "it is unclear where the number"),
        ({"train": "other-{SPAN}/t", "eval": "other-{SPAN}/e"}, "matches no file in .*exist: none"),
        ({"train": "/{SPAN}/t", "eval": "/{SPAN}/e"}, "is not a pattern below data.path"),
        ({"train": "{SPAN}-{YYYY}{MM}{DD}", "eval": "x"}, "has both a date and {SPAN}"),
    ],
)
def test_what_cannot_be_chosen_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    section = data(tmp_path, SPANS, **options)
    with pytest.raises(spans.SpanError, match=message):
        data_files.patterns(section)


def test_splits_at_different_spans_are_refused(tmp_path: Path) -> None:
    section = data(tmp_path, [*SPANS, "span-11/v1/t.csv"], **BOTH)
    with pytest.raises(spans.SpanError, match=r"the train split, at span 11, version 1; add the files"):
        data_files.patterns(section)


def test_number_that_tfx_would_look_for_in_another_way_is_refused(tmp_path: Path) -> None:
    section = data(tmp_path, ["span-07/t"], pattern="span-{SPAN}/*", eval_fraction=0.2)
    with pytest.raises(spans.SpanError, match=r"look for 7 in place of 07; write \{SPAN:2\}"):
        data_files.patterns(section)


def test_date_that_is_none_is_refused(tmp_path: Path) -> None:
    section = data(tmp_path, ["20261340/t"], pattern="{YYYY}{MM}{DD}/*", eval_fraction=0.2)
    with pytest.raises(spans.SpanError, match="20261340/t, whose numbers are not a date"):
        data_files.patterns(section)
