"""The server: draws clients, takes the mean of their updates, and writes the trained model."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp
from paredown_app import task
from paredown_app.task import ASKED, FIGURES, OPTIONS, UPDATE, WEIGHTS

from components.common.base import metric_direction
from components.federated_trainer import client_split, compression
from components.federated_trainer.aggregation import Server, WeightedMean
from components.federated_trainer.payload import Payload
from components.federated_trainer.record import Client, Failed, FederatedRecord, Round, finite

app = ServerApp()
_log = logging.getLogger("flwr")


class FederationError(Exception):
    """The federation cannot train; the message says why."""


def _send(grid: Grid, kind: str, contents: dict[int, RecordDict], deadline: float) -> dict[int, Message]:
    """Node → its answer; those that do not answer in time are left out."""
    messages = [Message(content, node, kind, ttl=deadline) for node, content in contents.items()]
    answers = grid.send_and_receive(messages, timeout=deadline)
    return {answer.metadata.src_node_id: answer for answer in answers}


def _clients(grid: Grid, wanted: int, deadline: float) -> dict[str, tuple[int, int, int]]:
    """Name of each client → its node, train examples and eval examples; sorted by name.

    Raises:
        FederationError: If there are too few, one cannot say what it has, or two have the same name.
    """
    until = time.monotonic() + deadline
    while len(nodes := list(grid.get_node_ids())) < wanted:
        if time.monotonic() > until:
            raise FederationError(
                f"{len(nodes)} of {wanted} SuperNodes are there after {deadline:g} seconds"
            )
        time.sleep(1)
    answers = _send(grid, MessageType.QUERY, {node: RecordDict({}) for node in nodes}, deadline)
    found: dict[str, tuple[int, int, int]] = {}
    for node in nodes:
        answer = answers.get(node)
        if answer is None or answer.has_error():
            reason = "it did not answer" if answer is None else answer.error.reason
            raise FederationError(f"a client cannot say what examples it has: {reason}")
        name = str(answer.content[ASKED]["client"])
        if name in found:
            raise FederationError(f"two SuperNodes are client {name!r}; give each its own in --node-config")
        counts = answer.content[FIGURES]
        found[name] = (node, int(counts["train"]), int(counts["eval"]))
    return dict(sorted(found.items()))


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Trains all rounds."""
    deadline = float(context.run_config["deadline"])
    output = os.path.abspath(str(context.run_config["output"]))
    model = task.build()
    payload = Payload(model, OPTIONS.batch_norm)
    server = Server(OPTIONS.strategy, payload.trained)
    clients = _clients(grid, int(context.run_config["nodes"]), deadline)
    names = list(clients)
    count = OPTIONS.clients_per_round or len(names)
    if count > len(names):
        raise FederationError(f"clients_per_round is {count}, and there are {len(names)} clients")
    weights, rounds, parts = payload.read(), [], dict.fromkeys(names, 0)
    for number in range(1, OPTIONS.rounds + 1):
        drawn = client_split.drawn(names, count, task.SEED, number)
        contents = {
            clients[name][0]: RecordDict(
                {
                    WEIGHTS: ArrayRecord({"0": Array(weights)}),
                    ASKED: ConfigRecord({"round": number, "index": names.index(name)}),
                }
            )
            for name in drawn
        }
        answers = _send(grid, MessageType.TRAIN, contents, deadline)
        mean, failed, up, losses = WeightedMean(payload.size), [], 0, []
        largest = max(clients[name][1] for name in drawn)
        for name in drawn:
            answer = answers.get(clients[name][0])
            if answer is None or answer.has_error():
                why = f"no answer in {deadline:g} seconds" if answer is None else str(answer.error.reason)
                failed.append(Failed(name, why))
                _log.warning("round %d: %s is left out: %s", number, name, why)
                continue
            record = answer.content[UPDATE]
            sent = [record[str(place)].numpy() for place in range(len(record))]
            update = compression.read(sent, payload.sizes, OPTIONS.updates)
            if update.shape != weights.shape or not np.isfinite(update).all():
                failed.append(Failed(name, "its update is not finite, or not of this model"))
                continue
            mean.add(update, clients[name][1] / largest)
            up += sum(part.nbytes for part in sent)
            losses.append((clients[name][1], float(answer.content[FIGURES]["loss"])))
            parts[name] += 1
        if len(losses) < OPTIONS.fewest():
            raise FederationError(
                f"round {number} has the updates of {len(losses)} of {len(drawn)} clients, and needs {OPTIONS.fewest()}"
            )
        payload.write(weights + server.change(mean.value()))
        weights = payload.read()  # without negative variances
        loss = sum(n * value for n, value in losses) / sum(n for n, _ in losses)
        rounds.append(
            Round(len(losses), len(drawn) * weights.nbytes, up, None, finite(loss), tuple(failed))
        )
        _log.info("round %d/%d: %d clients, training loss %.4f", number, OPTIONS.rounds, len(losses), loss)
    _write(model, output)
    record = FederatedRecord(
        strategy=OPTIONS.strategy.kind,
        compress=OPTIONS.updates.compress,
        rounds=tuple(rounds),
        **_measured(grid, clients, parts, weights, deadline),
    )
    record.write(f"{os.path.splitext(output)[0]}.federated.json")
    _log.info("wrote %s", output)


def _measured(
    grid: Grid,
    clients: dict[str, tuple[int, int, int]],
    parts: dict[str, int],
    weights: np.ndarray,
    deadline: float,
) -> dict[str, Any]:
    """The metric of each client, and its name."""
    content = {
        node: RecordDict({WEIGHTS: ArrayRecord({"0": Array(weights)})})
        for node, _, n in clients.values()
        if n
    }
    answers = _send(grid, MessageType.EVALUATE, content, deadline) if content else {}
    figures = {
        node: dict(answer.content[FIGURES]) for node, answer in answers.items() if not answer.has_error()
    }
    known = [name for found in figures.values() for name in found if name not in ("examples", "loss")]
    metric = next((name for name in known if metric_direction.higher_is_better(name) is not None), "loss")
    return {
        "metric": metric,
        "higher_is_better": bool(metric_direction.higher_is_better(metric)),
        "clients": tuple(
            Client(
                name,
                train,
                evaluation,
                parts[name],
                finite(float(figures.get(node, {}).get(metric, np.nan))),
            )
            for name, (node, train, evaluation) in clients.items()
        ),
    }


def _write(model: Any, output: str) -> None:
    """Writes the model beside its place, and moves it there."""
    os.makedirs(os.path.dirname(output), exist_ok=True)
    part = f"{output}.part.h5"
    model.save(part, include_optimizer=False)
    os.replace(part, output)
