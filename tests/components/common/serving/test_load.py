"""A server in the background, and clients that look at every answer."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from components.common.serving import background, load
from components.common.serving.clients import Client, ClientError, GrpcClient, RestClient
from components.common.serving.load import Question
from components.common.serving.server import Listening, ServerOptions
from components.common.tflite.litert import LiteRTModel
from tests.components.common.serving.process import ROOT
from tests.components.common.serving.small_file import INPUTS, content, push

OPTIONS = ServerOptions(rest_port=0, grpc_port=0, drain=1)
IMAGES = np.random.default_rng(1).normal(size=(6, 1, INPUTS)).astype(np.float32)


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("one", "two")}
    for number, folder in enumerate(folders.values(), 1):
        push(folder, number)
    with background.serving(folders, OPTIONS) as found:
        yield found


def questions(client: Client, model: str, right: int) -> list[Question]:
    interpreter = LiteRTModel(content(right))
    return [
        Question(client.request(model, {"image": image}), interpreter.predict_each({"image": image}))
        for image in IMAGES
    ]


@pytest.mark.parametrize("protocol", [RestClient, GrpcClient])
def test_every_answer_is_compared_to_the_bit(listening: Listening, protocol: type[Client]) -> None:
    with closing(protocol(listening)) as first, closing(protocol(listening)) as second:
        clients = [first, second]
        for model, right, wrong in (("one", 1, False), ("two", 2, False), ("two", 1, True)):
            asked = questions(first, model, right)
            assert load.check(clients, asked) == wrong * len(asked)
            found = load.ask(clients, asked, seconds=0.05)
            assert len(found.times) >= len(clients) and min(found.times) > 0
            assert found.differing == wrong * len(found.times)
            assert found.elapsed >= 0.05
        nearly = questions(first, "one", 1)
        right = nearly[3].right["probabilities"]
        right[0, 1] = np.nextafter(right[0, 1], np.float32(9))
        assert load.check(clients, nearly) == 1


@pytest.mark.parametrize(
    ("protocol", "text"), [(RestClient, "REST: status 404"), (GrpcClient, "gRPC: NOT_FOUND")]
)
def test_a_request_that_is_not_answered_ends_the_load(
    listening: Listening, protocol: type[Client], text: str
) -> None:
    with closing(protocol(listening)) as client, pytest.raises(ClientError, match=text):
        load.ask([client], questions(client, "three", 1), seconds=30)


def test_the_server_ends_with_the_block(tmp_path: Path) -> None:
    push(tmp_path / "one", 1)
    with background.serving({"one": tmp_path / "one"}, OPTIONS) as found:
        socket.create_connection((found.host, found.rest_port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((found.host, found.rest_port))


PARENT = """
import sys
from pathlib import Path
from components.common.serving import background
from components.common.serving.server import ServerOptions
with background.serving({"one": Path(sys.argv[1])}, ServerOptions(rest_port=0, grpc_port=0, drain=0)) as found:
    print(found.rest_port, flush=True)
    sys.stdin.read()
"""


def test_the_server_ends_if_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    push(tmp_path / "one", 1)
    command = [sys.executable, "-c", PARENT, str(tmp_path / "one")]
    with subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        parent.kill()
    for _ in range(300):  # however busy the machine is
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            return
        except ConnectionResetError:  # it has just closed its socket
            pass
        time.sleep(0.1)
    raise AssertionError("it still listens")


def test_a_model_that_does_not_load_is_an_error(tmp_path: Path) -> None:
    push(tmp_path / "one", 1, b"no model")
    with (
        pytest.raises(background.ServerError, match="is not a TFLite"),
        background.serving({"one": tmp_path / "one"}, OPTIONS),
    ):
        pass
