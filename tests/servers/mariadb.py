"""A MariaDB server of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import account, programs
from tests.servers.database import Database, ask_with, free_port, running

PACKAGE = "mariadb-server"
SYSTEM_USER = "mysql"
USER, PASSWORD = "tester", 'it\'s a "hard" \\ one; #1 %40'


@contextmanager
def mariadb(arguments: tuple[str, ...] = ()) -> Iterator[Database]:
    """Starts a server on a free loopback port, in a folder of its own, and stops it.

    Args:
        arguments: More arguments of mariadbd.
    """
    daemon, install, client = programs.find(PACKAGE, "mariadbd", "mariadb-install-db", "mariadb")
    with account.folder(SYSTEM_USER, "paredown-mariadb-") as folder:
        data, socket, port = folder / "data", folder / "socket", free_port()
        # Nothing is kept when it ends, so that nothing has to reach the disk.
        settings = [
            "--no-defaults",
            f"--datadir={data}",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=8M",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-flush-method=nosync",
            "--innodb-doublewrite=0",
        ]
        subprocess.run(
            [install, *settings, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            **account.popen_arguments(SYSTEM_USER),
        )
        command = [
            daemon,
            *settings,
            f"--socket={socket}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            f"--pid-file={folder / 'pid'}",
            *arguments,
        ]
        asking = [client, "--no-defaults", f"--socket={socket}", "--user=root", "--batch"]

        def ask(statement: str, database: str = "mysql") -> list[list[str]]:
            return ask_with(
                [*asking, "--skip-column-names", f"--database={database}", f"--execute={statement}"],
                {"PATH": os.environ["PATH"]},
            )

        with running(command, SYSTEM_USER, folder / "log", ask):
            for host in ("127.0.0.1", "localhost"):
                who = f"'{USER}'@'{host}'"
                ask(f"CREATE USER {who} IDENTIFIED BY '{_quoted(PASSWORD)}'; GRANT ALL ON *.* TO {who}")
            yield Database("mysql", port, USER, PASSWORD, Path(folder), ask)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")
