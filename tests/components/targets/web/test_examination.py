"""What is refused for browsers before anything is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from components.common.models import model_files
from components.common.tflite.litert_js import browser
from components.targets.web.examination import examine
from tests.components.conftest import Step
from tests.conftest import Trained
from tests.servers import web


def test_types_and_open_axes_are_refused_by_name_and_other_files_load(
    trained: Trained, converted: Callable[..., Step]
) -> None:
    web.need()

    def examined(*asked: str, **more: bool) -> str:
        path = model_files.tflite_file(converted(trained.uri, *asked, **more).uri)
        return examine(Path(path).read_bytes()).refusal

    try:
        assert examined("int8", fixed_batch=True) == examined("int8", "uint8", fixed_batch=True) == ""
        assert "is int8, and LiteRT.js has no other" in examined("int8", "int8", fixed_batch=True)
        assert "has an axis without a fixed length" in examined("float32")
    finally:
        browser.close()
