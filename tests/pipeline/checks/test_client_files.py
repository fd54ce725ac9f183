"""Files that are clients have a name that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.checks import client_files
from pipeline.config.config_file import load


@pytest.mark.parametrize(
    ("files", "more", "said"),
    [
        (["client-a.csv", "client-b.csv"], "", []),
        (
            ["client-a.csv", "notes.csv"],
            "",
            ["'client-*' does not match notes.csv, so that their examples are of no"],
        ),
        (
            ["client-a.csv", "client-b.csv"],
            ", clients_per_round: 3",
            ["clients_per_round (3) is more than the 2"],
        ),
    ],
)
def test_every_file_is_a_client_and_there_are_enough(
    files: list[str], more: str, said: list[str], tmp_path: Path
) -> None:
    (tmp_path / "train").mkdir()
    for name in files:
        (tmp_path / "train" / name).write_text("x,label\n1,0\n")
    config = load(
        Path("configs/federated/pipeline.yaml"),
        [
            f"data={{format: csv, path: {tmp_path}, splits: {{train: train/*, eval: eval/*}}, label: label}}",
            f"model.train.federated={{clients: {{files: client-*}}, rounds: 1, batch_norm: average{more}}}",
        ],
    ).config
    found = [problem.message for problem in client_files.check(config)]
    assert len(found) == len(said) and all(
        text in message for text, message in zip(said, found, strict=True)
    )
