"""Why a request to a Kubeflow Pipelines server failed, in one sentence with the fix."""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from urllib3 import exceptions as failures

from components.common.base.errors import ParedownError
from pipeline.kubeflow.connection import Connection, without_user

if TYPE_CHECKING:
    import kfp_server_api

FAILING = (429, 500, 502, 503, 504)
"""HTTP statuses after which the same request may succeed later."""

_LONGEST_MESSAGE = 600


class ServerError(ParedownError):
    """A request that failed.

    Attributes:
        status: HTTP status; None if there was no answer, or half of one.
        passing: Whether the same request may succeed later.
        sent: Whether the server may have done what it was asked.
        late: Whether it may still do so.
    """

    def __init__(
        self,
        message: str,
        status: int | None = None,
        passing: bool = False,
        sent: bool = False,
        late: bool = False,
    ):
        super().__init__(message)
        self.status = status
        self.passing = passing
        self.sent = sent
        self.late = late


def web_page(address: str) -> ServerError:
    """The error of a server that answers with HTML."""
    return ServerError(
        f"{address} answers with a web page instead of the API of Kubeflow Pipelines; if it is a sign-in page, give "
        "--token-file or --cookies-file; if it is a dashboard, add /pipeline to --host"
    )


def is_page(text: str, content_type: str | None) -> bool:
    """Whether an answer is HTML."""
    return "html" in (content_type or "").lower() or bool(
        re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE)
    )


def broken_off(address: str, what: str, part: str) -> ServerError:
    """The error of an answer that ends too early.

    Args:
        address: The server's.
        what: What was asked for: "its health", "to start a run".
        part: "the connection", or how much of the answer there is.
    """
    return ServerError(
        f"{address} broke off {part} when {_asked(what)}; try again, and check what is between this machine and the "
        "server, such as a proxy or a port-forward",
        passing=True,
        sent=True,
    )


def of_status(address: str, what: str, error: kfp_server_api.ApiException) -> ServerError:
    """The error of an answer whose HTTP status is not one of success."""
    status: int = error.status
    said = _message(error.body) or error.reason
    said = f": {said}" if said else ""
    if status == 401:
        return ServerError(
            f"{address} did not accept the sign-in (401){said}; give --token-file, --cookies-file or "
            "--service-account-token, or renew the token or cookie",
            status,
        )
    if status == 403:
        return ServerError(
            f"{address} does not allow {what} (403){said}; check --namespace, and ask its owner for the role "
            "kubeflow-edit",
            status,
        )
    if is_page(error.body or "", (error.headers or {}).get("content-type")) and status < 500:
        return web_page(address)
    if status == 404 and what == "its health":
        return ServerError(
            f"{address} does not have the API of Kubeflow Pipelines 2 (404); for a Kubeflow dashboard, add /pipeline "
            "to --host",
            status,
        )
    if status in FAILING or status >= 500:
        return ServerError(
            f"{address} failed with {status} when {_asked(what)}{said}; see its log: kubectl logs -n kubeflow "
            "deploy/ml-pipeline",
            status,
            passing=True,
            sent=status != 429,
            late=status == 504,
        )
    return ServerError(f"{address} refuses {what} ({status}){said}", status)


def of_connection(address: str, what: str, error: Exception, connection: Connection) -> ServerError:
    """The error of a connection that could not be made, or was lost."""
    chain = list(_chain(error))
    parts = urlsplit(address)
    host = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"

    def has(*kinds: type[BaseException]) -> bool:
        return any(isinstance(one, kinds) for one in chain)

    if has(failures.ProxyError):
        return ServerError(
            f"the proxy {without_user(connection.proxy)} does not accept connections; check --proxy"
        )
    if has(socket.gaierror):
        return ServerError(
            f"there is no server named {parts.hostname!r}; check the spelling of --host and the connection to its "
            "network, such as a VPN",
            passing=any(
                isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN for one in chain
            ),
        )
    if has(ssl.SSLCertVerificationError):
        return ServerError(
            f"the certificate of {address} is not trusted; give its authority's certificate with --ca-cert FILE"
        )
    if has(ssl.SSLError, failures.SSLError):
        return ServerError(
            f"{host} does not answer in TLS; if it is a port-forward, write --host http://{parts.netloc}{parts.path}"
        )
    if has(ConnectionRefusedError):
        return ServerError(
            f"nothing listens at {host}; {_is_it_up(parts.hostname or '', host)}", passing=True
        )
    if has(failures.ResponseError):  # it redirects without end
        return web_page(address)
    if has(failures.NewConnectionError):
        return ServerError(f"{host} cannot be reached: {chain[-1]}", passing=True)
    if has(failures.ConnectTimeoutError):
        return ServerError(
            f"timed out while connecting to {host}; check --host, and whether a firewall or a VPN is in between",
            passing=True,
        )
    if has(failures.ReadTimeoutError, TimeoutError):
        return ServerError(
            f"{address} did not answer within {connection.timeout:g} s when {_asked(what)}; check the server, or wait "
            "longer with --request-timeout",
            passing=True,
            sent=True,
            late=True,
        )
    return broken_off(address, what, "the connection")


def _is_it_up(hostname: str, host: str) -> str:
    if hostname == "localhost" or hostname.startswith("127."):
        port = host.rpartition(":")[2]
        return f"is the port-forward running? kubectl port-forward -n kubeflow svc/ml-pipeline-ui {port}:80"
    return "check the port of --host, and whether Kubeflow Pipelines is running"


def _asked(what: str) -> str:
    return f"asked {what}" if what.startswith("to ") else f"asked for {what}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, the innermost last: urllib3 keeps them in `reason` or in the arguments."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        yield error
        seen.append(error)
        inner = [getattr(error, "reason", None), error.__cause__, error.__context__, *error.args]
        error = next((part for part in inner if isinstance(part, BaseException)), None)


def _message(body: str | None) -> str:
    """The server's message: its gRPC gateway and its upload handler use different keys."""
    try:
        answer = json.loads(body or "")
    except ValueError:
        text = "" if is_page(body or "", None) else body or ""
    else:
        keys = ("message", "error_message", "error_details", "error")
        text = next((str(answer[key]) for key in keys if isinstance(answer, dict) and answer.get(key)), "")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"
