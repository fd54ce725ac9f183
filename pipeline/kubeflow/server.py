"""Requests to a Kubeflow Pipelines server: time-outs, repetitions, and what went wrong in one sentence."""

from __future__ import annotations

import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from components.common.base.errors import ParedownError
from pipeline.kubeflow import connection as kubeflow_connection
from pipeline.kubeflow.connection import Connection

_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0  # doubled with each attempt
_CONNECT_SECONDS = 15.0
_UNREADY = (429, 502, 503, 504)
_LONGEST_MESSAGE = 600


class ServerError(ParedownError):
    """A request that came to nothing.

    Attributes:
        status: HTTP status; None where there was no answer, or half of one.
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


class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        address: Its API's.
        multi_user: Whether runs and experiments belong to namespaces.
    """

    def __init__(self, connection: Connection):
        """Connects, and asks for the server's health.

        Raises:
            ConnectionProblem: Where nothing says which server, or a secret cannot be read.
            ServerError: Where there is no such server, or it refuses.
        """
        self._connection = connection
        self._secrets: list[str] = []
        self._answered = False
        self._connect()
        health = self.call("its health", lambda: self.client.healthzs.get_healthz)
        self.multi_user = bool(health.multi_user)

    def _connect(self) -> None:
        import urllib3

        self.client = kubeflow_connection.client(self._connection)
        self._api = kubeflow_connection.api_client_of(self.client)
        self.address = self._api.configuration.host
        # Repeated here, where it is known what may be asked twice.
        pools = self._api.rest_client.pool_manager.connection_pool_kw
        pools["retries"] = urllib3.Retry(total=0)
        keys = self._api.configuration.api_key.values()
        secrets = [self._connection.token(), self._connection.cookies(), self._api.cookie, *keys]
        self._secrets = [secret for secret in secrets if secret and len(secret) > 3]

    @property
    def page(self) -> str:
        """Address of the user interface, without a slash at its end."""
        page = os.environ.get(kubeflow_connection.UI_VARIABLE) or self._connection.ui_host or self.address
        page = kubeflow_connection.without_user(page)
        return (page if "://" in page else f"http://{page}").split("#")[0].rstrip("/")

    def run_page(self, run_id: str) -> str:
        """Address of a run in the user interface."""
        return f"{self.page}/#/runs/details/{run_id}"

    def namespace(self) -> str | None:
        """The namespace of this pod, or of the settings that the client keeps for its user."""
        return self.client.get_user_namespace() or kubeflow_connection.pod_namespace()

    def call(
        self,
        what: str,
        method: Callable[[], Callable[..., Any]],
        *arguments: Any,
        found: Callable[[], Any] | None = None,
        writes: bool = False,
        **options: Any,
    ) -> Any:
        """Makes a request, again where that may help.

        Args:
            what: What is asked for, for errors: "its health", "to start a run".
            method: Returns the method of the client, which is another one after a new sign-in.
            *arguments: Of the method.
            found: Of a request that changes something: looks whether an attempt that failed has done it
                nevertheless, and returns that, or None.
            writes: Whether the request changes something.
            **options: Of the method.

        Returns:
            What the method returns, or `found`.

        Raises:
            ServerError: Where all came to nothing.
        """
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
            try:
                return self._ask(what, method, *arguments, **options)
            except ServerError as error:
                taken = error.status == 409 and found is not None
                if found is not None and (error.sent or taken):
                    done = found()
                    if done is not None:
                        return done
                    error.sent = error.sent and error.status != 500
                # Who has never answered is likely to be somebody else.
                again = error.passing and (error.sent or error.status or self._answered)
                again = again and not (writes and (error.status == 500 or error.late))
                if not again or (writes and error.sent and found is None) or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def refresh(self) -> None:
        """Signs in anew: reads the token's file again. Raises as the constructor does."""
        self._connect()

    def log(self, run_id: str, pod: str) -> str | None:
        """The log of a task's pod; None where the server does not have it.

        KFP's API has a way to it that its client lacks, and not every installation lets one go it.
        """
        path = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
        try:
            self._request(
                "a log",
                self._api.call_api,
                path,
                "GET",
                {"run_id": run_id, "node_id": pod},
                [],
                {"Accept": "text/plain"},
                response_type="str",
                auth_settings=["Bearer"],
                _return_http_data_only=True,
            )
        except ServerError:
            return None
        # What the client makes of it depends on whether it happens to be JSON.
        return str(self._api.last_response.data)

    def _ask(
        self, what: str, method: Callable[[], Callable[..., Any]], *arguments: Any, **options: Any
    ) -> Any:
        answer = self._request(what, method(), *arguments, **options)
        self._check_answer(what)
        self._answered = True
        return answer

    def _request(self, what: str, method: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        import kfp_server_api
        import urllib3

        timeout = (min(_CONNECT_SECONDS, self._connection.timeout), self._connection.timeout)
        try:
            return method(*arguments, _request_timeout=timeout, **options)
        except kfp_server_api.ApiException as error:
            raise self._refused(what, error) from None
        except urllib3.exceptions.HTTPError as error:
            raise self._cut(what, error) from None
        except OSError as error:  # a service account's token, which is read for each request
            raise ServerError(f"{error.filename} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # The client's way to say that JSON is not of the shape of its models.
            raise ServerError(
                self._scrubbed(
                    f"{self.address} answers what KFP's client does not understand ({type(error).__name__}: {error}); "
                    "is it Kubeflow Pipelines 2?"
                ),
                sent=True,
            ) from None

    def _check_answer(self, what: str) -> None:
        """KFP's client takes a web page, or half of an answer, for an object without attributes."""
        response = self._api.last_response
        text = response.data if isinstance(response.data, str) else response.data.decode("utf-8", "replace")
        try:
            json.loads(text)
        except ValueError:
            if _is_page(text, response.getheader("content-type")):
                raise ServerError(self._page_message()) from None
            raise ServerError(
                f"{self.address} broke off its answer after {len(text)} characters when {_asked(what)}; try again, and "
                "look at what is between here and there: a proxy, a port-forward",
                passing=True,
                sent=True,
            ) from None

    def _page_message(self) -> str:
        return (
            f"{self.address} answers with a web page, and not as the API of Kubeflow Pipelines does: if it is a "
            "sign-in, give --token-file or --cookies-file; if it is a dashboard, --host is often its address with "
            "/pipeline at the end"
        )

    def _refused(self, what: str, error: Any) -> ServerError:
        """An answer with a status that is none of success."""
        status, told = error.status, _told(error.body)
        told = self._scrubbed(told)
        said = f": {told}" if told else f" ({error.reason})" if error.reason else ""
        if status == 401:
            return ServerError(
                f"{self.address} does not know who asks (401){said}; give --token-file, --cookies-file or "
                "--service-account-token, or renew what is in it",
                status,
            )
        if status == 403:
            return ServerError(
                f"{self.address} does not allow {what} (403){said}; check --namespace, and ask its owner for the role "
                "kubeflow-edit",
                status,
            )
        if _is_page(error.body or "", (error.headers or {}).get("content-type")) and status < 500:
            return ServerError(self._page_message(), status)
        if status == 404 and what == "its health":
            return ServerError(
                f"{self.address} has no API of Kubeflow Pipelines 2 (404); of a Kubeflow dashboard --host is its "
                "address with /pipeline at the end",
                status,
            )
        if status in _UNREADY or status >= 500:
            return ServerError(
                f"{self.address} failed with {status} when {_asked(what)}{said}; look at the log: kubectl logs -n "
                "kubeflow deploy/ml-pipeline",
                status,
                passing=True,
                sent=status != 429,
                late=status == 504,
            )
        return ServerError(f"{self.address} refuses {what} ({status}){said}", status)

    def _cut(self, what: str, error: Exception) -> ServerError:
        """A connection that did not come about, or was lost."""
        import urllib3.exceptions as failures

        chain = _chain(error)
        parts = urlsplit(self.address)
        port = parts.port or (443 if parts.scheme == "https" else 80)

        def has(*kinds: type[BaseException]) -> bool:
            return any(isinstance(one, kinds) for one in chain)

        if has(failures.ProxyError):
            return ServerError(
                f"the proxy {without_user(self._connection.proxy)} does not connect; check --proxy"
            )
        if has(socket.gaierror):
            return ServerError(
                f"no server is called {parts.hostname!r}; check the spelling of --host, and whether its network, such "
                "as a VPN, is connected",
                passing=_temporary(chain),
            )
        if has(ssl.SSLCertVerificationError):
            return ServerError(
                f"the certificate of {self.address} is not trusted; give its authority's with --ca-cert FILE"
            )
        if has(ssl.SSLError, failures.SSLError):
            return ServerError(
                f"{parts.hostname}:{port} does not answer in TLS; if it is a port-forward, write --host "
                f"http://{parts.netloc}{parts.path}"
            )
        if has(ConnectionRefusedError):
            return ServerError(
                f"nothing listens at {parts.hostname}:{port}; {self._awake(parts.hostname or '', port)}",
                passing=True,
            )
        if has(failures.ResponseError):  # it redirects without end
            return ServerError(self._page_message())
        if has(failures.ConnectTimeoutError):
            return ServerError(
                f"{parts.hostname}:{port} does not take a connection; check --host, and whether a firewall or a VPN is "
                "in between",
                passing=True,
            )
        if has(failures.ReadTimeoutError, TimeoutError):
            return ServerError(
                f"{self.address} did not answer within {self._connection.timeout:g} s when {_asked(what)}; look "
                "whether it is well, or give it longer with --request-timeout",
                passing=True,
                sent=True,
                late=True,
            )
        if has(failures.NewConnectionError):
            return ServerError(f"{parts.hostname}:{port} cannot be reached: {chain[-1]}", passing=True)
        return ServerError(
            f"{self.address} broke off the connection when {_asked(what)}; try again, and look at what is between "
            "here and there: a proxy, a port-forward",
            passing=True,
            sent=True,
        )

    def _awake(self, hostname: str, port: int) -> str:
        if hostname == "localhost" or hostname.startswith("127."):
            return f"is the port-forward running? kubectl port-forward -n kubeflow svc/ml-pipeline-ui {port}:80"
        return "check the port of --host, and whether Kubeflow Pipelines is up"

    def _scrubbed(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "…")
        return text


def without_user(url: str | None) -> str:
    """As `kubeflow_connection.without_user`; nothing for None."""
    return kubeflow_connection.without_user(url or "")


def _chain(error: BaseException | None) -> list[BaseException]:
    """An error and what it was made of, the cause last."""
    found: list[BaseException] = []
    while isinstance(error, BaseException) and error not in found:
        found.append(error)
        reason = getattr(error, "reason", None)
        inner = [part for part in error.args if isinstance(part, BaseException)]
        error = (
            reason
            if isinstance(reason, BaseException)
            else (error.__cause__ or error.__context__ or (inner[0] if inner else None))
        )
    return found


def _temporary(chain: list[BaseException]) -> bool:
    return any(isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN for one in chain)


def _asked(what: str) -> str:
    return f"asked {what}" if what.startswith("to ") else f"asked for {what}"


def _is_page(text: str, content_type: str | None) -> bool:
    return "html" in (content_type or "").lower() or bool(
        re.match(r"\s*<(!doctype|html)", text, re.IGNORECASE)
    )


def _told(body: str | None) -> str:
    """What the server says is wrong, without where in its program: gRPC's gateway and the upload differ."""
    try:
        answer = json.loads(body or "")
    except ValueError:
        text = "" if _is_page(body or "", None) else body or ""
    else:
        keys = ("message", "error_message", "error_details", "error")
        text = next((str(answer[key]) for key in keys if isinstance(answer, dict) and answer.get(key)), "")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " …"
