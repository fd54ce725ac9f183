"""How to reach a Kubeflow Pipelines server and sign in: the arguments of `kfp.Client`.

Secrets come from files or the environment, never from the command line, where others can read them.
Imports nothing heavy before `client`.
"""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from components.common.base.errors import ParedownError
from pipeline.base import secret_file
from pipeline.base.secret_file import SecretFileError

if TYPE_CHECKING:
    import kfp
    import kfp_server_api

TOKEN_VARIABLE = "PAREDOWN_KFP_TOKEN"
COOKIES_VARIABLE = "PAREDOWN_KFP_COOKIES"
# The client's own.
HOST_VARIABLE = "KF_PIPELINES_ENDPOINT"
UI_VARIABLE = "KF_PIPELINES_UI_ENDPOINT"
SERVICE_ACCOUNT_VARIABLE = "KF_PIPELINES_SA_TOKEN_PATH"

_NO_HOST = "http://localhost"  # the client's if nothing is configured
_SERVICE_ACCOUNT_TOKEN = "/var/run/secrets/kubeflow/pipelines/token"
_POD_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class ConnectionProblem(ParedownError):
    """Options or the environment do not say how to reach a server."""


@dataclass(frozen=True)
class Connection:
    """Options of a connection, as `kfp.Client` calls them.

    Attributes:
        host: Address of the API; None takes that of the cluster that this runs in, or of kubectl's context.
        ui_host: Address of the user interface, if it differs.
        token_file: File with a token; read again if the server refuses the token.
        cookies_file: File with the value of the header `Cookie`.
        service_account_token: File with a token that Kubernetes renews; empty for its usual place.
        client_id: OAuth client id of an Identity-Aware Proxy.
        other_client_id: OAuth client id of a desktop application, to sign in as a user.
        ca_cert: File with certificates of the authorities to trust.
        verify_tls: False to trust any certificate.
        proxy: URL of an HTTP proxy.
        kube_context: Context of kubectl.
        timeout: Seconds that one request may take.
    """

    host: str | None = None
    ui_host: str | None = None
    token_file: str | None = field(default=None, repr=False)
    cookies_file: str | None = field(default=None, repr=False)
    service_account_token: str | None = None
    client_id: str | None = None
    other_client_id: str | None = None
    ca_cert: str | None = None
    verify_tls: bool = True
    proxy: str | None = None
    kube_context: str | None = None
    timeout: float = 60.0

    def token(self) -> str | None:
        """The token, from its file or the environment.

        Raises:
            ConnectionProblem: If the file cannot be read, or does not hold a token.
        """
        if self.service_account_token is not None and self.token_file is None:
            return None
        return _secret(self.token_file, "--token-file", TOKEN_VARIABLE, private=True)

    def cookies(self) -> str | None:
        """The cookies, from their file or the environment; raises as `token`."""
        return _secret(self.cookies_file, "--cookies-file", COOKIES_VARIABLE, private=True)

    def account(self) -> str | None:
        """The file of a service account's token, which is read for each request; raises as `token`."""
        if self.token() is not None:
            return None
        path = os.environ.get(SERVICE_ACCOUNT_VARIABLE) or None
        if self.service_account_token is not None:
            path = self.service_account_token or path or _SERVICE_ACCOUNT_TOKEN
        if path is not None:
            # Kubernetes mounts it, and sets its permissions.
            _secret(path, "--service-account-token", SERVICE_ACCOUNT_VARIABLE, private=False)
        return path


def _secret(path: str | None, option: str, variable: str, private: bool) -> str | None:
    place = option if path is not None else variable
    try:
        text = secret_file.read(path, private) if path is not None else os.environ.get(variable, "")
    except SecretFileError as error:
        raise ConnectionProblem(f"{option}: {error}") from None
    text = text.strip()
    if not text and path is None:
        return None
    # HTTP takes one line of ASCII; the library would show the secret in its error.
    if not text or not text.isascii() or not text.isprintable():
        raise ConnectionProblem(f"{place}: must hold one line of ASCII characters")
    return text


def checked_host(host: str) -> str:
    """The address of an API, from what people copy from their browser.

    Args:
        host: With or without `https://` and the end of a page's address.

    Raises:
        ConnectionProblem: If it is not an address.
    """
    text = host.strip()
    try:
        parts = urlsplit(text if "://" in text else f"https://{text}")
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or " " in text:
        raise ConnectionProblem(
            f"--host {without_user(text)}: is not an address; write e.g. http://localhost:8080 or "
            "https://kubeflow.example.com/pipeline"
        )
    if parts.username or parts.password:
        raise ConnectionProblem(
            f"--host {without_user(text)}: has a user name in it, which the API does not accept; remove it and "
            "give --token-file or --cookies-file"
        )
    path = parts.path.split("/apis/")[0].rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


def without_user(url: str | None) -> str:
    """A URL without a user's name and password; empty for None."""
    scheme, separator, rest = (url or "").rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def pod_namespace() -> str | None:
    """The namespace of the pod that this runs in; None outside of a cluster."""
    try:
        return _POD_NAMESPACE.read_text(encoding="utf-8").strip() or None
    except OSError:
        return None


def client(connection: Connection) -> kfp.Client:
    """A client of KFP. Importing it takes some seconds; the server is not asked anything.

    Raises:
        ConnectionProblem: If no server is configured, or a sign-in fails.
    """
    import google.auth.exceptions
    import requests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kfp
        import kfp_server_api
        import urllib3
        from kfp.client.set_volume_credentials import ServiceAccountTokenVolumeCredentials

        class Client(kfp.Client):
            """The constructor would ask for the server's health, five times, with a traceback for each and no time-out,
            and then write a namespace into the user's settings.
            """

            def get_kfp_healthz(self, sleep_duration: int = 5) -> kfp_server_api.V2beta1GetHealthzResponse:
                return kfp_server_api.V2beta1GetHealthzResponse(multi_user=False)

        if not connection.verify_tls:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        token, cookies, account = connection.token(), connection.cookies(), connection.account()
        host = connection.host or os.environ.get(HOST_VARIABLE)
        host = checked_host(host) if host else None
        try:
            with contextlib.redirect_stdout(io.StringIO()) as reported:
                made = Client(
                    host=host,
                    client_id=connection.client_id,
                    other_client_id=connection.other_client_id,
                    existing_token=token,
                    cookies=cookies,
                    proxy=connection.proxy,
                    ssl_ca_cert=connection.ca_cert,
                    kube_context=connection.kube_context,
                    credentials=ServiceAccountTokenVolumeCredentials(account) if account else None,
                    ui_host=connection.ui_host,
                    verify_ssl=connection.verify_tls,
                )
        except (google.auth.exceptions.GoogleAuthError, requests.RequestException) as error:
            raise ConnectionProblem(f"signing in with Google failed: {type(error).__name__}") from None
        except OSError as error:
            raise ConnectionProblem(
                f"{error.filename or 'a file'} cannot be read: {error.strerror}"
            ) from None
        except ValueError as error:
            raise ConnectionProblem(f"KFP's client does not accept these settings: {error}") from None
    _name_as_before(made)
    address = api_client_of(made).configuration.host
    if host is None and (address == _NO_HOST or "Failed to load" in reported.getvalue()):
        raise ConnectionProblem(
            f"give --host or set {HOST_VARIABLE}; this does not run in a cluster, and kubectl has no context to use "
            "instead"
        )
    return made


def _name_as_before(made: kfp.Client) -> None:
    """Gives methods their short names, too: since 2.16 `runs.get_run` is `runs.run_service_get_run`."""
    for service in (made.experiments, made.healthzs, made.pipelines, made.runs):
        methods = vars(service)
        for name, method in list(methods.items()):
            methods.setdefault(name.partition("_service_")[2] or name, method)


def api_client_of(made: kfp.Client) -> kfp_server_api.ApiClient:
    """The object that a client of KFP sends its requests with."""
    return made.runs.get_run.__self__.api_client
