"""A headless browser with LiteRT.js, which host.js starts and serves."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from components.common.base.errors import ParedownError
from components.common.tflite.litert_js import installation


class LiteRTJsError(ParedownError):
    """A file does not load or run on LiteRT.js, or that is not installed; the message has the reason.

    Attributes:
        why: What is wrong, without the name of the runtime.
    """

    def __init__(self, why: str, verb: str = "load"):
        super().__init__(f"does not {verb} on LiteRT.js: {why}")
        self.why = why


class Browser:
    """A process of Node and its browser, which starts with the first command that needs it."""

    def __init__(self) -> None:
        """Starts Node.

        Raises:
            LiteRTJsError: If something is missing.
        """
        commands = installation.missing()
        program, node = installation.chromium(), installation.node()
        if commands or program is None or node is None:
            raise LiteRTJsError(f"something is not installed; run: {'; '.join(commands)}")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the browser)
        self._process = subprocess.Popen(
            [node, os.fspath(installation.HERE / "host.js"), os.fspath(installation.modules()), program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._one_at_a_time = threading.Lock()
        self._commands = 0
        self.owner = os.getpid()

    def call(self, command: str, **options: Any) -> Any:
        """Does something in the browser.

        Args:
            command: One of host.js's `commands`.
            options: As that takes them.

        Returns:
            Its result.

        Raises:
            LiteRTJsError: If it fails, or the browser ends.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._one_at_a_time:
            self._commands += 1
            try:
                self._process.stdin.write(
                    json.dumps({"id": self._commands, "command": command, **options}) + "\n"
                )
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except OSError:
                line = ""
            if not line:
                raise LiteRTJsError(f"the browser ended: {self._said()}", "run")
        answer = json.loads(line)
        if "error" in answer:
            raise LiteRTJsError(_reason(answer["error"]), "load" if command == "load" else "run")
        return answer.get("result")

    def close(self) -> None:
        """Ends the browser."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
            self._process.wait(20)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def _said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()[-800:] or "it does not say why"


def _reason(text: str) -> str:
    """The first line of an error, and what the runtime logged as an error."""
    first, *log = text.splitlines() or ["it does not say why"]
    errors = [line.partition(": ")[2] for line in log if line.startswith("ERROR")]
    return "; ".join(dict.fromkeys([first.rstrip("."), *errors]))


_shared: Browser | None = None


def shared() -> Browser:
    """The browser of this process, which is started if there is none.

    Raises:
        LiteRTJsError: If something is missing.
    """
    global _shared
    if _shared is None or _shared.owner != os.getpid():
        _shared = Browser()
    return _shared


def close() -> None:
    """Ends the browser of this process, if there is one; the next `shared` starts another."""
    global _shared
    if _shared is not None and _shared.owner == os.getpid():
        _shared.close()
    _shared = None


atexit.register(close)


def brotli_size(path: str | Path) -> int:
    """Bytes of a file as a web server sends it with Brotli at its highest level.

    Raises:
        LiteRTJsError: If it cannot be read, or Node is missing.
    """
    return int(shared().call("brotli", path=os.fspath(path)))
