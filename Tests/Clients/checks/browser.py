"""A Chromium that the checks of the page drive: it waits for what is expected, and listens to console and network."""

import json
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

# Long enough for a busy machine; nothing here measures time.
WAIT_SECONDS = 120
# The browser's own line for a request that answered an error.
FAILED_REQUEST = "Failed to load resource"


class Browser:
    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--lang=en-US"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=webdriver.ChromeService("/usr/bin/chromedriver"))
        self.driver.set_page_load_timeout(WAIT_SECONDS)
        self._console: list[str] = []
        self._requests: list[str] = []
        self.resize(1400)

    def close(self) -> None:
        self.driver.quit()

    def command(self, name: str, **arguments: object) -> object:
        return self.driver.execute_cdp_cmd(name, arguments)

    def resize(self, width: int, height: int = 1000) -> None:
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def colours(self, scheme: str) -> None:
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    # Going about

    def open(self, place: str) -> None:
        """Loads the page anew at `#/place`."""
        self.driver.get("about:blank")
        self.driver.get(f"{self.url}/#/{place}")

    def find(self, selector: str) -> WebElement:
        return self.wait(lambda: self.driver.find_element(By.CSS_SELECTOR, selector), f"there is {selector}")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, selector: str = "main") -> str:
        found = self.script("return document.querySelector(arguments[0])?.innerText ?? ''", selector)
        return " ".join(found.split())

    def script(self, source: str, *arguments: object) -> object:
        return self.driver.execute_script(source, *arguments)

    def button(self, label: str, within: str = "main") -> WebElement:
        """The button whose text begins so."""

        def find() -> WebElement | None:
            return next((one for one in self.all(f"{within} button") if one.text.startswith(label)), None)

        return self.wait(find, f"there is a button {label}")

    def click(self, element: WebElement) -> None:
        self.script("arguments[0].scrollIntoView({ block: 'center' })", element)
        element.click()

    def press(self, *keys: str) -> None:
        """Keys one after the other, wherever the focus is; `ctrl+x` is both at once."""
        for key in keys:
            *held, last = key.split("+") if len(key) > 1 and "+" in key else [key]
            actions = ActionChains(self.driver)
            for one in held:
                actions.key_down(one)
            actions.send_keys(last)
            for one in held:
                actions.key_up(one)
            actions.perform()

    def copied(self, button: WebElement) -> str:
        """What a button puts on the clipboard: seen on its way there, as one without a screen may be out of reach."""
        self.script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        self.click(button)
        return self.wait(lambda: self.script("return window.copied"), "something is copied")

    def write(self, element: WebElement, text: str) -> None:
        self.script(
            "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', { bubbles: true }))",
            element,
            text,
        )

    def wait(self, condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS) -> object:
        """What the condition answers, once that is true. What it raises meanwhile is not there yet."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                if found := condition():
                    return found
            except Exception as error:  # the page is drawing
                last = error
            time.sleep(0.1)
        raise TimeoutError(f"{what}: not within {seconds} s ({last or 'false'}); the page shows: {self.text()[:600]}")

    def wait_text(self, expected: str, selector: str = "main") -> str:
        self.wait(lambda: expected in self.text(selector), f"{selector} shows '{expected}'")
        return self.text(selector)

    # Listening

    def _listen(self) -> None:
        for line in self.driver.get_log("browser"):
            self._console.append(line["message"])
        for line in self.driver.get_log("performance"):
            message = json.loads(line["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])

    def complaints(self) -> list[str]:
        """What the console has beside the browser's own lines on failed requests, since it was last asked."""
        self._listen()
        found = [line for line in self._console if FAILED_REQUEST not in line and "net::ERR_" not in line]
        self._console.clear()
        return found

    def requests(self) -> list[str]:
        """The URLs that were asked for since `foreign_requests` was last called."""
        self._listen()
        return list(self._requests)

    def foreign_requests(self) -> list[str]:
        own = urlsplit(self.url).netloc
        found = [
            url
            for url in self.requests()
            if urlsplit(url).scheme not in ("data", "blob", "about") and urlsplit(url).netloc != own
        ]
        self._requests.clear()
        return found
