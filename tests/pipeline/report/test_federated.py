"""The page's section about clients, and the table's column."""

from __future__ import annotations

import dataclasses

from components.common.base.federated_cost import FederatedCost
from components.evaluator.federated import judge
from components.evaluator.judging import conclude
from components.evaluator.params import Gate
from pipeline.lineage import facts
from pipeline.report import federated
from pipeline.report.advice import advise
from pipeline.report.data import ReportData
from pipeline.report.page import render
from pipeline.run import verdict_table
from tests.components.federated_trainer.test_record import RECORD


def test_the_section_has_the_figures_of_rounds_and_clients() -> None:
    found = federated.section(RECORD)
    assert found is not None and found.curve is not None and found.spread is not None
    assert found.summary == (
        "12 clients trained in 4 rounds by fedavg. They sent 1.5 kB (compressed: int8) and got 1.6 kB.",
        "accuracy is 0.9000 on all eval examples, 0.2000 on those of the client that is worst off, and a tenth of the "
        "clients have 0.3000 or worse.",
        "The goal of 0.75 was reached in round 2.",
    )
    value, sent = found.curve.data
    assert list(value.y) == [0.5, 0.75, None, 0.9]
    assert list(sent.y) == [0.0007, 0.0015, 0.0023, 0.0031]
    assert list(found.spread.data[0].y)[:2] == [0.2, 0.3] and len(found.spread.data[0].y) == 11
    assert [cell.text for cell in found.rounds.rows[2]] == [
        "3", "–", "–", "4", "400 B", "400 B", "client-1: its weights are not finite"
    ]  # fmt: skip
    assert [cell.text for cell in found.clients.rows[1]] == ["client-1", "10", "0", "3", "–"]
    assert federated.section(None) is None


def test_the_page_has_it_if_the_training_was_federated(pushed: ReportData) -> None:
    page = render(dataclasses.replace(pushed, federated=RECORD))
    assert 'id="federated-rounds"' in page and "The goal of 0.75 was reached in round 2." in page
    assert 'id="federated"' not in render(pushed)


def test_the_baselines_line_has_traffic_and_the_worst_client(pushed: ReportData) -> None:
    plain = [one.verdict for one in pushed.candidates]
    shared = [dataclasses.replace(verdict, federated=RECORD.figures()) for verdict in plain]
    columns = {column.head: column.baseline for column in verdict_table.columns(shared)}
    assert (columns["traffic"], columns["worst client"]) == ("3.1 kB", "0.2000")
    costly = dataclasses.replace(
        RECORD.figures(), steps=FederatedCost(rounds=1, bytes_up=500, bytes_down=400)
    )
    shared[0] = dataclasses.replace(shared[0], federated=costly)
    (traffic,) = [column for column in verdict_table.columns(shared) if column.head == "traffic"]
    assert (traffic.baseline, traffic.cells[0], *set(traffic.cells[1:])) == ("3.1 kB", "4.0 kB", "")
    assert "traffic" not in [column.head for column in verdict_table.columns(plain)]


def test_lineage_says_what_training_cost() -> None:
    assert facts.federated(RECORD.properties()) == [
        "4 rounds of 12 clients, 1.5 kB up and 1.6 kB down",
        "worst client's accuracy 0.2000",
        "2 updates left out",
    ]
    assert facts.federated({"final_loss": 0.1}) == []


def test_a_missed_limit_on_training_names_options_of_training(pushed: ReportData) -> None:
    gate = Gate.model_validate(
        {"accuracy": {"metric": "AUC"}, "traffic": {"max": 3000}, "worst_client": {"min": 0.21}}
    )
    found = conclude(judge(RECORD.figures(), gate))
    candidate = dataclasses.replace(pushed.candidates[0], verdict=found)
    (advice,) = advise(dataclasses.replace(pushed, candidates=(candidate,), gate=gate))
    assert advice.sentences == (
        "int8 missed worst_client.min 0.21 by 0.01: lower it to 0.2, or train in more rounds, or with strategy: "
        "fedprox, which holds clients near to each other",
        "int8 missed traffic.max 3 kB by 100 B: raise it to 3.1 kB, or train in fewer rounds, with fewer "
        "clients_per_round, or with updates: {compress: int8}",
    )
