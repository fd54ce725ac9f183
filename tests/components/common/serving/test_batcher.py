"""Requests in a bounded queue."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from components.common.serving.batcher import Batcher, BatchLimits
from components.common.serving.request_error import Fault, RequestError
from components.common.serving.servable import Servable, Values


class Gated(Servable):
    """Predicts twice its input once it may; a negative input fails."""

    runtime = "test"

    def __init__(self) -> None:
        self.signatures = {}
        self.may = threading.Event()
        self.batches: list[int] = []

    def predict(self, signature: str, requests: Sequence[Values]) -> list[Values | Exception]:
        self.batches.append(len(requests))
        assert self.may.wait(10)
        return [ValueError("negative") if (r["x"] < 0).any() else {"y": 2 * r["x"]} for r in requests]


def ask(
    batcher: Batcher, servable: Servable, value: float, timeout: float = 10, name: str = "a"
) -> asyncio.Task[Values]:
    return asyncio.ensure_future(batcher.predict(servable, name, {"x": np.array([value])}, 1, timeout))


async def started(batcher: Batcher, queued: int) -> None:
    while batcher.queued != queued:
        await asyncio.sleep(0.001)


def make(seen: list[tuple[int, int]], **limits: float) -> Batcher:
    return Batcher(1, BatchLimits(**limits), lambda requests, rows: seen.append((requests, rows)))  # type: ignore[arg-type]


def test_what_arrives_while_the_model_is_busy_is_a_batch_and_one_failure_is_not_that_of_others() -> None:
    async def check() -> None:
        seen: list[tuple[int, int]] = []
        batcher, servable = make(seen, max_batch_size=3), Gated()
        asked = [ask(batcher, servable, value) for value in (0, 1, -1, 3, 4)]
        await started(batcher, 4)
        servable.may.set()
        made = await asyncio.gather(*asked, return_exceptions=True)
        assert [answer["y"].tolist() for answer in made if isinstance(answer, dict)] == [[0], [2], [6], [8]]
        assert isinstance(made[2], RequestError)
        assert made[2].fault is Fault.FAILED
        assert servable.batches == [1, 3, 1]
        assert seen == [(1, 1), (3, 3), (1, 1)]

    asyncio.run(check())


def test_a_batch_has_one_signature_and_one_version() -> None:
    async def check() -> None:
        batcher, servable, other = make([]), Gated(), Gated()
        asked = [ask(batcher, servable, 0)]
        asked += [ask(batcher, servable, 1, name=name) for name in "aab"]
        asked += [ask(batcher, other, 1, name="b")]
        await started(batcher, 4)
        servable.may.set()
        other.may.set()
        await asyncio.gather(*asked)
        assert (servable.batches, other.batches) == ([1, 2, 1], [1])

    asyncio.run(check())


def test_a_full_queue_refuses_and_a_late_request_leaves_it() -> None:
    async def check() -> None:
        batcher, servable = make([], queue=2), Gated()
        first = ask(batcher, servable, 1)
        late = ask(batcher, servable, 2, timeout=0.05)
        kept = ask(batcher, servable, 3)
        await started(batcher, 2)
        with pytest.raises(RequestError) as refused:
            await ask(batcher, servable, 4)
        assert refused.value.fault is Fault.OVERLOADED
        with pytest.raises(RequestError) as timed_out:
            await late
        assert timed_out.value.fault is Fault.TIMED_OUT
        assert batcher.queued == 1
        servable.may.set()
        assert [(await first)["y"][0], (await kept)["y"][0]] == [2, 6]
        assert servable.batches == [1, 1]

    asyncio.run(check())


def test_bytes_that_wait_are_bounded_too() -> None:
    async def check() -> None:
        batcher, servable = make([], queue_bytes=20), Gated()
        asked = [ask(batcher, servable, value) for value in (1, 2, 3)]
        await started(batcher, 2)
        with pytest.raises(RequestError, match="2 requests are waiting"):
            await ask(batcher, servable, 4)
        servable.may.set()
        await asyncio.gather(*asked)
        assert (await ask(batcher, servable, 4))["y"][0] == 8

    asyncio.run(check())


def test_a_batch_waits_to_become_full_if_asked_to() -> None:
    async def check() -> None:
        batcher, servable = make([], batch_timeout=5.0, max_batch_size=2), Gated()
        servable.may.set()
        alone = ask(batcher, servable, 1)
        await started(batcher, 1)
        assert servable.batches == []
        await asyncio.gather(alone, ask(batcher, servable, 2))
        assert servable.batches == [2]
        brief = make([], batch_timeout=0.01)
        assert (await ask(brief, servable, 1))["y"][0] == 2

    asyncio.run(check())
