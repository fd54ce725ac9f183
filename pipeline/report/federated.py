"""What the page says about the federated training of the baseline."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from components.common.base.quantities import bytes_text
from components.federated_trainer.record import FederatedRecord, names
from pipeline.report import palette
from pipeline.report.charts.layout import plain
from pipeline.report.numbers import accuracy_text
from pipeline.report.table import Cell, Table


@dataclass(frozen=True)
class FederatedSection:
    """The section of the page.

    Attributes:
        summary: Its figures, in sentences.
        curve: Metric and traffic after each round; None if there is one round.
        rounds: The same as a table.
        spread: Clients by their metric, the worst first; None if no client has eval examples.
        clients: The same as a table, in the order of the record.
    """

    summary: tuple[str, ...]
    curve: go.Figure | None
    rounds: Table
    spread: go.Figure | None
    clients: Table


def section(record: FederatedRecord | None) -> FederatedSection | None:
    """The section about a federated training; None if there was none."""
    if record is None:
        return None
    return FederatedSection(
        _summary(record), _curve(record), _rounds(record), _spread(record), _clients(record)
    )


def _summary(record: FederatedRecord) -> tuple[str, ...]:
    found = record.figures()
    sentences = [
        f"{found.clients} clients trained in {found.rounds} rounds by {record.strategy}. They sent "
        f"{bytes_text(found.bytes_up)}"
        + (f" (compressed: {record.compress})" if record.compress != "none" else "")
        + f" and got {bytes_text(found.bytes_down)}"
        + (f" (compressed: {record.broadcast})." if record.broadcast != "none" else ".")
    ]
    if found.worst_client is not None:
        sentences.append(
            f"{record.metric} is {accuracy_text(record.value)} on all eval examples, "
            f"{accuracy_text(found.worst_client)} on those of the client that is worst off, and a tenth of the clients "
            f"have {accuracy_text(found.client_p10)} or worse."
        )
    if record.secure_sum:
        sentences.append("The server saw the sum of each round's updates, and no single one.")
    if record.epsilon is not None:
        sentences.append(
            f"Whether one of the clients took part is hidden by noise: epsilon is {record.epsilon:.3g} at delta "
            f"{record.delta:g}."
        )
    if record.goal is not None:
        reached = record.rounds_to_goal
        sentences.append(
            f"The goal of {record.goal:g} was reached in round {reached}."
            if reached
            else f"The goal of {record.goal:g} was not reached."
        )
    return tuple(sentences)


def _curve(record: FederatedRecord) -> go.Figure | None:
    rounds = record.rounds
    if len(rounds) < 2:
        return None
    chart = plain(make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09), height=340)
    numbers = list(range(1, len(rounds) + 1))
    sent = list(itertools.accumulate((one.bytes_up + one.bytes_down) / 1e6 for one in rounds))
    lines = ((1, record.metric, [one.value for one in rounds]), (2, "traffic so far in MB", sent))
    for row, name, values in lines:
        chart.add_trace(
            go.Scatter(
                x=numbers,
                y=values,
                mode="lines+markers",
                line={"color": palette.CANDIDATES[row - 1], "width": 2},
                name=name,
            ),
            row=row,
            col=1,
        )
        chart.update_yaxes(title=name, row=row, col=1, nticks=4, automargin=True)
    if record.goal is not None:
        chart.add_hline(y=record.goal, line={"dash": "dot", "width": 1, "color": palette.BASELINE}, row=1)
    chart.update_xaxes(title="round", row=2, col=1)
    return chart


def _spread(record: FederatedRecord) -> go.Figure | None:
    known = [(one.value, one) for one in record.clients if one.value is not None]
    if not known:
        return None
    ranked = sorted(known, key=lambda pair: pair[0], reverse=not record.higher_is_better)
    chart = plain(go.Figure(), height=320)
    chart.add_trace(
        go.Scatter(
            x=list(range(1, len(ranked) + 1)),
            y=[value for value, _ in ranked],
            text=[f"{one.name}: {one.examples:,} examples" for _, one in ranked],
            mode="markers",
            marker={"color": palette.CANDIDATES[0], "size": 7},
            name="client",
            showlegend=False,
        )
    )
    chart.update_xaxes(title="clients, the worst first")
    chart.update_yaxes(title=record.metric)
    return chart


def _rounds(record: FederatedRecord) -> Table:
    rows = tuple(
        tuple(
            map(
                Cell,
                (
                    str(number),
                    accuracy_text(one.value),
                    accuracy_text(one.loss),
                    str(one.clients),
                    bytes_text(one.bytes_up),
                    bytes_text(one.bytes_down),
                    names(one.failed) or "–",
                ),
            )
        )
        for number, one in enumerate(record.rounds, 1)
    )
    heads = ("round", record.metric, "loss", "updates", "up", "down", "left out")
    return Table("Rounds", heads, rows, texts=frozenset({0, len(heads) - 1}))


def _clients(record: FederatedRecord) -> Table:
    rows = tuple(
        tuple(
            map(
                Cell,
                (
                    one.name,
                    f"{one.examples:,}",
                    f"{one.eval_examples:,}",
                    str(one.rounds),
                    accuracy_text(one.value),
                ),
            )
        )
        for one in record.clients
    )
    return Table("Clients", ("client", "examples", "eval examples", "rounds", record.metric), rows)
