"""A PostgreSQL server of a test's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers import account, programs
from tests.servers.database import Database, ask_with, free_port, running

PACKAGE = "postgresql"
SYSTEM_USER = "postgres"
ADMINISTRATOR = "administrator"
USER, PASSWORD = "tester", 'it\'s a "hard" \\ one; #1 %40'


@contextmanager
def postgresql(arguments: tuple[str, ...] = ()) -> Iterator[Database]:
    """Starts a server on a free loopback port, in a folder of its own, and stops it.

    Args:
        arguments: More arguments of postgres.
    """
    daemon, initialize, client = programs.find(PACKAGE, "postgres", "initdb", "psql")
    with account.folder(SYSTEM_USER, "paredown-postgresql-") as folder:
        data, port = folder / "data", free_port()
        subprocess.run(
            [
                *(initialize, "-D", data, "-U", ADMINISTRATOR, "-E", "UTF8", "--locale=C.UTF-8"),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"),
            ],
            check=True,
            cwd=folder,
            stdout=subprocess.DEVNULL,
            **account.popen_arguments(SYSTEM_USER),
        )
        settings = {
            "port": port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": folder,
            "fsync": "off",  # nothing is kept when it ends
            "shared_buffers": "32MB",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        asking = [client, "-X", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1"]
        asking += ["-h", str(folder), "-p", str(port), "-U", ADMINISTRATOR]

        def ask(statement: str, database: str = "postgres") -> list[list[str]]:
            return ask_with([*asking, "-d", database, "-c", statement], {"PATH": os.environ["PATH"]})

        with running([daemon, "-D", str(data), *options, *arguments], SYSTEM_USER, folder / "log", ask):
            ask(f"CREATE USER {USER} CREATEDB PASSWORD '{PASSWORD.replace(chr(39), chr(39) * 2)}'")
            yield Database("postgresql", port, USER, PASSWORD, Path(folder), ask)
