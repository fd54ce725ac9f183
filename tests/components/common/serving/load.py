"""Clients that ask without a pause while versions are swapped and the server ends."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from components.common.tflite.litert import LiteRTModel
from tests.components.common.serving.process import Serving, serving
from tests.components.common.serving.small_file import INPUTS, content, push

VERSIONS = (1, 2, 3)
_IMAGES = np.random.default_rng(2).normal(size=(64, INPUTS)).astype(np.float32)


@dataclass
class Done:
    """What clients saw.

    Attributes:
        answered: Requests with a right answer.
        failed: What others got.
        versions: Whose answers were seen.
        exit_code: Exit code of the server.
    """

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    exit_code: int = -1


def swapped_under_load(folder: Path, clients: int, seconds: float) -> Done:
    """Serves version 1, pushes 2 and 3 under load, and ends the server under load.

    An answer is right if it is, bit by bit, the interpreter's by one of the versions, and not by one older than the
    client has seen already. A connection that is refused or closed before anything of an answer came, after the
    server began to end, is not a request that it took.

    Args:
        folder: To push into.
        clients: Half of them ask by REST, half by gRPC.
        seconds: Seconds of the whole load.
    """
    push(folder, VERSIONS[0])
    right = {n: LiteRTModel(content(n)).predict_each({"image": _IMAGES})["probabilities"] for n in VERSIONS}
    done, lock, ending = Done(), threading.Lock(), threading.Event()

    def judge(index: int, found: np.ndarray, newest: int) -> int:
        version = next((n for n in VERSIONS if np.array_equal(found, right[n][index])), 0)
        with lock:
            if version >= max(newest, 1):
                done.answered += 1
                done.versions.add(version)
            else:
                done.failed.append(f"wrong answer {found} (version {version} after {newest})")
        return version

    def fail(text: str) -> None:
        with lock:
            done.failed.append(text)

    with serving(folder) as server:
        asks = [_by_rest if number % 2 else _by_grpc for number in range(clients)]
        threads = [threading.Thread(target=ask, args=(server, judge, fail, ending)) for ask in asks]
        for thread in threads:
            thread.start()
        for version in VERSIONS:
            if version != VERSIONS[0]:
                push(folder, version)
            time.sleep(seconds / 3)
            for _ in range(600):  # however busy the machine is
                if version in done.versions or done.failed:
                    break
                time.sleep(0.1)
        ending.set()
        done.exit_code = server.stop()
        for thread in threads:
            thread.join()
    return done


def _by_rest(server: Serving, judge: object, fail: object, ending: threading.Event) -> None:
    assert callable(judge) and callable(fail)
    connection, index, newest = server.connect(), 0, 0
    while True:
        index = (index + 1) % len(_IMAGES)
        try:
            connection.request(
                "POST", "/v1/models/mnist:predict", json.dumps({"instances": [_IMAGES[index].tolist()]})
            )
            answer = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected) as error:
            if not ending.is_set():
                fail(f"REST: {error!r}")
            return
        body = json.loads(answer.read())
        if answer.status != 200:
            fail(f"REST: {answer.status} {body}")
            return
        newest = judge(index, np.array(body["predictions"][0], np.float32), newest)


def _by_grpc(server: Serving, judge: object, fail: object, ending: threading.Event) -> None:
    import grpc

    from components.common.serving.stubs import predict_pb2

    assert callable(judge) and callable(fail)
    index, newest = 0, 0
    # A connection of its own, as clients in other processes have.
    with server.stubs(("grpc.use_local_subchannel_pool", 1)) as (predict, _):
        while True:
            index = (index + 1) % len(_IMAGES)
            asked = predict_pb2.PredictRequest()
            asked.model_spec.name = "mnist"
            tensor = asked.inputs["image"]
            tensor.dtype = 1
            tensor.tensor_shape.dim.add().size = 1
            tensor.tensor_shape.dim.add().size = INPUTS
            tensor.tensor_content = _IMAGES[index].tobytes()
            try:
                made = predict.Predict(asked)
            except grpc.RpcError as error:
                code = error.code()  # type: ignore[attr-defined]
                if not (
                    ending.is_set() and code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
                ):
                    fail(f"gRPC: {code} {error.details()}")  # type: ignore[attr-defined]
                return
            newest = judge(
                index, np.frombuffer(made.outputs["probabilities"].tensor_content, np.float32), newest
            )
