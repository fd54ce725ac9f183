"""The record of a federated training, beside the model. Imports neither TensorFlow nor TFX."""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field

from components.common.base.document import LEFT_OUT_IF_EMPTY, Document
from components.common.base.federated_cost import FederatedCost

RECORD_FILE = "federated.json"
_PREFIX = "federated_"


@dataclass(frozen=True)
class Failed:
    """A client that was left out of a round.

    Attributes:
        client: Its name.
        reason: Why, for people.
        simulated: Whether the option `dropout` made it fail.
    """

    client: str
    reason: str
    simulated: Annotated[bool, Field(exclude_if=operator.not_)] = False


@dataclass(frozen=True)
class Round:
    """One round.

    Attributes:
        clients: Number of clients whose updates it has.
        failed: Those that were left out.
        bytes_down: Bytes that the server sent to the clients that it drew.
        bytes_up: Bytes that clients sent.
        value: The metric on the eval split after it; None if it was not finite.
        loss: The loss on the eval split.
    """

    clients: int
    bytes_down: int
    bytes_up: int
    value: float | None
    loss: float | None
    failed: Annotated[tuple[Failed, ...], LEFT_OUT_IF_EMPTY] = ()


@dataclass(frozen=True)
class Client:
    """One client.

    Attributes:
        name: Its name.
        examples: Number of its train examples.
        eval_examples: Number of its eval examples.
        rounds: Number of rounds that its update was in.
        value: The metric of the trained model on its eval examples; None if it has none, or it was not finite.
    """

    name: str
    examples: int
    eval_examples: int
    rounds: int
    value: float | None


@dataclass(frozen=True)
class FederatedFigures:
    """A training in a few numbers.

    Attributes:
        rounds: Number of rounds.
        clients: Number of clients.
        bytes_up: Bytes that clients sent in all rounds.
        bytes_down: Bytes that the server sent in all rounds.
        metric: Name of the metric of clients.
        higher_is_better: Whether a higher value is better.
        worst_client: The metric of the client that is worst off; None if no client has eval examples.
        client_p10: The metric that a tenth of the clients do not reach.
        rounds_to_goal: Number of the first round that reached the goal; None if there is no goal, or none did.
        epsilon: ε of the differential privacy of clients; None without noise.
        steps: What the steps of the candidate that clients trained cost besides; None if there are none.
    """

    rounds: int
    clients: int
    bytes_up: int
    bytes_down: int
    metric: str
    higher_is_better: bool
    worst_client: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    client_p10: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    rounds_to_goal: Annotated[int | None, LEFT_OUT_IF_EMPTY] = None
    epsilon: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    steps: Annotated[FederatedCost | None, LEFT_OUT_IF_EMPTY] = None

    @property
    def traffic(self) -> int:
        """Bytes in both directions, with those of steps."""
        return self.baseline_traffic + (self.steps.traffic if self.steps else 0)

    @property
    def baseline_traffic(self) -> int:
        """Bytes in both directions of the baseline's training alone."""
        return self.bytes_up + self.bytes_down

    @property
    def whole_epsilon(self) -> float | None:
        """ε of the baseline's training and of steps together; None without noise."""
        return self.steps.epsilon if self.steps else self.epsilon


@dataclass(frozen=True)
class FederatedRecord(Document):
    """What a federated training cost, and what it gave to whom.

    Attributes:
        strategy: Its kind.
        compress: How updates were compressed.
        metric: Name of the metric of `value`s; `loss` if the model is compiled without one.
        higher_is_better: Whether a higher value is better.
        rounds: In their order.
        clients: All clients.
        goal: Value that the report asks about; None if there is none.
        secure_sum: Whether the server saw the sum of updates alone.
        epsilon: ε of the differential privacy of clients; None without noise.
        delta: δ of it; None if updates were not clipped.
        broadcast: How the server's weights were compressed.
    """

    TITLE: ClassVar[str] = "record of a federated training"
    VERSION: ClassVar[int] = 1

    strategy: str
    compress: str
    metric: str
    higher_is_better: bool
    rounds: tuple[Round, ...]
    clients: tuple[Client, ...]
    goal: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    secure_sum: Annotated[bool, Field(exclude_if=operator.not_)] = False
    epsilon: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    delta: Annotated[float | None, LEFT_OUT_IF_EMPTY] = None
    broadcast: Annotated[str, Field(exclude_if="none".__eq__)] = "none"

    @classmethod
    def of(cls, uri: str) -> FederatedRecord | None:
        """The record in the folder of a `Model` artifact; None if its training was not federated.

        Raises:
            DocumentError: If it cannot be read.
        """
        path = os.path.join(uri, RECORD_FILE)
        return cls.read(path) if os.path.exists(path) else None

    @property
    def bytes_up(self) -> int:
        """Bytes that clients sent in all rounds."""
        return sum(one.bytes_up for one in self.rounds)

    @property
    def bytes_down(self) -> int:
        """Bytes that the server sent in all rounds."""
        return sum(one.bytes_down for one in self.rounds)

    @property
    def value(self) -> float | None:
        """The metric after the last round."""
        return self.rounds[-1].value

    @property
    def worst_client(self) -> float | None:
        """The metric of the client that is worst off; None if no client has eval examples."""
        return self.quantile(0.0)

    @property
    def rounds_to_goal(self) -> int | None:
        """Number of the first round that reached the goal; None if there is no goal, or none did."""
        if self.goal is None:
            return None
        for number, one in enumerate(self.rounds, 1):
            reached = one.value is not None and (
                one.value >= self.goal if self.higher_is_better else one.value <= self.goal
            )
            if reached:
                return number
        return None

    def quantile(self, share: float) -> float | None:
        """The metric that a share of the clients is worse than: the nearest rank, from the worst client on.

        Args:
            share: 0 for the worst client, 0.1 for the 10 % quantile.
        """
        known = sorted(
            (one.value for one in self.clients if one.value is not None), reverse=not self.higher_is_better
        )
        return known[max(0, math.ceil(share * len(known)) - 1)] if known else None

    def figures(self) -> FederatedFigures:
        """The training in a few numbers."""
        return FederatedFigures(
            rounds=len(self.rounds),
            clients=len(self.clients),
            bytes_up=self.bytes_up,
            bytes_down=self.bytes_down,
            metric=self.metric,
            higher_is_better=self.higher_is_better,
            worst_client=self.worst_client,
            client_p10=self.quantile(0.1),
            rounds_to_goal=self.rounds_to_goal,
            epsilon=self.epsilon,
        )

    def properties(self) -> dict[str, int | float | str]:
        """The custom properties of the `Model` in ML Metadata."""
        values: dict[str, Any] = {
            "strategy": self.strategy,
            "compress": self.compress,
            "failed": sum(len(one.failed) for one in self.rounds),
            "value": self.value,
            "delta": self.delta,
            **vars(self.figures()),
        }
        del values["higher_is_better"], values["steps"]
        return {f"{_PREFIX}{name}": value for name, value in values.items() if value is not None}


def finite(value: float) -> float | None:
    """A number; None in place of one that is not finite."""
    return value if math.isfinite(value) else None


def names(clients: Sequence[Failed]) -> str:
    """Clients that failed, with their reasons."""
    return "; ".join(f"{one.client}: {one.reason}" for one in clients)
