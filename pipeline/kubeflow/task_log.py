"""The log of a task: lines of JSON, with the keys that Cloud Logging reads."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import TextIO


class JsonLines(logging.Formatter):
    """One JSON object for each record; `fields` of the record are keys of it."""

    def __init__(self, node: str):
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        """The record in one line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "severity": record.levelname,
            "node": self._node,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False, default=str)


def log_to(stream: TextIO, node: str) -> None:
    """Sends Python's logs and warnings to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(node))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logging.getLogger("apache_beam").setLevel(logging.WARNING)  # it has a line for each type hint
    logging.captureWarnings(True)
