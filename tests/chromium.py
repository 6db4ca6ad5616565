"""Chromium without a window, steered over its own protocol (Chrome DevTools) through a pair of pipes: no driver needed.

For tests that look at a page as a reader does.
"""

import base64
import json
import os
import shutil
import subprocess

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-pipe"]
FLAGS += ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]


class Page:
    """A page that was opened; ``complaints`` has what it wrote on the console, ``asked_for`` the URLs it loaded."""

    def __init__(self, url, profile, width=1200, height=900, dark=False):
        to_browser, own_end = os.pipe()
        other_end, from_browser = os.pipe()
        command = ["bash", "-c", f'exec "$@" 3<&{to_browser} 4>&{from_browser}', "bash", CHROMIUM]
        command += [*FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self.process = subprocess.Popen(command, pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.pipe, self.answers = own_end, os.fdopen(other_end, "rb")
        self.complaints, self.events, self.asked_for, self.session, self.count = [], [], [], None, 0
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **screen)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.ask("Page.navigate", url=url)
        while "Page.loadEventFired" not in self.events:
            self._hear()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.pipe)
        self.answers.close()

    def ask(self, method, **params):
        """Return what Chromium answers to a command of its protocol."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.pipe, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._hear()
            if heard.get("id") == self.count:
                assert "error" not in heard, f"{method}: {heard['error']}"
                return heard["result"]

    def _hear(self):
        text = b""
        while not text.endswith(b"\0"):
            piece = self.answers.read(1)
            assert piece, "Chromium is gone"
            text += piece
        heard = json.loads(text[:-1])
        self.events.append(heard.get("method"))
        if heard.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(heard["params"])
        if heard.get("method") == "Network.requestWillBeSent":
            self.asked_for.append(heard["params"]["request"]["url"][:60])
        return heard

    def run(self, script):
        """Return the value of a JavaScript expression; a promise is waited for."""
        told = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def press(self, key, code):
        """Press and release a key, by its name and number, as on a keyboard."""
        for kind in ("rawKeyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path, clip=None):
        """Write what is seen, or a part (x, y, width, height) of the page, as a PNG."""
        part = {"clip": dict(zip(("x", "y", "width", "height"), clip, strict=True)) | {"scale": 1}} if clip else {}
        shot = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=bool(clip), **part)
        path.write_bytes(base64.b64decode(shot["data"]))
