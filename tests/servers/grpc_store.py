"""An ML Metadata gRPC server on loopback: ml_metadata's own service, answered from a local store.

The server that Google publishes is a container image; its service and its library are in the wheel.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as library
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

_SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


@contextmanager
def metadata_server(
    store: metadata_store_pb2.ConnectionConfig, credentials: grpc.ServerCredentials | None = None
) -> Iterator[int]:
    """Serves a store until the block ends.

    Args:
        store: The store that it answers from.
        credentials: To speak TLS with.

    Yields:
        The port on 127.0.0.1.
    """
    handle = library.CreateMetadataStore(
        store.SerializeToString(), metadata_store_pb2.MigrationOptions().SerializeToString()
    )
    lock = threading.Lock()  # a store is one connection

    def answer(method: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def call(request: bytes, context: grpc.ServicerContext) -> bytes:
            with lock:
                response, message, status = getattr(library, method)(handle, request)
            if status:
                context.abort(_STATUS[status], message.decode("utf-8"))
            return response

        return call

    methods = {
        method.name: grpc.unary_unary_rpc_method_handler(answer(method.name))
        for method in _SERVICE.methods
        if hasattr(library, method.name)
    }
    server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=[grpc.method_handlers_generic_handler(_SERVICE.full_name, methods)],
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=1).wait()
