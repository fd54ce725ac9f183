"""The server: two ports, the watch of the folders, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
from tornado import netutil
from tornado.httpserver import HTTPServer
from tornado.web import Application

from components.common.base.errors import ParedownError
from components.common.serving import http_handler, kserve, rest, rpc
from components.common.serving.batcher import BatchLimits
from components.common.serving.http_handler import NotFound, OnTheirWay
from components.common.serving.predictions import Predictions
from components.common.serving.versions import Model

_log = logging.getLogger(__name__)
_STEP = 0.02
_LEAST_RPCS = 1024


class AddressError(ParedownError):
    """The server cannot listen where it was asked to."""


@dataclass(frozen=True)
class ServerOptions:
    """Options of a server.

    Attributes:
        host: Address to listen on.
        rest_port: REST port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one.
        threads: Batches that are predicted at once.
        batching: How requests are gathered.
        timeout: Seconds that a request may take, its body included.
        request_bytes: That a request may have.
        poll: Seconds between two looks at the folders.
        drain: Seconds that requests have to finish when the server ends.
    """

    host: str = "127.0.0.1"
    rest_port: int = 8501
    grpc_port: int = 8500
    threads: int = 2
    batching: BatchLimits = field(default_factory=BatchLimits)
    timeout: float = 30.0
    request_bytes: int = 32 * 1024**2
    poll: float = 1.0
    drain: float = 30.0


@dataclass(frozen=True)
class Listening:
    """The addresses on which a server listens, once it does.

    Attributes:
        host: The address.
        rest_port: REST port.
        grpc_port: gRPC port.
    """

    host: str
    rest_port: int
    grpc_port: int


def run(models: Sequence[Model], options: ServerOptions, on_ready: Callable[[Listening], None]) -> None:
    """Serves until SIGTERM or SIGINT comes, and then until the requests on their way are answered.

    A second signal ends it at once.

    Args:
        models: To serve; their versions may come later.
        options: Options of the server.
        on_ready: Called when it listens.

    Raises:
        AddressError: If it cannot listen.
    """
    asyncio.run(_Server(models, options).run(on_ready))


class _Server:
    def __init__(self, models: Sequence[Model], options: ServerOptions):
        self._models = models
        self._options = options
        self._stop = asyncio.Event()
        self._at_once = asyncio.Event()
        self._on_their_way = OnTheirWay()

    async def run(self, on_ready: Callable[[Listening], None]) -> None:
        options = self._options
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        self._predictions = Predictions(self._models, options.threads, options.batching, options.timeout)
        sockets = self._bind()
        http_server = self._http_server()
        grpc_server, grpc_port = self._grpc_server()
        watcher = ThreadPoolExecutor(1, thread_name_prefix="watch")
        await self._refresh(watcher)
        watch = asyncio.create_task(self._watch(watcher))
        try:
            http_server.add_sockets(sockets)
            await grpc_server.start()
            on_ready(Listening(options.host, sockets[0].getsockname()[1], grpc_port))
            await self._stop.wait()
            await self._drain(http_server, grpc_server)
        finally:
            watch.cancel()
            watcher.shutdown(wait=False, cancel_futures=True)
            self._predictions.close()

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    def _bind(self) -> list[socket.socket]:
        options = self._options
        try:
            return netutil.bind_sockets(options.rest_port, options.host, backlog=1024)
        except OSError as error:
            raise AddressError(
                f"cannot listen on {options.host}:{options.rest_port}: {error.strerror or error}; choose another "
                "port or address"
            ) from None

    def _http_server(self) -> HTTPServer:
        shared: dict[str, Any] = {
            "predictions": self._predictions,
            "limit": self._options.request_bytes,
            "on_their_way": self._on_their_way,
        }
        routes = [(pattern, handler, shared) for pattern, handler in (*rest.routes(), *kserve.routes())]
        application = Application(
            routes,
            default_handler_class=NotFound,
            default_handler_args=shared,
            log_function=lambda handler: None,
        )
        return HTTPServer(
            application,
            max_body_size=max(http_handler.READ_AT_MOST, self._options.request_bytes),
            body_timeout=self._options.timeout,
            idle_connection_timeout=max(60.0, self._options.timeout),
        )

    def _grpc_server(self) -> tuple[grpc.aio.Server, int]:
        options = self._options
        server = grpc.aio.server(
            # The queue bounds waiting requests; this bounds the messages that are being read.
            maximum_concurrent_rpcs=max(_LEAST_RPCS, 4 * options.batching.queue),
            options=[
                ("grpc.max_receive_message_length", options.request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        rpc.add_services(server, self._predictions)
        host = f"[{options.host}]" if ":" in options.host else options.host
        try:
            return server, server.add_insecure_port(f"{host}:{options.grpc_port}")
        except RuntimeError:
            raise AddressError(
                f"cannot listen on {options.host}:{options.grpc_port}; choose another port or address"
            ) from None

    async def _watch(self, watcher: ThreadPoolExecutor) -> None:
        while True:
            await asyncio.sleep(self._options.poll)
            await self._refresh(watcher)

    async def _refresh(self, watcher: ThreadPoolExecutor) -> None:
        for model in self._models:
            try:
                await asyncio.get_running_loop().run_in_executor(watcher, model.refresh)
            except Exception:  # what is served must not depend on it
                _log.exception("%s: the folder cannot be watched", model.name)

    async def _drain(self, http_server: HTTPServer, grpc_server: grpc.aio.Server) -> None:
        """Takes no more connections, and waits for the requests that are on their way."""
        self._predictions.draining = True
        http_server.stop()
        finished = asyncio.gather(grpc_server.stop(self._options.drain), self._until_answered())
        await _first(finished, self._at_once.wait(), asyncio.sleep(self._options.drain))
        if self._on_their_way.count:
            _log.warning("%d requests are not answered", self._on_their_way.count)
        await grpc_server.stop(0)
        await http_server.close_all_connections()

    async def _until_answered(self) -> None:
        while self._on_their_way.count:
            await asyncio.sleep(_STEP)


async def _first(*these: Awaitable[Any]) -> None:
    """Waits until one of them ends, and cancels the others."""
    tasks = [asyncio.ensure_future(this) for this in these]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
