"""The rounds of a federated training: clients train one after another, and the server takes the mean."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tf_keras

from components.common.base import metric_direction, progress
from components.common.base.errors import ParedownError, reason_of
from components.common.base.interruption import Interrupted
from components.common.base.progress import Kind
from components.common.data.arrays import Arrays
from components.common.models.invariants import Asked
from components.common.training.error import TrainingError
from components.federated_trainer import client_split, privacy
from components.federated_trainer.aggregation import Server, Vector, WeightedMean
from components.federated_trainer.broadcast import Broadcast
from components.federated_trainer.client_split import Indices, Split
from components.federated_trainer.client_store import ClientStore
from components.federated_trainer.gathering import Gathering, Plan
from components.federated_trainer.local_training import LocalTraining, Metrics
from components.federated_trainer.params import Federated
from components.federated_trainer.payload import Payload
from components.federated_trainer.record import Client, Failed, FederatedRecord, Round, finite, names

_BYTES = 4
_LOSS = "loss"
# Behind the number of a round in the seed of what the server rounds, which has no client.
_OF_BROADCAST = 1
# What a client keeps between rounds.
_RESIDUAL, _NORMALIZATION = "residual", "normalization"


class _Dropped(ParedownError):
    """A simulated failure of a client."""


@dataclass(frozen=True)
class Trained:
    """The outcome of a training.

    Attributes:
        record: What it cost, and what it gave to whom.
        curves: Metric → its value after each round; names of those on the eval split begin with `val_`.
        steps: Steps that the optimizers of all clients took together.
    """

    record: FederatedRecord
    curves: dict[str, list[float]]
    steps: int


def _nothing(_: tf_keras.Model) -> None:
    """Leaves a model as it is."""


@dataclass(frozen=True)
class OnClients:
    """What the training of a step has beside that of a baseline.

    Attributes:
        keep: Layer → what its kernel keeps.
        callbacks: Called after each batch of a client, as Keras does.
        refresh: Brings in order what depends on the weights that a model got.
        rounds: Rounds before: of the baseline, and of earlier steps of the chain.
    """

    keep: Asked = field(default_factory=dict)
    callbacks: tuple[tf_keras.callbacks.Callback, ...] = ()
    refresh: Callable[[tf_keras.Model], None] = _nothing
    rounds: int = 0


class Federation:
    """One training. Every client's work is done with the same model object."""

    def __init__(
        self,
        model: tf_keras.Model,
        splits: tuple[Arrays, Arrays],
        clients: Split,
        options: Federated,
        batch_size: int,
        seed: int,
        step: OnClients | None = None,
    ):
        """Nothing has been trained yet.

        Args:
            model: Compiled, with the weights to begin with; gets the trained ones.
            splits: Train and eval examples.
            clients: Which of them are whose.
            options: How to train.
            batch_size: Examples in a step of a client.
            seed: Seed of who takes part, of orders, of rounding and of simulated failures.
            step: Of the training of a step.

        Raises:
            TrainingError: If the options do not fit the model or the clients.
        """
        self._train, self._evaluation = splits
        self._clients = clients
        self._options = options
        self._batch_size = batch_size
        self._seed = seed
        self._names = list(clients.train)
        self._drawn = options.clients_per_round or len(self._names)
        if self._drawn > len(self._names):
            raise TrainingError(
                f"federated: clients_per_round is {self._drawn}, but the examples are those of {len(self._names)} "
                "clients; lower it, or leave it out"
            )
        self._model = model
        self._step = step or OnClients()
        self._payload = Payload(model, options.batch_norm, self._step.keep)
        strategy = options.strategy
        mu = strategy.mu if strategy.kind == "fedprox" else 0.0
        for callback in self._step.callbacks:
            callback.set_model(model)
            callback.on_train_begin()
        self._local = LocalTraining(model, self._train.take(range(1)), mu, self._step.callbacks)
        self._server = Server(strategy, self._payload.trained)
        self._weights = self._payload.read()
        self._begun = self._weights
        self._broadcast = Broadcast(options.updates, self._payload.sizes)
        self._kept = self._payload.read_kept()
        self._parts: Counter[str] = Counter()
        self._told: set[str] = set()
        self._steps = 0
        self._metric = ""

    def run(self) -> Trained:
        """Trains all rounds.

        Raises:
            TrainingError: If a round has fewer updates than `min_clients`.
        """
        rounds: list[Round] = []
        curves: dict[str, list[float]] = {}
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="paredown-clients-") as folder:
            store = ClientStore(folder)
            for number in range(1, self._options.rounds + 1):
                found, logs = self._round(number, store)
                rounds.append(found)
                for name, value in logs.items():
                    curves.setdefault(name, []).append(value)
                self._report(number, found, time.monotonic() - began)
            clients = self._measured(store)
            if self._payload.has_kept:
                rounds[-1] = self._collect_kept(rounds[-1], store)
        for callback in self._step.callbacks:
            callback.on_train_end()
        record = FederatedRecord(
            strategy=self._options.strategy.kind,
            compress=self._options.updates.compress,
            metric=self._metric,
            higher_is_better=_ascending(self._metric),
            rounds=tuple(rounds),
            clients=clients,
            goal=self._options.goal,
            secure_sum=self._options.secure_sum,
            broadcast=self._options.updates.broadcast,
            **self._private(),
        )
        return Trained(record, curves, self._steps)

    def measure(self) -> Metrics:
        """Loss and metrics of the model on the eval examples."""
        return self._local.measure(self._evaluation)

    def _round(self, number: int, store: ClientStore) -> tuple[Round, Metrics]:
        drawn = self._take_part(number)
        counts = {client: len(self._clients.train[client]) for client in drawn}
        plan = Plan(counts, (self._seed, self._numbered(number)), self._drawn, self._payload.sizes)
        gathering = Gathering(plan, self._options)
        random = np.random.default_rng([*plan.seed, 0, _OF_BROADCAST])
        self._begun, broadcast = self._broadcast.send(self._weights, drawn, random)
        failed: list[Failed] = []
        taught: list[tuple[int, Metrics]] = []
        sent = 0
        for client in drawn:
            examples = self._clients.train[client]
            try:
                bytes_, logs = self._answer(client, examples, gathering, number, store)
            except Interrupted:
                raise
            except Exception as error:  # whatever a client does, the others go on
                reason = str(error) if isinstance(error, ParedownError) else reason_of(error)
                failed.append(Failed(client, reason, isinstance(error, _Dropped)))
                continue
            sent += bytes_
            taught.append((len(examples), logs))
            self._parts[client] += 1
        if len(taught) < self._options.fewest():
            raise TrainingError(
                f"federated: round {number} has the updates of {len(taught)} of {len(drawn)} clients, and needs "
                f"{self._options.fewest()} ({names(failed[:3])}); lower min_clients, or find out why clients fail"
            )
        self._weights = self._weights + self._server.change(gathering.mean())
        self._payload.write(self._weights)
        self._weights = self._payload.read()  # without negative variances
        self._step.refresh(self._model)
        if self._payload.has_kept:
            self._payload.write_kept(self._mean_of_kept(store))
        measured = self.measure()
        self._metric = self._metric or _first_metric(measured)
        found = Round(
            clients=len(taught),
            bytes_down=broadcast + gathering.bytes_down() + self._structure_bytes(drawn),
            bytes_up=sent,
            value=finite(measured[self._metric]),
            loss=finite(measured[_LOSS]),
            failed=tuple(failed),
        )
        return found, {**_weighted(taught), **{f"val_{name}": value for name, value in measured.items()}}

    def _take_part(self, number: int) -> list[str]:
        """The clients of a round."""
        if self._options.privacy is None:
            return client_split.drawn(self._names, self._drawn, self._seed, self._numbered(number))
        random = np.random.default_rng([self._seed, self._numbered(number)])
        return privacy.sampled(self._names, self._probability(), random)

    def _numbered(self, number: int) -> int:
        """The number of a round in the whole chain, so that no two of its rounds draw alike."""
        return self._step.rounds + number

    def _structure_bytes(self, drawn: Sequence[str]) -> int:
        """Bytes that tell clients what they keep, each in its first round."""
        new = set(drawn) - self._told
        self._told |= new
        return len(new) * self._payload.structure_bytes

    def _probability(self) -> float:
        """That a client takes part in a round."""
        return self._drawn / len(self._names)

    def _answer(
        self, client: str, examples: Indices, gathering: Gathering, number: int, store: ClientStore
    ) -> tuple[int, Metrics]:
        """Trains a client and takes its update; returns the bytes that it sent, and how its training went."""
        random = np.random.default_rng([self._seed, self._numbered(number), self._names.index(client)])
        self._payload.write(self._begun)
        begun = self._payload.read()
        kept = store.get(client, _NORMALIZATION)
        self._payload.write_kept(self._kept if kept is None else kept)
        epochs = self._options.local_epochs
        logs = self._local.train(self._train.take(examples), epochs, self._batch_size, random)
        self._steps += epochs * -(-len(examples) // self._batch_size)
        update = self._payload.read() - begun
        if not np.isfinite(update).all():
            raise TrainingError("its weights are not finite")
        if self._options.dropout and random.random() < self._options.dropout:
            raise _Dropped("it dropped out")
        bytes_, residual = gathering.add(client, update, store.get(client, _RESIDUAL), random)
        store.put(client, _RESIDUAL, residual)
        if self._payload.has_kept:
            store.put(client, _NORMALIZATION, self._payload.read_kept())
        return bytes_, logs

    def _private(self) -> dict[str, Any]:
        """Epsilon and delta of the record."""
        asked = self._options.privacy
        if asked is None:
            return {}
        rounds = self._step.rounds + self._options.rounds
        found = privacy.epsilon(asked.noise, self._probability(), rounds, asked.delta)
        return {"epsilon": finite(found), "delta": asked.delta}

    def _mean_of_kept(self, store: ClientStore) -> Vector:
        """The mean of what clients keep, of those that have taken part; by their examples."""
        mean = WeightedMean(self._kept.size)
        for client in self._parts:
            kept = store.get(client, _NORMALIZATION)
            if kept is not None:
                mean.add(kept, len(self._clients.train[client]))
        return mean.value()

    def _collect_kept(self, last: Round, store: ClientStore) -> Round:
        """Gives the model the mean of what clients keep, which each sends once, with the last round."""
        self._payload.write_kept(self._mean_of_kept(store))
        more = len(self._parts) * _BYTES * self._kept.size
        return Round(**{**vars(last), "bytes_up": last.bytes_up + more})

    def _measured(self, store: ClientStore) -> tuple[Client, ...]:
        """The trained model on the eval examples of each client, with what it keeps."""
        found = []
        for client in self._names:
            examples = self._clients.eval[client]
            value = None
            if len(examples):
                kept = store.get(client, _NORMALIZATION)
                if kept is not None:
                    self._payload.write_kept(kept)
                elif self._payload.has_kept:
                    self._payload.write_kept(self._mean_of_kept(store))
                value = finite(self._local.measure(self._evaluation.take(examples))[self._metric])
            found.append(
                Client(client, len(self._clients.train[client]), len(examples), self._parts[client], value)
            )
        return tuple(found)

    def _report(self, number: int, found: Round, seconds: float) -> None:
        rounds = self._options.rounds
        last = number == rounds
        for one in found.failed:
            if not one.simulated:
                progress.note(f"round {number}: {one.client} is left out: {one.reason}")
        shown = "–" if found.value is None else f"{found.value:.4g}"
        progress.report(
            f"round {number}/{rounds}",
            Kind.LAST_EPOCH if last else Kind.EPOCH,
            None if last else seconds / number * (rounds - number),
            f"eval {self._metric} {shown}",
        )


def _first_metric(measured: Metrics) -> str:
    """The first metric of which it is known whether a higher value is better; the loss if there is none."""
    own = [name for name in measured if name != _LOSS and not name.endswith(f"_{_LOSS}")]
    return next((name for name in own if metric_direction.higher_is_better(name) is not None), _LOSS)


def _ascending(metric: str) -> bool:
    return bool(metric_direction.higher_is_better(metric))


def _weighted(taught: Sequence[tuple[int, Metrics]]) -> Metrics:
    """Each metric's mean over clients, by their examples."""
    total = sum(count for count, _ in taught)
    sums: dict[str, Any] = Counter()
    for count, logs in taught:
        for name, value in logs.items():
            sums[name] += count * value
    return {name: value / total for name, value in sums.items()}
