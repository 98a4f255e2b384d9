"""A real Chromium, driven by chromedriver over its plain HTTP protocol (WebDriver): no further package."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.gates import PATIENCE

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")
WHY_NOT = "needs Chromium and chromedriver" if CHROMIUM is None or DRIVER is None else ""


class Browser:
    """A session of the browser."""

    def __init__(self, address: str) -> None:
        self.address = address
        options = {
            "binary": CHROMIUM,
            "args": ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        }
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
        self.session = ""
        self.session = self.post("/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The value that the driver answers."""
        where = self.address + (f"/session/{self.session}" if self.session else "") + path
        request = urllib.request.Request(where, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())["value"]

    def cdp(self, command: str, **parameters: object) -> Any:
        """What Chromium answers to a command of its own protocol."""
        return self.post("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, file: Path, width: int = 1280, scripts: bool = True) -> None:
        """A file is shown in a window of that width."""
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        self.cdp("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.post("/url", {"url": file.resolve().as_uri()})

    def run(self, script: str) -> Any:
        """What JavaScript in the page returns."""
        return self.post("/execute/sync", {"script": script, "args": []})

    def console(self) -> list[str]:
        """What the console says that is no mere information, since the last time that it was asked."""
        return [entry["message"] for entry in self.post("/se/log", {"type": "browser"}) if entry["level"] != "INFO"]

    def requests(self) -> list[str]:
        """The addresses that were asked for, since the last time that this was asked."""
        events = [json.loads(entry["message"])["message"] for entry in self.post("/se/log", {"type": "performance"})]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def screenshot(self, path: Path, whole: bool = True) -> Path:
        """A PNG of the page, all of it."""
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser, which is gone afterwards."""
    assert DRIVER is not None
    with tempfile.TemporaryDirectory(prefix="scs-browser-") as home:
        log = Path(home, "log")
        with log.open("w") as output:
            driver = subprocess.Popen(
                [DRIVER, "--port=0"], stdout=output, stderr=output, env={"PATH": "/usr/bin:/bin", "HOME": home}
            )
        session = None
        try:
            session = Browser(_address(log, driver))
            yield session
        finally:
            if session is not None:
                with contextlib.suppress(OSError):
                    request = urllib.request.Request(f"{session.address}/session/{session.session}", method="DELETE")
                    urllib.request.urlopen(request, timeout=PATIENCE).close()
            driver.terminate()
            driver.wait(PATIENCE)


def _address(log: Path, driver: subprocess.Popen[bytes]) -> str:
    """Where the driver listens, once it says so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and driver.poll() is None:
        for word in log.read_text().split("port "):
            number = word.split(".")[0].strip()
            if "successfully" in log.read_text() and number.isdigit():
                return f"http://127.0.0.1:{number}"
        time.sleep(0.05)
    raise AssertionError(f"chromedriver did not start: {log.read_text()}")
