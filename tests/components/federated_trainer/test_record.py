"""The record of a training: its figures, and the same when read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.common.base.document import DocumentError
from components.federated_trainer.record import RECORD_FILE, Client, Failed, FederatedRecord, Round

ROUNDS = (
    Round(clients=3, bytes_down=400, bytes_up=300, value=0.5, loss=1.5),
    Round(4, 400, 400, 0.75, 1.0, (Failed("client-4", "it dropped out", True),)),
    Round(4, 400, 400, None, None, (Failed("client-1", "its weights are not finite"),)),
    Round(4, 400, 400, 0.9, 0.5),
)
VALUES = [0.9, None, 0.2, 0.7, 0.8, 0.6, 0.95, 0.96, 0.97, 0.98, 0.99, 0.3]
CLIENTS = tuple(
    Client(f"client-{number}", 10, 0 if value is None else 5, 3, value)
    for number, value in enumerate(VALUES)
)
RECORD = FederatedRecord("fedavg", "int8", "accuracy", True, ROUNDS, CLIENTS, goal=0.75)


def test_figures_are_sums_of_rounds_and_ranks_of_clients() -> None:
    found = RECORD.figures()
    assert (found.bytes_up, found.bytes_down, found.traffic) == (1500, 1600, 3100)
    # Of 11 values the second lowest: at least a tenth of the clients have it or less.
    assert (found.worst_client, found.client_p10, found.rounds_to_goal) == (0.2, 0.3, 2)
    properties = RECORD.properties()
    assert properties["federated_failed"] == 2 and properties["federated_value"] == 0.9
    assert properties["federated_bytes_up"] == 1500 and "federated_goal" not in properties


def test_of_a_loss_the_highest_is_the_worst() -> None:
    record = FederatedRecord("fedavg", "none", "loss", False, ROUNDS, CLIENTS, goal=0.6)
    assert (record.worst_client, record.quantile(0.1), record.rounds_to_goal) == (0.99, 0.98, 1)
    assert FederatedRecord("fedavg", "none", "loss", False, ROUNDS, CLIENTS, 0.1).rounds_to_goal is None


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert FederatedRecord.of(str(tmp_path)) is None
    RECORD.write(tmp_path / RECORD_FILE)
    assert FederatedRecord.of(str(tmp_path)) == RECORD
    (tmp_path / RECORD_FILE).write_text("{}")
    with pytest.raises(DocumentError, match="not a record of a federated training"):
        FederatedRecord.of(str(tmp_path))
