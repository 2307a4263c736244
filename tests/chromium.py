"""A headless Chromium, driven over the DevTools protocol by a pipe: no driver, no packages.

    with Browser() as browser:
        browser.open(Path("report.html").resolve().as_uri())
        browser.js("document.title")

The protocol is JSON, each message ended by a NUL byte: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import selectors
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
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
TIMEOUT = 60.0
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class Browser:
    """One page in a fresh profile.

    Attributes:
        messages: what pages have written to the console, thrown, or been refused, as text.
        requests: addresses that pages have asked for, the documents themselves included.
    """

    def __init__(self, chromium: str | None = None, timeout: float = TIMEOUT) -> None:
        program = chromium or find_chromium()
        if program is None:
            raise FileNotFoundError(f"no Chromium here (tried {', '.join(_NAMES)})")
        self.messages: list[str] = []
        self.requests: list[str] = []
        self._timeout = timeout
        self._profile = tempfile.mkdtemp(prefix="chromium-")
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._last = 0
        self._start(program)
        self._session = self._attach()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def _start(self, program: str) -> None:
        # The browser reads commands from its descriptor 3 and answers on 4.
        read_commands, self._commands = os.pipe()
        self._answers, write_answers = os.pipe()
        launch = f'exec "$0" "$@" 3<&{read_commands} 4>&{write_answers}'
        self._process = subprocess.Popen(
            ["bash", "-c", launch, program, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            pass_fds=(read_commands, write_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        os.set_blocking(self._answers, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._answers, selectors.EVENT_READ)

    def _attach(self) -> str:
        targets = self.send("Target.getTargets", session=False)["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.send("Target.attachToTarget", session=False, targetId=page, flatten=True)
        return str(attached["sessionId"])

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and drop its profile."""
        self._selector.close()
        for descriptor in (self._commands, self._answers):
            os.close(descriptor)
        # Without its pipe the browser ends by itself.
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    # ---- the protocol

    def send(self, method: str, *, session: bool = True, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol; return its result.

        Raises:
            RuntimeError: the browser refused, or ended.
            TimeoutError: it did not answer.
        """
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = self._session
        content = json.dumps(message).encode() + b"\0"
        while content:
            content = content[os.write(self._commands, content) :]
        answer = self._receive(lambda got: got.get("id") == self._last)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return dict(answer.get("result", {}))

    def wait_event(self, method: str) -> dict[str, Any]:
        """Return the parameters of the next event of this name, or of one not yet waited for."""
        for index, event in enumerate(self._events):
            if event["method"] == method:
                return dict(self._events.pop(index)["params"])
        return dict(self._receive(lambda got: got.get("method") == method)["params"])

    def _receive(self, wanted: Any) -> dict[str, Any]:
        end = time.monotonic() + self._timeout
        while True:
            while b"\0" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\0")
                message = json.loads(line)
                self._note(message)
                if wanted(message):
                    return dict(message)
                if "method" in message:
                    self._events.append(message)
            left = end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise TimeoutError(f"the browser did not answer within {self._timeout:g} s")
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise RuntimeError("the browser has ended")
            self._buffer += received

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Runtime.consoleAPICalled":
                self.messages.append(" ".join(str(value.get("value")) for value in params["args"]))
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.messages.append(details.get("exception", {}).get("description") or details["text"])
            case "Log.entryAdded":
                self.messages.append(params["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])

    # ---- what a reader does

    def open(self, address: str) -> None:
        """Go to an address; return when the page has loaded."""
        self._events = [event for event in self._events if event["method"] != "Page.loadEventFired"]
        self.send("Page.navigate", url=address)
        self.wait_event("Page.loadEventFired")

    def js(self, expression: str) -> Any:
        """Return the value of an expression in the page; promises are awaited.

        Raises:
            RuntimeError: it threw.
        """
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Set the window's size in CSS pixels; as a phone, with touch and twice the density."""
        density = 2 if phone else 1
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=density,
            mobile=phone,
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)

    def prefer(self, **features: str) -> None:
        """Set what the system prefers, such as prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=wanted)

    def scripting(self, enabled: bool) -> None:
        """Allow or forbid scripts on pages that are opened from now on."""
        self.send("Emulation.setScriptExecutionDisabled", value=not enabled)

    def hover(self, x: float, y: float) -> None:
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def tap(self, x: float, y: float) -> None:
        """Touch a place with a finger, and lift it."""
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def click(self, selector: str) -> None:
        """Click an element in its middle, after scrolling to it."""
        x, y = self.centre(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def centre(self, selector: str) -> tuple[float, float]:
        """Scroll to an element; return its middle in CSS pixels of the window."""
        x, y = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press and release a key, by its DOM name; `code` is its Windows key code, where it has a default action."""
        for kind in ("keyDown", "keyUp"):
            down = {"text": text} if text and kind == "keyDown" else {}
            self.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **down)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Write a PNG of the window, or of the whole page."""
        options: dict[str, Any] = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        data = self.send("Page.captureScreenshot", format="png", **options)["data"]
        path.write_bytes(base64.b64decode(data))
