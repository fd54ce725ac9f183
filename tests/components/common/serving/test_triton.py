"""What is pushed, served by a server that is not ours: NVIDIA's Triton, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.common.tflite.litert import LiteRTModel
from tests.components.common.serving.process import serving
from tests.components.conftest import Step
from tests.conftest import Digits, Trained

pytestmark = pytest.mark.soak
# Has the binary of Triton 2.51, whose Python backend runs the file.
PACKAGES = ("nvidia-pytriton==0.7.0", f"ai-edge-litert=={metadata.version('ai-edge-litert')}")
PROGRAM = Path(__file__).with_name("triton_program.py")
INFER = "/v2/models/mnist/infer"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with Triton and LiteRT alone."""
    root = tmp_path_factory.mktemp("triton")
    venv.create(root, with_pip=True)
    install = [root / "bin/python", "-m", "pip", "install", "-q", *PACKAGES]
    done = subprocess.run(install, env=_environment(), capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{PACKAGES[0]} does not install: {done.stderr.strip().splitlines()[-1:]}")
    return root / "bin/python"


def _environment() -> dict[str, str]:
    """Nothing of ours is found; Triton's Python backend finds libpython."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "LD_LIBRARY_PATH": sysconfig.get_config_var("LIBDIR") or ""}


@pytest.fixture(params=["float32", "int8"])
def pushed(
    request: pytest.FixtureRequest, converted: Callable[..., Step], trained: Trained, tmp_path: Path
) -> Path:
    """The folder of a pushed version."""
    version = tmp_path / "mnist/1"
    shutil.copytree(Path(converted(trained.uri, request.param).uri, "Format-Serving"), version)
    return version


@pytest.fixture
def triton(python: Path, pushed: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a Triton that serves it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path / "triton.log"
    command = [python, PROGRAM, pushed / "tflite", str(port), tmp_path / "workspace"]
    with log.open("w") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            env=_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1200):  # however busy the machine is
            try:
                urllib.request.urlopen(f"{address}/v2/models/mnist/ready").close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert process.poll() is None, log.read_text()
                time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        yield address
    finally:
        process.terminate()
        process.wait(60)


def post(address: str, images: np.ndarray) -> Any:
    tensor = {
        "name": "image",
        "datatype": "FP32",
        "shape": list(images.shape),
        "data": images.ravel().tolist(),
    }
    with urllib.request.urlopen(address + INFER, json.dumps({"inputs": [tensor]}).encode()) as answer:
        return json.load(answer)["outputs"]


def test_triton_serves_what_is_pushed_and_paredown_serve_answers_the_same(
    triton: str, pushed: Path, mnist_arrays: dict[str, Digits]
) -> None:
    images = mnist_arrays["eval"].images.reshape(-1, 28, 28, 1).astype(np.float32)[:64]
    expected = LiteRTModel(str(pushed / "tflite")).predict_each({"image": images})["probabilities"]

    def values(outputs: Any) -> np.ndarray:
        (output,) = outputs
        assert (output["name"], output["datatype"]) == ("probabilities", "FP32")
        return np.array(output["data"], np.float32).reshape(output["shape"])

    assert np.array_equal(values(post(triton, images[:32])), expected[:32])
    with ThreadPoolExecutor(8) as clients:  # whose requests become batches
        each = list(clients.map(lambda image: values(post(triton, image[np.newaxis])), images))
    assert np.array_equal(np.concatenate(each), expected)
    with serving(pushed.parent) as server:
        ours = post(f"http://127.0.0.1:{server.rest}", images[:32])
    assert np.array_equal(values(ours), expected[:32])
