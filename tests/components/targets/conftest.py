"""What functions that push files are given."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.common.base.label import as_parameter


@pytest.fixture
def data(mnist_examples: Any) -> dict[str, str]:
    """Where examples are, as the Pusher says it."""
    label_options = json.dumps({"classes": [], "class_weights": None})
    folders = {"examples": mnist_examples.uri, "schema": mnist_examples.schema_uri}
    return {**folders, "label": as_parameter("label"), "label_options": label_options}
