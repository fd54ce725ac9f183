"""A client: trains on its own examples and sends the change of its weights.

Its SuperNode has in --node-config: `client`, its name; `train`, the path of its examples; optionally `eval`, others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from paredown_app import task
from paredown_app.task import ASKED, FIGURES, OPTIONS, UPDATE, WEIGHTS

from components.federated_trainer import compression
from components.federated_trainer.local_training import LocalTraining
from components.federated_trainer.payload import Payload

app = ClientApp()
# Kept by the SuperNode from one round to the next.
_RESIDUAL = "residual"


def _name(context: Context) -> str:
    return str(context.node_config["client"])


def _figures(values: dict[str, Any], message: Message, more: dict[str, Any] | None = None) -> Message:
    return Message(RecordDict({FIGURES: MetricRecord(values), **(more or {})}), reply_to=message)


@app.query()
def query(message: Message, context: Context) -> Message:
    """Says who the client is, and how many examples it has."""
    inputs = task.build().input_names
    counts = {
        split: len(task.load(str(context.node_config[split]), inputs))
        if split in context.node_config
        else 0
        for split in ("train", "eval")
    }
    name = ConfigRecord({"client": _name(context)})
    return _figures(counts, message, {ASKED: name})


@app.train()
def train(message: Message, context: Context) -> Message:
    """Trains from the server's weights."""
    model = task.build()
    examples = task.load(str(context.node_config["train"]), model.input_names)
    strategy = OPTIONS.strategy
    local = LocalTraining(
        model, examples.take(range(1)), strategy.mu if strategy.kind == "fedprox" else 0.0
    )
    payload = Payload(model, OPTIONS.batch_norm)
    begun = message.content[WEIGHTS]["0"].numpy()
    payload.write(begun)
    asked = message.content[ASKED]
    random = np.random.default_rng([task.SEED, int(asked["round"]), int(asked["index"])])
    logs = local.train(examples, OPTIONS.local_epochs, task.SETTINGS["batch_size"], random)
    update = payload.read() - begun
    if not np.isfinite(update).all():
        raise ValueError("its weights are not finite")
    kept = context.state[_RESIDUAL]["0"].numpy() if _RESIDUAL in context.state else None
    sent, residual = compression.compress(update, payload.sizes, OPTIONS.updates, kept, random)
    if residual is not None:
        context.state[_RESIDUAL] = ArrayRecord({"0": Array(residual)})
    parts = {str(number): Array(np.ascontiguousarray(part)) for number, part in enumerate(sent.parts)}
    return _figures({"examples": len(examples), **logs}, message, {UPDATE: ArrayRecord(parts)})


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measures the server's weights on the client's own eval examples."""
    if "eval" not in context.node_config:
        return _figures({"examples": 0}, message)
    model = task.build()
    examples = task.load(str(context.node_config["eval"]), model.input_names)
    local = LocalTraining(model, examples.take(range(1)))
    Payload(model, OPTIONS.batch_norm).write(message.content[WEIGHTS]["0"].numpy())
    return _figures({"examples": len(examples), **local.measure(examples)}, message)
