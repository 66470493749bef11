"""Headless Chromium for tests, driven over its debugging pipe: no driver program, no port, no package. Or with a port, for who drives it."""

import base64
import contextlib
import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_S = 20.0
SAID = "DevTools listening on "
READ_BYTES = 65_536
# The browser reads commands from descriptor 3 and writes answers to 4; first both go out of each other's way.
START = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(given), fcntl.F_DUPFD, 10) for given in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def program() -> str | None:
    """The browser on this machine, None where there is none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Page:
    """One tab. Every method waits at most `WAIT_S`."""

    def __init__(self, send: int, receive: int) -> None:
        self._send, self._receive = send, receive
        self._session: str | None = None
        self._id = 0
        self._left = b""
        # What the page said that a person would see in the console as an error, a blocked load among it.
        self.errors: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")
        # Addresses that the page asked for.
        self.asked: list[str] = []

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load a page in a window of this size."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, promises awaited."""
        answer = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until the expression is true; gives its value."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if value := self.run(script):
                return value
            # The browser has no event for "some script changed something": so it is asked again, a frame later.
            self.run("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 10)))")
        raise AssertionError(f"never true: {script}\n{self.errors}")

    def press(self, key: str) -> None:
        """Press and release a key, as a person would."""
        codes = {"Tab": 9, "Enter": 13, " ": 32}
        options = {
            "key": key,
            "windowsVirtualKeyCode": codes[key],
            **({"text": "\r"} if key == "Enter" else {"text": key} if key == " " else {}),
        }
        self._call("Input.dispatchKeyEvent", type="keyDown", **options)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=codes[key])

    def write(self, text: str) -> None:
        """Type into what has the focus."""
        self._call("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a PNG of the window, or of the whole page."""
        path.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def _call(self, method: str, **params: Any) -> Any:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params, **({"sessionId": self._session} if self._session else {})}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._id:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer.get("method"), answer.get("params", {}))

    def _note(self, method: str | None, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(str(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _read(self) -> Any:
        while b"\0" not in self._left:
            if not select.select([self._receive], [], [], WAIT_S)[0]:
                raise AssertionError(f"the browser said nothing for {WAIT_S} s")
            piece = os.read(self._receive, READ_BYTES)
            if not piece:
                raise AssertionError("the browser ended")
            self._left += piece
        raw, self._left = self._left.split(b"\0", 1)
        return json.loads(raw)


@contextmanager
def browsing() -> Generator[Page]:
    """A page in a new browser with an empty profile; both are gone afterwards."""
    found = program()
    if found is None:
        raise RuntimeError("no Chromium here: check `program()` first")
    ours_in, theirs_out = os.pipe()
    theirs_in, ours_out = os.pipe()
    with tempfile.TemporaryDirectory(prefix="mentha-browser-", ignore_cleanup_errors=True) as profile:
        command = [
            sys.executable,
            "-c",
            START,
            str(theirs_in),
            str(theirs_out),
            found,
            *FLAGS,
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
        ]
        process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Page(ours_out, ours_in)
        finally:
            # The browser ends by itself when its pipe closes; whatever hangs is killed.
            os.close(ours_out)
            os.close(ours_in)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextmanager
def listening() -> Generator[str]:
    """The `ws://` address of a new browser on loopback with an empty profile; both are gone afterwards."""
    found = program()
    if found is None:
        raise RuntimeError("no Chromium here: check `program()` first")
    addresses: queue.Queue[str] = queue.Queue()

    def read(lines: IO[str]) -> None:
        # To the end: a browser whose words nobody reads waits.
        for line in lines:
            if SAID in line:
                addresses.put(line.partition(SAID)[2].strip())

    with tempfile.TemporaryDirectory(prefix="mentha-browser-", ignore_cleanup_errors=True) as profile:
        command = [found, *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}"]
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        ) as process:
            assert process.stderr
            reader = threading.Thread(target=read, args=(process.stderr,), daemon=True)
            reader.start()
            try:
                yield addresses.get(timeout=WAIT_S)
            finally:
                # Its own processes, too; the group is theirs alone.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(WAIT_S)
                reader.join(WAIT_S)
