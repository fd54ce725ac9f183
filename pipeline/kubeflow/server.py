"""Requests to a Kubeflow Pipelines server, with time-outs and retries."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import urllib3

from pipeline.kubeflow import connection as connections
from pipeline.kubeflow import server_error
from pipeline.kubeflow.connection import Connection
from pipeline.kubeflow.server_error import ServerError

if TYPE_CHECKING:
    import kfp

_ATTEMPTS = 4
_BACKOFF_SECONDS = 1.0
_CONNECT_SECONDS = 15.0

_Row = TypeVar("_Row")
Method = Callable[["kfp.Client"], Callable[..., Any]]
"""Picks the method to call from the client, which is replaced by a new sign-in."""


class Server:
    """A Kubeflow Pipelines server.

    Attributes:
        client: KFP's client of it.
        address: Address of its API.
        multi_user: Whether runs and experiments belong to namespaces.
    """

    def __init__(self, connection: Connection):
        """Connects, and asks for the server's health.

        Raises:
            ConnectionProblem: If no server is configured, or a secret cannot be read.
            ServerError: If there is no such server, or it refuses.
        """
        self._connection = connection
        self._connect()
        # A server that never answered is probably a wrong address: not worth a second connection.
        health = self._request("its health", lambda client: client.healthzs.get_healthz, _retry(connect=0))
        self.multi_user = bool(health.multi_user)

    def _connect(self) -> None:
        self.client = connections.client(self._connection)
        # urllib3 warns of each retry; KFP's client sets the level.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._api = connections.api_client_of(self.client)
        self.address: str = self._api.configuration.host
        self._retry = _retry(connect=_ATTEMPTS - 1)
        keys = self._api.configuration.api_key.values()
        secrets = [self._connection.token(), self._connection.cookies(), self._api.cookie, *keys]
        self._secrets: list[str] = [secret for secret in secrets if secret and len(secret) > 3]

    @property
    def page(self) -> str:
        """Address of the user interface, without a slash at its end."""
        page = os.environ.get(connections.UI_VARIABLE) or self._connection.ui_host or self.address
        page = connections.without_user(page)
        return (page if "://" in page else f"http://{page}").split("#")[0].rstrip("/")

    def namespace(self) -> str | None:
        """The namespace of this pod, or of the settings that KFP's client keeps for its user."""
        return self.client.get_user_namespace() or connections.pod_namespace()

    def read(self, what: str, method: Method, *arguments: Any, **options: Any) -> Any:
        """Makes a request that changes nothing; up to four times while the server fails.

        Args:
            what: What is asked for, for errors: "its health".
            method: The method of the client.
            *arguments: Of the method.
            **options: Of the method.

        Raises:
            ServerError: If it failed.
        """
        return self._request(what, method, self._retry, *arguments, **options)

    def write(
        self,
        what: str,
        method: Method,
        *arguments: Any,
        find: Callable[[], _Row | None],
        **options: Any,
    ) -> _Row:
        """Makes a request that creates something, once.

        If the answer is lost, looks for what was to be created, and asks a second time only if it is not there.

        Args:
            what: What is asked for, for errors: "to start a run".
            method: The method of the client.
            *arguments: Of the method.
            find: Returns what was to be created; None if it does not exist.
            **options: Of the method.

        Raises:
            ServerError: If it failed; `sent` if it may have been done.
        """
        for last in (False, True):
            try:
                return self._request(what, method, self._retry, *arguments, **options)
            except ServerError as error:
                if error.sent or error.status == 409:
                    found = find()
                    if found is not None:
                        return found
                    error.sent = error.sent and error.status != 500
                if last or not error.passing or error.late or error.status == 500:
                    raise
            time.sleep(_BACKOFF_SECONDS)
        raise AssertionError("the last attempt returns or raises")

    def refresh(self) -> None:
        """Signs in again, with the token that its file has now. Raises as the constructor does."""
        self._connect()

    def log(self, run_id: str, pod: str) -> str | None:
        """The log of a task's pod; None if the server does not have it.

        KFP's API gives logs, but its client has no method for them and not every installation allows it.
        """
        path = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
        try:
            self._call(
                "a log",
                self._api.call_api,
                urllib3.Retry(total=0),
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
        # The client's return value depends on whether the log happens to be JSON.
        return str(self._api.last_response.data)

    def _request(
        self, what: str, method: Method, retry: urllib3.Retry, *arguments: Any, **options: Any
    ) -> Any:
        answer = self._call(what, method(self.client), retry, *arguments, **options)
        self._check_answer(what)
        return answer

    def _call(
        self, what: str, method: Callable[..., Any], retry: urllib3.Retry, *arguments: Any, **options: Any
    ) -> Any:
        import kfp_server_api  # takes a second

        timeout = (min(_CONNECT_SECONDS, self._connection.timeout), self._connection.timeout)
        self._api.rest_client.pool_manager.connection_pool_kw["retries"] = retry
        try:
            return method(*arguments, _request_timeout=timeout, **options)
        except kfp_server_api.ApiException as error:
            raise self._without_secrets(server_error.of_status(self.address, what, error)) from None
        except urllib3.exceptions.HTTPError as error:
            raise server_error.of_connection(self.address, what, error, self._connection) from None
        except OSError as error:  # a service account's token, which is read for each request
            raise ServerError(f"{error.filename} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, AttributeError) as error:
            # How the client reports JSON that does not fit its models.
            raise self._without_secrets(
                ServerError(
                    f"{self.address} gives an answer that KFP's client does not understand ({type(error).__name__}: "
                    f"{error}); is it Kubeflow Pipelines 2?",
                    sent=True,
                )
            ) from None

    def _check_answer(self, what: str) -> None:
        """KFP's client takes a web page, or half of an answer, for an object without attributes."""
        response = self._api.last_response
        text = response.data if isinstance(response.data, str) else response.data.decode("utf-8", "replace")
        try:
            json.loads(text)
        except ValueError:
            if server_error.is_page(text, response.getheader("content-type")):
                raise server_error.web_page(self.address) from None
            part = f"its answer after {len(text)} characters"
            raise server_error.broken_off(self.address, what, part) from None

    def _without_secrets(self, error: ServerError) -> ServerError:
        text = str(error)
        for secret in self._secrets:
            text = text.replace(secret, "…")
        error.args = (text,)
        return error


def _retry(connect: int) -> urllib3.Retry:
    """Retries connections of all requests, and failed answers of those that change nothing."""
    return urllib3.Retry(
        total=_ATTEMPTS - 1,
        connect=connect,
        other=0,
        allowed_methods={"GET"},
        status_forcelist=server_error.FAILING,
        backoff_factor=_BACKOFF_SECONDS,
        raise_on_status=False,
        respect_retry_after_header=False,  # which may say hours
    )
