"""The pushed page and module, in a real browser, from a plain file server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.common.base import file_hashes
from components.common.models import model_files
from components.common.tflite.litert import LiteRTModel
from components.pusher import beside
from tests.components.conftest import Step
from tests.components.targets.web.browsing import opened, served
from tests.conftest import Digits, Trained
from tests.servers import web

WRITE = "components.targets.web.page.write"


@pytest.mark.parametrize("asked", [("float32",), ("int8", "uint8")], ids=" ".join)
def test_the_pushed_page_predicts_as_litert_and_loads_nothing_from_elsewhere(
    asked: tuple[str, ...],
    trained: Trained,
    converted: Callable[..., Step],
    mnist_arrays: dict[str, Digits],
    data: dict[str, str],
    tmp_path: Path,
) -> None:
    web.need()
    uri = converted(trained.uri, *asked, fixed_batch=True).uri
    serving, folder = Path(uri, "Format-Serving"), tmp_path / "pushed"
    folder.mkdir()

    pushed = beside.add(serving, file_hashes.digests(serving), [WRITE], folder, data={WRITE: data})

    expected = {
        "index.html",
        "model.js",
        "model.d.ts",
        "model.json",
        "model.tflite",
        "example.json",
        "README.md",
    }
    assert {f"web/{name}" for name in expected} <= pushed.keys()
    assert (folder / "web" / "model.tflite").read_bytes() == Path(model_files.tflite_file(uri)).read_bytes()
    native = LiteRTModel(model_files.tflite_file(uri))
    (name,) = native.inputs
    images = mnist_arrays["eval"].images[:5]
    given = json.dumps([np.ravel(image).tolist() for image in images])
    script = (
        f"(async () => {{ const found = []; for (const image of {given}) found.push([...Object.values("
        f"await window.model.predict({{{json.dumps(name)}: image}}))[0]]); return found; }})()"
    )
    with served(folder / "web") as address:
        shown = opened(address + "index.html", script)
    assert (shown["state"], float(shown["difference"]), shown["elsewhere"]) == ("done", 0.0, []), shown
    (predicted,) = native.predict_each({name: images}).values()
    np.testing.assert_allclose(np.array(shown["result"]), predicted, atol=0 if asked[0] == "int8" else 1e-5)
    readme = (folder / "web" / "README.md").read_text(encoding="utf-8")
    size = (folder / "web" / "model.tflite").stat().st_size
    assert f"| `model.tflite` | {size:,} | " in readme and "{" not in readme.split("|")[-1].replace(
        "{f", ""
    )
