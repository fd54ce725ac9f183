"""Numbers of bytes as a config has them."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}


def parse_bytes(value: Any) -> Any:
    """Turns "60 kB" (10^3) or "60 KiB" (2^10) into bytes; anything else is returned for pydantic."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([A-Za-z]+)\s*", value)
    if not match or match[2].lower() not in _UNITS:
        raise ValueError(f"{value!r} is not a size; write bytes, or a number with B, kB, MB, KiB or MiB")
    return float(match[1]) * _UNITS[match[2].lower()]


Bytes = Annotated[float, BeforeValidator(parse_bytes, json_schema_input_type=float | str)]
