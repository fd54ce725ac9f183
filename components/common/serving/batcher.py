"""Requests wait in a bounded queue and go to the model in batches."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.common.base.errors import describe
from components.common.serving.request_error import Fault, RequestError
from components.common.serving.servable import Servable, Values


@dataclass(frozen=True)
class BatchLimits:
    """How requests are gathered, by the names of TensorFlow Serving's batching parameters as far as it has them.

    Attributes:
        max_batch_size: Examples of a batch. A request with more is a batch by itself.
        batch_timeout: Seconds that a batch may wait to become full while a thread is free. 0 makes batches only of
            what arrives while all threads are busy, which delays nothing.
        queue: Requests that may wait.
        queue_bytes: Bytes of tensors that may wait.
    """

    max_batch_size: int = 32
    batch_timeout: float = 0.0
    queue: int = 256
    queue_bytes: int = 256 * 1024**2


@dataclass(eq=False)
class _Waiting:
    servable: Servable
    signature: str
    features: Values
    rows: int
    size: int
    since: float
    made: asyncio.Future[Values]


class Batcher:
    """Hands requests to threads. All methods but the predictions run in the event loop."""

    def __init__(self, threads: int, limits: BatchLimits, observe: Callable[[int, int], None]):
        """Starts no thread yet.

        Args:
            threads: Batches that are predicted at once.
            limits: Limits of batches and of the queue.
            observe: Called with the requests and the examples of each batch.
        """
        self._limits = limits
        self._observe = observe
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="predict")
        self._free = threads
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        """Number of requests that wait."""
        return len(self._waiting)

    async def predict(
        self, servable: Servable, signature: str, features: Values, rows: int, timeout: float
    ) -> Values:
        """Predicts a request.

        Args:
            servable: The version; it is held until the request is answered.
            signature: Name of its signature.
            features: Input → (rows, …) values, which fit the signature.
            rows: Number of examples.
            timeout: Seconds.

        Returns:
            Output → (rows, …) values.

        Raises:
            RequestError: If the queue is full, the time is over, or the model fails.
        """
        size = sum(values.nbytes for values in features.values())
        full = len(self._waiting) >= self._limits.queue
        if full or (self._waiting and self._bytes + size > self._limits.queue_bytes):
            raise RequestError(
                Fault.OVERLOADED, f"{len(self._waiting)} requests are waiting; try again later"
            )
        loop = asyncio.get_running_loop()
        waiting = _Waiting(
            servable, signature, features, rows, size, time.monotonic(), loop.create_future()
        )
        self._waiting.append(waiting)
        self._bytes += size
        self._dispatch()
        try:
            return await asyncio.wait_for(waiting.made, timeout)
        except asyncio.TimeoutError:
            raise RequestError(Fault.TIMED_OUT, f"the prediction took longer than {timeout:g} s") from None
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._bytes -= size

    def close(self) -> None:
        """Ends the threads, without waiting for what they predict."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _dispatch(self) -> None:
        while self._free and self._waiting:
            remaining = self._to_wait()
            if remaining > 0:
                if self._timer is None:
                    self._timer = asyncio.get_running_loop().call_later(remaining, self._on_timer)
                return
            self._start(self._take())

    def _on_timer(self) -> None:
        self._timer = None
        self._dispatch()

    def _to_wait(self) -> float:
        """Seconds until the next batch has waited long enough; 0 if it is full."""
        if not self._limits.batch_timeout:
            return 0.0
        first, rows = self._waiting[0], 0
        for waiting in self._waiting:
            if not _alike(waiting, first):
                return 0.0
            rows += waiting.rows
            if rows >= self._limits.max_batch_size:
                return 0.0
        return first.since + self._limits.batch_timeout - time.monotonic()

    def _take(self) -> list[_Waiting]:
        """The next batch: requests of the same version and signature, in the order in which they came."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            first = self._waiting[0]
            if batch and (not _alike(first, batch[0]) or rows + first.rows > self._limits.max_batch_size):
                break
            batch.append(self._waiting.popleft())
            rows += first.rows
            self._bytes -= first.size
        self._observe(len(batch), rows)
        return batch

    def _start(self, batch: list[_Waiting]) -> None:
        self._free -= 1
        first, requests = batch[0], [waiting.features for waiting in batch]
        running = asyncio.get_running_loop().run_in_executor(
            self._pool, first.servable.predict, first.signature, requests
        )
        running.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(self, batch: list[_Waiting], done: asyncio.Future[list[Values | Exception]]) -> None:
        self._free += 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        answers = [error] * len(batch) if error is not None else done.result()
        for waiting, answer in zip(batch, answers, strict=True):
            if waiting.made.done():  # its time was over, or its client is gone
                continue
            if isinstance(answer, RequestError):
                waiting.made.set_exception(answer)
            elif isinstance(answer, BaseException):
                waiting.made.set_exception(
                    RequestError(Fault.FAILED, f"the model failed: {describe(answer)}")
                )
            else:
                waiting.made.set_result(answer)
        self._dispatch()


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.servable is other.servable and one.signature == other.signature
