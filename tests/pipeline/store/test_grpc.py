"""Stores behind gRPC."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from ml_metadata.proto import metadata_store_pb2

from pipeline.config.metadata_url import StoreError
from pipeline.store.connection import connect
from tests.pipeline.store.notes import put
from tests.servers.grpc_store import metadata_server

pytest_plugins = ["tests.servers.fixtures"]


def test_a_grpc_server_gives_answers_of_more_than_four_megabytes(grpc_url: str) -> None:
    store = connect(grpc_url, write=True)
    put(store, "long", "x" * 6_000_000)
    (context,) = store.get_contexts()
    assert len(context.custom_properties["text"].string_value) == 6_000_000


def test_a_grpc_error_keeps_its_kind(grpc_url: str) -> None:
    from ml_metadata import errors

    store = connect(grpc_url, write=True)
    put(store, "once", "")
    with pytest.raises(errors.AlreadyExistsError):
        put(store, "once", "")


def test_what_is_not_a_grpc_server_is_reported() -> None:
    class Other(grpc.GenericRpcHandler):
        def service(self, details: Any) -> None:
            return None

    from concurrent.futures import ThreadPoolExecutor

    other = grpc.server(ThreadPoolExecutor(1), handlers=[Other()])
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    try:
        with pytest.raises(StoreError, match="no ML Metadata gRPC server answers there; check the port"):
            connect(f"grpc://127.0.0.1:{port}", write=True)
    finally:
        other.stop(None)


def test_what_speaks_no_grpc_at_all_is_reported() -> None:
    import threading

    def hang_up() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(StoreError, match="no ML Metadata gRPC server answers there"):
            connect(f"grpc://127.0.0.1:{listening.getsockname()[1]}?timeout=5", write=True)
        listening.shutdown(socket.SHUT_RDWR)


def test_grpcs_speaks_tls_with_a_server_whose_authority_is_named(tmp_path: Path) -> None:
    key, certificate = self_signed()
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificate)
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(tmp_path / "store")
    config.sqlite.connection_mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    credentials = grpc.ssl_server_credentials([(key, certificate)])
    with metadata_server(config, credentials) as port:
        url = f"grpcs://127.0.0.1:{port}?ssl_ca={authority}&timeout=60"
        assert put(connect(url, write=True), "a", "text").name == "a"
        for wrong in (f"grpc://127.0.0.1:{port}?timeout=5", f"grpcs://127.0.0.1:{port}?timeout=5"):
            with pytest.raises(StoreError, match="check the port, and whether the server uses TLS"):
                connect(wrong, write=True)
    with pytest.raises(StoreError, match=r"none\.pem cannot be read: No such file"):
        connect(f"grpcs://127.0.0.1:{port}?ssl_ca={tmp_path}/none.pem", write=True)


def self_signed() -> tuple[bytes, bytes]:
    """A key and a certificate for 127.0.0.1, which is its own authority; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    today = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private, certificate.public_bytes(serialization.Encoding.PEM)
