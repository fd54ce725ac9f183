"""Common parts of all HTTP requests: bounded bodies, errors as JSON, and counting those on their way."""

from __future__ import annotations

import http
from typing import Any

from tornado.web import HTTPError, RequestHandler, stream_request_body

from components.common.serving import json_values
from components.common.serving.predictions import Predictions
from components.common.serving.request_error import Fault, RequestError

# Bytes of a body that are read at most, and dropped if they are too many. Nothing is refused before its body is read: a
# client that is still sending does not read an answer.
READ_AT_MOST = 1024**3
# Bodies of the largest size that are held at once.
_HELD = 8


class OnTheirWay:
    """Requests that were begun and are not answered yet, and the bytes of their bodies."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0


@stream_request_body
class Handler(RequestHandler):
    """A request. Subclasses read `body` once it is whole."""

    def initialize(self, predictions: Predictions, limit: int, on_their_way: OnTheirWay) -> None:
        """Takes what the application gives to all handlers.

        Args:
            predictions: Predictions of the server.
            limit: Bytes that a body may have.
            on_their_way: Counts requests.
        """
        self.predictions = predictions
        self._limit = limit
        self._chunks: list[bytes] = []
        self._received = 0
        self._on_their_way = on_their_way
        self._counted = False
        self._held = 0
        self._crowded = False
        self._dropped = False

    @property
    def body(self) -> bytes:
        """The body, which is whole.

        Raises:
            HTTPError: If it is too large or encoded.
            RequestError: If too many bodies were on their way at once.
        """
        if self.request.headers.get("Content-Encoding", "identity") != "identity":
            raise HTTPError(415, reason="send the body without Content-Encoding")
        if self._received > self._limit:
            raise HTTPError(413)
        if self._crowded:
            raise RequestError(
                Fault.OVERLOADED, "too many large requests are on their way; try again later"
            )
        return b"".join(self._chunks)

    def prepare(self) -> None:
        self._on_their_way.count += 1
        self._counted = True
        if self.predictions.draining:
            self.set_header("Connection", "close")
        length = self.request.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > READ_AT_MOST:
            raise HTTPError(413)

    def data_received(self, chunk: bytes) -> None:
        self._received += len(chunk)
        self._crowded |= self._on_their_way.bytes + len(chunk) > _HELD * self._limit
        if self._received > self._limit or self._crowded:
            if not self._dropped:
                self.predictions.metrics.dropped_body()
            self._dropped = True
            self._drop()
        else:
            self._chunks.append(chunk)
            self._held += len(chunk)
            self._on_their_way.bytes += len(chunk)

    def on_finish(self) -> None:
        self._gone()

    def on_connection_close(self) -> None:
        self._gone()

    def _gone(self) -> None:
        if self._counted:
            self._counted = False
            self._on_their_way.count -= 1
            self._drop()

    def _drop(self) -> None:
        self._chunks.clear()
        self._on_their_way.bytes -= self._held
        self._held = 0

    def answer(self, value: Any) -> None:
        """Answers with JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(json_values.dump(value))

    def compute_etag(self) -> None:
        """None: hashing answers to requests that are never repeated would cost time."""

    def set_default_headers(self) -> None:
        self.clear_header("Server")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        text = http.HTTPStatus(status_code).phrase
        if isinstance(error, RequestError):
            self.set_status(error.fault.http)
            text = str(error)
        elif status_code == 413:
            text = f"the body is larger than {self._limit:,} bytes; send fewer examples in a request"
        elif isinstance(error, HTTPError) and error.reason:
            text = error.reason
        if self.get_status() == 429:
            self.set_header("Retry-After", "1")
        self.answer({"error": text})

    def log_exception(self, typ: Any, value: BaseException | None, tb: Any) -> None:
        if not isinstance(value, RequestError):
            super().log_exception(typ, value, tb)


class NotFound(Handler):
    """A path that nothing is at."""

    def _refuse(self) -> None:
        raise HTTPError(404, reason=f"there is nothing at {self.request.path!r}")

    get = head = post = put = patch = delete = options = _refuse


def number_of(text: str | None) -> int | None:
    """A version in a path."""
    return int(text) if text else None
