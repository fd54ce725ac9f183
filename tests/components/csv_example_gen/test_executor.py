"""Rows of CSV files as examples: TFX's, but for cells that spell a missing value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf

from components.csv_example_gen import executor

TEXT = (
    'whole,part,name,none,spaced\n1,2,"a, b",, 2\n-3,NA,,, NA \n\nNA,2.5,"x\ny",NA,1_000\n4,nan,NAN,,-999\n'
)


def examples(root: Path, made: Any) -> list[str]:
    """What a transform makes of the files, as sorted text."""
    out = root / "examples"
    with beam.Pipeline(runner="DirectRunner") as pipeline:
        lines = (
            pipeline | made | beam.Map(lambda example: example.SerializeToString(deterministic=True).hex())
        )
        _ = lines | beam.io.WriteToText(str(out), shard_name_template="")
    return sorted(str(tf.train.Example.FromString(bytes.fromhex(line))) for line in out.read_text().split())


def read(root: Path, *missing: str) -> list[str]:
    properties = {"input_base": str(root), "missing": json.dumps(missing)}
    return examples(root, executor._read_csv(properties, "rows-*.csv"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "rows-1.csv").write_text(TEXT, encoding="utf-8", newline="")
    (tmp_path / "rows-2.csv").write_text(TEXT.replace("\n", "\r\n"), encoding="utf-8", newline="")
    return tmp_path


def test_without_spellings_the_examples_are_those_of_tfx(folder: Path) -> None:
    from tfx.components.example_gen.csv_example_gen.executor import _CsvToExample

    made = read(folder)
    assert len(made) == 8
    assert made == examples(folder, _CsvToExample({"input_base": str(folder)}, "rows-*.csv"))


def test_cells_that_spell_a_missing_value_have_none(folder: Path) -> None:
    made = read(folder, "NA", "-999")

    (folder / "rows-1.csv").write_text(
        'whole,part,name,none,spaced\n1,2,"a, b",, 2\n-3,,,,\n\n,2.5,"x\ny",,1_000\n4,nan,NAN,,\n',
        encoding="utf-8",
    )
    (folder / "rows-2.csv").write_bytes((folder / "rows-1.csv").read_bytes().replace(b"\n", b"\r\n"))
    assert made == read(folder)
    numbers = [text for text in made if "int64_list" in text and "float_list" in text]
    assert numbers  # `whole` and `part` are numbers now, and not text


def test_the_name_of_a_rows_file_is_a_feature_if_that_is_asked_for(folder: Path) -> None:
    properties = {"input_base": str(folder), "missing": "[]", "file_feature": "file_name"}
    made = examples(folder, executor._read_csv(properties, "rows-*.csv"))
    assert [sum(f'value: "rows-{number}.csv"' in text for text in made) for number in (1, 2)] == [4, 4]
    assert len(made) == 8

    (folder / "rows-1.csv").write_text("whole,file_name\n1,2\n", encoding="utf-8")
    with pytest.raises(executor.ColumnError, match="has a column 'file_name'"):
        examples(folder, executor._read_csv(properties, "rows-*.csv"))
