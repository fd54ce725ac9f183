"""How `paredown submit` reaches a server and signs in: addresses, certificates, secrets, namespaces."""

from __future__ import annotations

import ipaddress
import os
import socket
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.kubeflow import connection as kubeflow_connection
from tests.pipeline.kubeflow import api_server
from tests.pipeline.kubeflow.api_server import ApiServer
from tests.pipeline.kubeflow.conftest import TOKEN, Submit, refusal

pytestmark = pytest.mark.usefixtures("fast")


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            "ftp://example.com",
            "--host ftp://example.com: is not an address; write e.g. http://localhost:8080",
        ),
        ("http://localhost:80a", "is not an address"),
        ("http://[::1", "is not an address"),
        (
            f"https://ada:{TOKEN}@example.com/pipeline",
            "--host https://example.com/pipeline: has a user name",
        ),
    ],
)
def test_an_address_that_is_none(submit: Submit, host: str, said: str) -> None:
    line = refusal(submit("--host", host))
    assert said in line
    assert TOKEN not in line


@pytest.mark.parametrize("end", ["/", "/#/pipelines", "/apis/v2beta1"])
def test_an_address_copied_from_the_browser_is_taken(submit: Submit, server: ApiServer, end: str) -> None:
    assert submit("--host", server.url + end).exit_code == 0


def test_no_host_at_all(compiled_file: Path) -> None:
    result = CliRunner().invoke(main, ["submit", str(compiled_file)])
    assert refusal(result).startswith("give --host or set KF_PIPELINES_ENDPOINT")


def test_the_clients_variables_name_the_host(
    server: ApiServer, compiled_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example.com/pipeline/")
    result = CliRunner().invoke(main, ["submit", str(compiled_file)])
    assert result.exit_code == 0
    assert result.stdout.startswith("https://kubeflow.example.com/pipeline/#/runs/details/")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A file with a key, and an untrusted certificate for this machine."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1))
        .not_valid_after(datetime(2120, 1, 1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificates_are_checked(submit: Submit, certificate: Path) -> None:
    with api_server.running(certificate) as trusted:
        line = refusal(submit("--host", trusted.url))
        assert (
            line
            == f"the certificate of {trusted.url} is not trusted; give its authority's certificate with --ca-cert FILE"
        )
        assert not trusted.state.requests
        assert submit("--host", trusted.url, "--ca-cert", str(certificate)).exit_code == 0
        assert submit("--host", trusted.url, "--insecure").exit_code == 0
        assert len(trusted.state.runs) == 2


def test_a_proxy_is_asked(submit: Submit, server: ApiServer) -> None:
    result = submit("--host", "http://kubeflow.example.com", "--proxy", server.url)
    assert result.exit_code == 0
    assert result.stdout.startswith("http://kubeflow.example.com/#/runs/details/")
    assert server.state.requests[0] == "GET http://kubeflow.example.com/apis/v2beta1/healthz"


def test_a_proxy_that_does_not_connect(submit: Submit) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = refusal(submit("--proxy", f"http://ada:{TOKEN}@127.0.0.1:{port}"))
    assert line == f"the proxy http://127.0.0.1:{port} does not accept connections; check --proxy"


@pytest.mark.parametrize("how", ["file", "environment"])
@pytest.mark.parametrize("what", ["token", "cookies"])
def test_secrets_come_from_files_and_the_environment(
    submit: Submit, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, what: str
) -> None:
    setattr(server.state, what, TOKEN)
    arguments = []
    if how == "file":
        (tmp_path / what).write_text(TOKEN + "\n")
        (tmp_path / what).chmod(0o600)
        arguments = [f"--{what}-file", str(tmp_path / what)]
    else:
        monkeypatch.setenv(f"PAREDOWN_KFP_{what.upper()}", TOKEN)
    result = submit(*arguments)
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output


@pytest.mark.parametrize("how", ["option", "environment"])
def test_the_token_of_a_service_account_is_read_by_the_client(
    submit: Submit, server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    server.state.token = TOKEN
    arguments = []
    if how == "option":
        arguments = ["--service-account-token", str(file)]
    else:
        monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(file))
    assert submit(*arguments).exit_code == 0


@pytest.mark.parametrize("option", ["--token-file", "--cookies-file", "--service-account-token"])
def test_a_secret_whose_file_is_missing_is_named(submit: Submit, tmp_path: Path, option: str) -> None:
    line = refusal(submit(option, str(tmp_path / "none")))
    assert line == f"{option}: {tmp_path / 'none'} cannot be read: No such file or directory"


@pytest.mark.parametrize("content", ["", "two\nlines-of-secrets", "smart“quotes”"])
def test_a_file_without_a_token_is_refused(submit: Submit, tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(0o600)
    result = submit("--token-file", str(file))
    assert refusal(result) == "--token-file: must hold one line of ASCII characters"


@pytest.mark.parametrize("option", ["--token-file", "--cookies-file"])
def test_a_secret_that_others_can_read_is_refused(submit: Submit, tmp_path: Path, option: str) -> None:
    file = tmp_path / "secret"
    file.write_text("a-token")
    file.chmod(0o640)
    line = refusal(submit(option, str(file)))
    assert line == f"{option}: other users can read the secret in {file}; run chmod 600 {file}"
    file.unlink()
    os.mkfifo(file, 0o600)
    assert refusal(submit(option, str(file))) == f"{option}: {file} cannot be read: not a regular file"


def test_namespaces_are_used_throughout(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a", "team-b")
    for namespace in ("team-a", "team-b"):
        assert submit("--namespace", namespace, "--experiment", namespace).exit_code == 0
    assert [row.namespace for row in server.state.pipelines.values()] == ["team-a", "team-b"]
    assert [row.namespace for row in server.state.experiments.values()] == ["team-a", "team-b"]


def test_a_missing_namespace_is_asked_for(submit: Submit, server: ApiServer) -> None:
    server.state.namespaces = ("team-a",)
    assert "has several users; give --namespace" in refusal(submit())


def test_a_namespace_that_is_not_wanted_is_refused(submit: Submit) -> None:
    assert "has no user namespaces; remove --namespace" in refusal(submit("--namespace", "team-a"))


def test_the_namespace_of_the_pod_counts(
    submit: Submit, server: ApiServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "namespace"
    file.write_text("team-a")
    monkeypatch.setattr(kubeflow_connection, "_POD_NAMESPACE", file)
    server.state.namespaces = ("team-a",)
    assert submit().exit_code == 0
    assert not (tmp_path / "no").exists()  # the client would write it into its settings
