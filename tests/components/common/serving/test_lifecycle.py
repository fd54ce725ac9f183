"""The server as a process: how it begins, swaps versions under load, and ends."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.components.common.serving.answers import PREDICT, ROWS, same
from tests.components.common.serving.load import swapped_under_load
from tests.components.common.serving.process import serving
from tests.components.common.serving.small_file import push


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "served" / "mnist"
    push(made, 1)
    return made


def test_versions_are_swapped_under_load_and_the_end_loses_no_request(tmp_path: Path) -> None:
    done = swapped_under_load(tmp_path / "mnist", clients=8, seconds=1.5)
    assert done.failed == []
    assert done.answered > 30
    assert done.versions == {1, 2, 3}
    assert done.exit_code == 0


def test_it_ends_although_a_client_never_finishes_its_request(folder: Path) -> None:
    with serving(folder, "--drain", "0.2") as server:
        connection = socket.create_connection(("127.0.0.1", server.rest))
        connection.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n[".encode())
        while server.get("/v2/health/live")[0] != 200:
            time.sleep(0.01)
        assert server.stop() == 0
        assert "1 requests are not answered" in server.log.read_text()
        connection.close()


def test_what_cannot_be_served_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["serve", *arguments])
        assert done.exit_code == 2
        return done.output

    (tmp_path / "mnist").mkdir()
    assert "No such file" in refused(str(tmp_path / "none"))
    assert f"write the folder of its versions ({folder})" in refused(str(folder / "1"))
    assert "two folders are called 'mnist'" in refused(str(folder), str(tmp_path / "mnist"))
    assert "--name is for one folder" in refused(str(folder), str(tmp_path / "mnist"), "--name", "x")
    assert "'2 parrots' is not a size" in refused(str(folder), "--max-request", "2 parrots")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}" in refused(str(folder), "--rest-port", port)
        assert f"cannot listen on 127.0.0.1:{port}" in refused(
            str(folder), "--grpc-port", port, "--rest-port", "0"
        )


def test_it_waits_for_a_first_version(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    with serving(folder) as server:
        assert server.get("/v2/health/ready") == (503, {"ready": False})
        assert server.get("/v2/health/live")[0] == 200
        assert server.post("/v1/models/digits:predict", {"instances": ROWS})[0] == 404
        push(folder, 5)
        while server.get("/v2/health/ready")[0] != 200:
            time.sleep(0.02)
        assert same(server.post("/v1/models/digits:predict", {"instances": ROWS})[1]["predictions"], 5)
        shutil.rmtree(folder / "5")
        while server.get("/v2/health/ready")[0] == 200:
            time.sleep(0.02)
