"""A real Chromium without a window, driven by Selenium: what it shows, asks for, and complains about."""

import json
import shutil
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys

from weirtest.waiting import eventually

__all__ = ["Browser", "Keys"]


def _program(*names):
    """Debian's programs; a machine without them fails the test, as the page would go untested."""
    found = next(filter(None, map(shutil.which, names)), None)
    assert found, f"{names[0]} is not installed: apt-get install chromium chromium-driver"
    return found


class Browser:
    """One Chromium with a profile of its own."""

    def __init__(self, folder):
        options = webdriver.ChromeOptions()
        options.binary_location = _program("chromium", "chromium-browser")
        for argument in (
                "--headless=new", "--no-sandbox", f"--user-data-dir={folder}", "--disable-gpu", "--no-first-run",
                "--disable-background-networking", "--disable-component-update", "--disable-sync",
                "--disable-dev-shm-usage", "--no-proxy-server", "--hide-scrollbars",
                # What is not this machine does not exist.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(_program("chromedriver")))
        self.driver.set_page_load_timeout(20)
        self.driver.set_script_timeout(20)

    def close(self):
        self.driver.quit()

    def command(self, name, **parameters):
        """A command of the browser's own protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def fresh(self, width=1280, height=900, scheme="light"):
        """A new visit: nothing stored, nothing logged, a window of this size."""
        self.driver.get("about:blank")
        self.command("Storage.clearDataForOrigin", origin="*", storageTypes="all")
        self.size(width, height)
        self.scheme(scheme)
        self.problems(), self.requests()
        return self

    def size(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                     mobile=width < 500)

    def scheme(self, name):
        """What the system prefers: `light` or `dark`."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, url):
        self.driver.get(url)

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def text(self, selector="body"):
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)

    def see(self, *texts, selector="main", timeout=10.0):
        """Waits until all of these are shown."""
        eventually(lambda: all(text in self.text(selector) for text in texts),
                   lambda: f"{texts} in {selector}, which says:\n{self.text(selector)}\n{self.problems()}", timeout, 0.05)

    def find(self, selector, text=None):
        """The first element of a selector that is shown, or the one whose whole text this is."""
        return eventually(lambda: self.script("""
            return [...document.querySelectorAll(arguments[0])].find((each) => each.checkVisibility()
                && (arguments[1] === null || each.innerText.trim() === arguments[1]))""", selector, text),
                          lambda: f"{selector} {text or ''} in:\n{self.text()}", 10, 0.05)

    def press(self, *keys):
        """Keys to whatever has the focus."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    @property
    def focused(self):
        """Name and text of what has the focus."""
        return self.script(
            "const e = document.activeElement; return [e.tagName.toLowerCase(), (e.innerText || e.name || '').trim()]")

    def picture(self, path, whole=True):
        """A screenshot, of the whole page or of what is in the window."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if whole:
            size = self.script("return [innerWidth, document.documentElement.scrollHeight]")
            self.size(size[0], min(3000, max(500, size[1])))
        self.driver.save_screenshot(str(path))

    def problems(self):
        """What the console has complained about since the last call."""
        return [f"{line['level']} {line['message']}" for line in self.driver.get_log("browser")
                if line["level"] in ("SEVERE", "WARNING")]

    def requests(self):
        """The addresses that were asked for since the last call."""
        messages = [json.loads(line["message"])["message"] for line in self.driver.get_log("performance")]
        return [message["params"]["request"]["url"] for message in messages
                if message["method"] == "Network.requestWillBeSent"]
