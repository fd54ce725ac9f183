"""Load on a server: clients that ask without a pause, and look at every answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from components.common.serving.clients import Client
from components.common.serving.servable import Values


@dataclass
class Question:
    """A request, and what has to come back.

    Attributes:
        request: As a client writes it.
        right: Output → values of the right answer.
        answer: A right answer as the server wrote it; empty until there was one.
    """

    request: bytes
    right: Values
    answer: bytes = b""

    def is_right(self, client: Client, answer: bytes) -> bool:
        """Whether an answer has all the right outputs, to the bit; NaN is equal to NaN."""
        if self.answer and answer == self.answer:
            return True
        found = client.outputs(answer, self.right)
        if found.keys() != self.right.keys():
            return False
        return all(_same(found[name], values) for name, values in self.right.items())


@dataclass
class Load:
    """The results of clients.

    Attributes:
        times: Seconds from each request to its answer.
        differing: Answers that are not right.
        elapsed: Seconds that it took all together.
    """

    times: list[float] = field(default_factory=list)
    differing: int = 0
    elapsed: float = 0.0

    def add(self, other: Load) -> None:
        """Adds what was seen at another time."""
        self.times += other.times
        self.differing += other.differing
        self.elapsed += other.elapsed


def check(clients: Sequence[Client], questions: Sequence[Question]) -> int:
    """Asks each question once, one at a time, with each client in its turn.

    Returns:
        Number of answers that are not right.

    Raises:
        ClientError: If a question is not answered.
    """
    differing = 0
    for number in range(max(len(clients), len(questions))):
        client, question = clients[number % len(clients)], questions[number % len(questions)]
        answer = client.send(question.request)
        if question.is_right(client, answer):
            question.answer = answer
        else:
            differing += 1
    return differing


def ask(clients: Sequence[Client], questions: Sequence[Question], seconds: float) -> Load:
    """All clients ask at once, each one question after the other.

    Args:
        clients: At least one.
        questions: Every client begins with another one.
        seconds: How long requests are sent; each client sends at least one.

    Raises:
        ClientError: If a question is not answered.
    """
    loads = [Load() for _ in clients]
    errors: list[Exception] = []
    began = time.perf_counter()

    def run(number: int) -> None:
        client, load = clients[number], loads[number]
        place = number * len(questions) // len(clients)
        try:
            while not errors:
                question = questions[place % len(questions)]
                sent = time.perf_counter()
                answer = client.send(question.request)
                answered = time.perf_counter()
                load.times.append(answered - sent)
                load.differing += not question.is_right(client, answer)
                place += 1
                if answered >= began + seconds:
                    return
        except Exception as error:  # raised below, in the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    total = Load()
    for load in loads:
        total.add(load)
    total.elapsed = time.perf_counter() - began
    return total


def _same(found: npt.NDArray[Any], right: npt.NDArray[Any]) -> bool:
    return found.shape == right.shape and np.array_equal(found, right, equal_nan=right.dtype.kind == "f")
