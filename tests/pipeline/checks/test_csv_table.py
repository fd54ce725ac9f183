"""CSV files, looked at before a run as TFX will read them."""

from __future__ import annotations

import bz2
import lzma
from pathlib import Path
from typing import Any

import pytest

from pipeline.checks import csv_table
from pipeline.checks.odd_cells import OddCells
from pipeline.checks.table import EMPTY, FLOAT, INTEGER, TEXT, Table

HEADER = "id,fare,paid,tip\n"


def read(root: Path, *texts: str | bytes, whole: bool = True) -> Table:
    paths = []
    for index, text in enumerate(texts):
        path = root / f"part-{index}.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        paths.append(path)
    return csv_table.read(paths, root, whole)


def test_rows_kinds_and_gaps(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        HEADER + '1,2,"cash, or ""so""",\n2,,card,\n\n3,2.5,"two\nlines",\r\n',
        HEADER + "-9223372036854775808, 7,9,\n",
    )
    assert table.faults == []
    assert table.rows == 4
    kinds = {name: column.kind for name, column in table.columns.items()}
    assert kinds == {"id": INTEGER, "fare": FLOAT, "paid": TEXT, "tip": EMPTY}
    assert [column.missing for column in table.columns.values()] == [0, 1, 0, 4]
    assert table.columns["fare"].where_missing == "part-0.csv:3"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEADER + "1,2,a,3\n1,2,3\n", "part-0.csv:3: has 3 fields, and the header has 4; write as many"),
        (HEADER + "1,2,3,4,5\n", "part-0.csv:2: has 5 fields, and the header has 4"),
        (HEADER + "1,2,a,3\n" * 7000 + "1\n", "part-0.csv:7002: has 1 fields, and the header has 4"),
        (HEADER + '1,2,"a,3\n4,5,6,7\n', "part-0.csv:2: a quote is opened and never closed"),
        (HEADER + '1,2,"a,3\n4,5,6,7\n1,2,"a,3\n', "part-0.csv:2: cannot be read as CSV (',' expected"),
        (
            HEADER + '1,2,"a,3\n4,5,6,7\n1,2,b",3,4\n',
            "part-0.csv:2: has 5 fields, and the header has 4; a quote spans",
        ),
        (HEADER + '1,"a"b,"c,d\n', "part-0.csv:2: a quote is opened and never closed"),
        (HEADER + 'x"y,"z,1,2\n', "part-0.csv:2: cannot be read as CSV (unexpected end of data)"),
        (HEADER.encode() + b"1,2,M\xfcnchen,3\n", "part-0.csv:2: is not UTF-8 at byte 6"),
        (
            HEADER + "1,2,a,3\n9223372036854775808,2,a,3\n",
            "part-0.csv:3: id is 9223372036854775808, which does not fit",
        ),
        (
            HEADER + "1,2.5,a,-9223372036854775809\n",
            "part-0.csv:2: tip is -9223372036854775809, which does not fit",
        ),
        (HEADER + "1,2,a\rb,3\n", "part-0.csv:2: cannot be read as CSV"),
        ("id,id,x\n1,2,3\n", "part-0.csv:1: two columns are called 'id'"),
        ("id,,x\n1,2,3\n", "part-0.csv:1: column 2 has no name"),
        ("1,2,3\n1,2,3\n", "part-0.csv:1: the file begins with numbers"),
        ('"id",x\n1,2\n', 'part-0.csv:1: the column "id" is written in quotes'),
        ("\ufeffid,x\n1,2\n", "part-0.csv:1: begins with a byte order mark"),
        ("id,x\r1,2\r3,4\r", "part-0.csv:1: ends its lines with CR"),
        ("id,x\n1,2\n".encode("utf-16-le"), "part-0.csv:1: has bytes of 0, as UTF-16 does"),
        ("id,x\n\n", "its files have no rows; write some"),
        (b"\x1f\x8b\x08\x00", "part-0.csv:1: is compressed"),
        (bz2.compress(b"a,b\n1,2\n"), "part-0.csv:1: is compressed"),
        (lzma.compress(b"a,b\n1,2\n"), "part-0.csv:1: is compressed"),
        (b"caf\xe9,x\n", "part-0.csv:1: is not UTF-8 at byte 4"),
    ],
)
def test_fault_is_named_with_file_and_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    faults = read(tmp_path, text).faults
    assert len(faults) == 1 and faults[0].startswith(fault), faults


def test_long_numbers_among_names_are_names(tmp_path: Path) -> None:
    assert read(tmp_path, "id\n99999999999999999999\nA1\n").faults == []


def test_files_of_a_split_have_one_header(tmp_path: Path) -> None:
    first, other = "a,b\n1,2\n", "b,a\n1,2\n"
    (fault,) = read(tmp_path, first, other).faults
    assert fault == (
        "part-1.csv:1: has the columns of part-0.csv in another order; files of a split need the same header"
    )
    (fault,) = read(tmp_path, first, "a,c\n1,2\n").faults
    assert fault.startswith("part-1.csv:1: has no column 'b' and has a column 'c', unlike part-0.csv")


def test_one_file_of_several_may_have_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER, HEADER + "1,2,a,3\n").faults == []


def test_only_a_few_faults_of_a_file_are_reported(tmp_path: Path) -> None:
    assert len(read(tmp_path, HEADER + "1\n" * 9).faults) == 3


def test_only_names_are_read_if_rows_are_not_asked_for(tmp_path: Path) -> None:
    table = read(tmp_path, HEADER + "broken\n", whole=False)
    assert (table.faults, table.rows, list(table.columns)) == ([], 0, ["id", "fare", "paid", "tip"])


def examples_of_tfx(root: Path, pattern: str) -> list[Any]:
    """Examples that CsvExampleGen makes of files."""
    import apache_beam as beam
    from tfx.components.example_gen.csv_example_gen import executor

    found: list[Any] = []
    out = root / "examples"
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        made = pipeline | executor._CsvToExample({"input_base": str(root)}, pattern)
        lines = made | beam.Map(lambda example: example.SerializeToString().hex())
        _ = lines | beam.io.WriteToText(str(out), shard_name_template="")
    import tensorflow as tf

    for line in out.read_text().split():
        found.append(tf.train.Example.FromString(bytes.fromhex(line)))
    return found


@pytest.mark.tf
def test_kinds_and_gaps_are_those_of_the_examples_that_tfx_makes(tmp_path: Path) -> None:
    text = (
        "whole,part,long,name,none,spaced\n"
        '1,2,9223372036854775807,"a, b",,1\n'
        "-3,,7,,, 2\n"
        "\n"
        '0,nan,1,"x\ny",,1_000\n'
    )
    table = read(tmp_path, text)
    assert table.faults == []
    examples = examples_of_tfx(tmp_path, "part-*.csv")
    assert len(examples) == table.rows == 3
    kinds = {"int64_list": INTEGER, "float_list": FLOAT, "bytes_list": TEXT, None: EMPTY}
    for name, column in table.columns.items():
        features = [example.features.feature[name] for example in examples]
        assert {kinds[feature.WhichOneof("kind")] for feature in features} == {column.kind}, name
        values = [getattr(f, f.WhichOneof("kind")).value if f.WhichOneof("kind") else [] for f in features]
        assert sum(len(value) == 0 for value in values) == column.missing, name


def test_text_among_numbers_is_counted_and_placed(tmp_path: Path) -> None:
    rows = '1,2,a,0\nNA,"1,5",b,0\n3,4,5,\n'
    table = read(tmp_path, HEADER + rows, HEADER + "4,12%,c,0\n")
    found = {
        name: (column.kind, column.numbers, column.texts, column.where_text, column.first_text)
        for name, column in table.columns.items()
    }
    assert found == {
        "id": (TEXT, 3, 1, "part-0.csv:3", "NA"),
        "fare": (TEXT, 2, 2, "part-0.csv:3", "1,5"),
        "paid": (TEXT, 1, 3, "part-0.csv:2", "a"),
        "tip": (INTEGER, 3, 0, "", ""),
    }


def test_spellings_of_a_missing_value_are_gaps(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "1,NA,a,-\n NA ,2,NA,\n,2.5,b,0\n", encoding="utf-8")
    table = csv_table.read([path], tmp_path, True, ["NA", "-"])
    found = {
        name: (column.kind, column.missing, column.where_missing) for name, column in table.columns.items()
    }
    assert found == {
        "id": (INTEGER, 2, "rows.csv:3"),
        "fare": (FLOAT, 1, "rows.csv:2"),
        "paid": (TEXT, 1, "rows.csv:3"),
        "tip": (INTEGER, 2, "rows.csv:2"),
    }


@pytest.mark.parametrize(
    ("cell", "fix"),
    [
        ("NA", "if it means a missing value, write data.missing: [NA]"),
        ("n/a", 'if it means a missing value, write data.missing: ["n/a"]'),
        ("null", 'if it means a missing value, write data.missing: ["null"]'),
        ("1,5", "write 1.5"),
        ("-3,25", "write -3.25"),
        ("1.200,5", "write 1200.5"),
        ("$1,200.50", "write 1200.50"),
        ("1,234", "write 1234, or 1.234 if the comma is the decimal mark"),
        ("12%", "write 12 or 0.12, the same way in all rows"),
        ("5 €", "write 5"),
        ("1.2.3", "write a number, or, if it means a missing value, list it in data.missing"),
        ("12345-6789", "write a number, or, if it means a missing value, list it in data.missing"),
    ],
)
def test_what_to_write_instead_of_text(cell: str, fix: str) -> None:
    assert OddCells(9, 1, "a.csv:2", cell).fix() == fix
