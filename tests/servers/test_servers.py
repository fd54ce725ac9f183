"""The servers that other tests rely on: that they are real, closed to strangers, and gone afterwards."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.servers import programs
from tests.servers.database import Database, ask_with
from tests.servers.mariadb import mariadb
from tests.servers.postgresql import postgresql

pytest_plugins = ["tests.servers.fixtures"]

REPOSITORY = Path(__file__).parents[2]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def log_in(server: Database, password: str) -> list[list[str]]:
    """The server's answer to a client over TCP about itself."""
    if server.scheme == "mysql":
        (client,) = programs.find("mariadb-client", "mariadb")
        command = [client, "--no-defaults", "--host=127.0.0.1", f"--port={server.port}", "--batch"]
        command += [f"--user={server.user}", "--skip-column-names", "--execute=SELECT current_user()"]
        return ask_with(command, {"MYSQL_PWD": password})
    (client,) = programs.find("postgresql-client", "psql")
    command = [client, "-XAt", "-h", "127.0.0.1", "-p", str(server.port), "-U", server.user]
    return ask_with([*command, "-d", "postgres", "-c", "SELECT current_user"], {"PGPASSWORD": password})


@pytest.mark.parametrize("kind", ["mariadb", "postgresql"])
def test_a_database_lets_in_whoever_knows_the_password_only(
    kind: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    assert log_in(server, server.password)[0][0].startswith("tester")
    with pytest.raises(RuntimeError, match=r"(?i)access denied|authentication failed"):
        log_in(server, "wrong")


@pytest.mark.parametrize("start", [mariadb, postgresql])
def test_a_database_runs_as_an_ordinary_user_and_leaves_nothing(start) -> None:
    with start() as server:
        assert answers(server.port)
        assert server.folder.stat().st_uid != 0 or os.geteuid() != 0
        assert (server.folder / "data").is_dir()
        folder, port = server.folder, server.port
    assert not answers(port)
    assert not folder.exists()


def test_a_database_ends_with_the_tests_that_are_killed() -> None:
    code = """
        import time
        from tests.servers.postgresql import postgresql
        with postgresql() as server:
            print(server.port, server.folder, flush=True)
            time.sleep(1500)
    """
    programs.find("postgresql", "postgres", "initdb", "psql")
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    port, folder = process.stdout.readline().split()
    assert answers(int(port))
    process.send_signal(signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 120
    while answers(int(port)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not answers(int(port))
    time.sleep(0.2)
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_server_that_does_not_come_up_says_why() -> None:
    with pytest.raises(RuntimeError, match="no-such-setting"), postgresql(("-c", "no-such-setting=1")):
        pytest.fail("it came up")


def test_a_server_that_is_not_installed_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception) as skipped:
        programs.find("fancydb-server", "fancydbd", "sh")
    assert str(skipped.value) == (
        "fancydbd not found: apt-get install --no-install-recommends fancydb-server"
    )


def test_a_server_that_is_not_installed_fails_if_all_tests_are_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="fancydbd not found"):
        programs.find("fancydb-server", "fancydbd")
