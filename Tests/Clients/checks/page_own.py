"""The page of one's own in docs/dashboards.md, as it is written there, served from another origin that the nodes allow."""

import re
import threading
from argparse import Namespace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from checks.browser import Browser
from checks.support import Report

DOCUMENT = Path(__file__).parents[3] / "docs" / "dashboards.md"


def check_own(report: Report, browser: Browser, arguments: Namespace) -> None:
    if not arguments.origin:
        print("skipped own: no --origin")
        return
    page = re.search(r"<!-- page: own.html -->\n```html\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)[1]
    report.check("the example has at most 30 lines", lambda: page.count("\n") <= 30, True)
    text = page.replace("http://127.0.0.1:8211", browser.url).encode()

    class Serving(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/own.html" else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text if self.path == "/own.html" else b"")

        def log_message(self, *_: object) -> None:
            pass

    place = urlsplit(arguments.origin)
    server = ThreadingHTTPServer((place.hostname, place.port), Serving)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        browser.driver.get(f"{arguments.origin}/own.html")
        report.check(
            "it shows rows, and how complete they are",
            lambda: "complete" in browser.wait_text("complete", "#state"),
            True,
        )
        report.check("it has a line a carrier", lambda: len(browser.all("#rows tr")) > 1, True)
        browser.wait(lambda: sum("/v1/jobs/" in url for url in browser.requests()) >= 2, "it asks again")
        browser.open("cluster")
        browser.foreign_requests()  # its own ones are meant to go to another host
    finally:
        server.shutdown()
        server.server_close()
