"""A real browser for pages that the tests look at: headless Chromium, spoken to by its DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ over a pair of pipes: JSON messages with a zero byte
between them, so that no library is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_TIMEOUT = 60.0


class BrowserError(Exception):
    """Chromium did not do what it was asked for."""


@dataclass
class Loaded:
    """What a page left when its scripts had run.

    Attributes:
        dom: The document as HTML.
        errors: Errors and exceptions of the console.
        requests: Addresses that anything was asked of, the page's own among them.
    """

    dom: str = ""
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with one empty tab, closed at the end; skips the test if there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        missing = "Chromium is missing; write: apt-get install --no-install-recommends chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        opened = Browser(program, Path(profile))
        try:
            yield opened
        finally:
            opened.close()


class Browser:
    """A Chromium process and its tab."""

    def __init__(self, program: str, profile: Path):
        to_read, self._write = os.pipe()
        self._read, to_write = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4; a shell puts them there.
        shell = f'exec "$@" 3<&{to_read} 4>&{to_write}'
        self._log = open(profile / "stderr.log", "wb")  # noqa: SIM115 (closed with the browser)
        self._process = subprocess.Popen(
            [
                "bash",
                "-c",
                shell,
                "chromium",
                program,
                *_FLAGS,
                f"--user-data-dir={profile / 'user'}",
                "about:blank",
            ],
            pass_fds=(to_read, to_write),
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        os.close(to_read)
        os.close(to_write)
        self._received = b""
        self._events: list[dict[str, Any]] = []
        self._next = 0
        self._session: str | None = None
        targets = self.call("Target.getTargets")["targetInfos"]
        tab = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """Ends the process."""
        try:
            self._session = None
            self.call("Browser.close")
            self._process.wait(10)
        except (BrowserError, OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait(10)
        for descriptor in (self._read, self._write):
            os.close(descriptor)
        self._log.close()

    def open(
        self,
        path: Path,
        width: int = 1280,
        height: int = 900,
        theme: str = "light",
        ready: str = "document.documentElement.dataset.drawn",
    ) -> Loaded:
        """Opens a file and waits until its scripts have run.

        Args:
            path: Path of the page.
            width: Width of the window, in CSS pixels.
            height: Likewise.
            theme: What the system prefers: `light` or `dark`.
            ready: JavaScript that is truthy when the page is done.
        """
        self._events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [
            {"name": "prefers-color-scheme", "value": theme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.call("Page.navigate", url=path.absolute().as_uri())
        deadline = time.monotonic() + _TIMEOUT
        while not self.evaluate(f"document.readyState === 'complete' && Boolean({ready})"):
            if time.monotonic() > deadline:
                raise BrowserError(f"{path} was not ready in {_TIMEOUT:.0f} s: {self._loaded().errors}")
            time.sleep(0.05)
        loaded = self._loaded()
        loaded.dom = self.evaluate("document.documentElement.outerHTML")
        return loaded

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise BrowserError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    def key(self, name: str) -> None:
        """Presses a key, e.g. `Tab` or `Enter`."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        text = {"text": "\r"} if name == "Enter" else {"text": " "} if name == " " else {}
        code = {"key": name, "code": "Space" if name == " " else name, "windowsVirtualKeyCode": codes[name]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def screenshot(self, path: Path, whole: bool = True) -> None:
        """Saves the page as PNG."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))

    def pdf(self, path: Path) -> None:
        """Prints the page."""
        data = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=False)["data"]
        path.write_bytes(base64.b64decode(data))

    def console(self) -> list[str]:
        """Errors since the page was opened."""
        return self._loaded().errors

    def _loaded(self) -> Loaded:
        loaded = Loaded()
        for event in self._events:
            method, values = event["method"], event["params"]
            if method == "Network.requestWillBeSent":
                loaded.requests.append(values["request"]["url"])
            elif method == "Runtime.exceptionThrown":
                loaded.errors.append(str(values["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "assert"):
                loaded.errors.append(str([a.get("value", a.get("description")) for a in values["args"]]))
            elif method == "Log.entryAdded" and values["entry"]["level"] == "error":
                loaded.errors.append(f"{values['entry']['text']} {values['entry'].get('url', '')}")
        return loaded

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and waits for its result; events that come before it are kept."""
        self._next += 1
        message = {"id": self._next, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._next:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if "method" in answer:
                self._events.append(answer)

    def _message(self) -> dict[str, Any]:
        deadline = time.monotonic() + _TIMEOUT
        while b"\0" not in self._received:
            if not select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrowserError(f"Chromium did not answer in {_TIMEOUT:.0f} s")
            block = os.read(self._read, 1 << 20)
            if not block:
                log = Path(self._log.name).read_text(encoding="utf-8", errors="replace")
                raise BrowserError(f"Chromium ended: {log[-800:]}")
            self._received += block
        text, _, self._received = self._received.partition(b"\0")
        return json.loads(text)
