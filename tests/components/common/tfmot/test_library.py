from __future__ import annotations

import importlib
import sys

import pytest

from components.common.tfmot import library


def test_a_package_is_not_found_while_it_is_left_out() -> None:
    sys.modules.pop("this", None)
    with library._without("this"), pytest.raises(ImportError):
        importlib.import_module("this")
    with library._without("json"):  # is imported already
        import json
    assert "this" not in sys.modules
    assert sys.modules["json"] is json
