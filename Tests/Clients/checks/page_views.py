"""Every view loads, looks as it should at two widths and in two colours, and has nothing that axe finds serious."""

from argparse import Namespace
from base64 import b64decode
from pathlib import Path

from axe_selenium_python import Axe

from checks.browser import Browser
from checks.page_setup import JOB
from checks.support import Report

# What is on a view when it has loaded.
VIEWS = {
    "cluster": ("Hot keys", "section[aria-label=Nodes] .pill"),
    "query": (JOB, "aside .list button"),
    "runs": ("Jobs of all nodes", "main table"),
    "frames": ("flights", "section[aria-label='First rows'] tbody tr"),
    "objects": ("quota:getleft", "section[aria-label=Methods] tbody tr"),
    "board": ("Copy link", ".board"),
}
PAGE = Path(__file__).parents[3] / "Sources" / "Server" / "Page"
BOARD = f"board?title=Flights&t=job%2F{JOB}%3Fmin_delay%3D15%26.require%3Dany&t=key%2Fquota%3Agetleft%3Aalice&t=job%2Fbusiest_destinations%3F.require%3Dall%26.type%3Dnone&t=key%2Fnode%3Ahotkeys%3A10"
SHOTS = {
    "cluster": "cluster",
    "query": f"query?job={JOB}&min_delay=15&limit=12",
    "runs": "runs",
    "frames": "frames?name=flights",
    "objects": "objects?type=quota",
    "board": BOARD,
}


def show(browser: Browser, place: str) -> None:
    browser.open(place)
    expected, selector = VIEWS[place.split("?")[0]]
    browser.wait_text(expected)
    browser.find(selector)
    if "job=" in place:
        browser.wait_text("complete", ".envelope")
        browser.find(".chart[data-type=bar] canvas")
    if "name=" in place:
        browser.wait_text("most frequent", "section[aria-label=Columns]")
    if "t=" in place:
        browser.wait(
            lambda: all(tile.get_attribute("data-status") for tile in browser.all(".tile")),
            "all tiles have their answers",
        )


def page_bytes() -> int:
    return sum(file.stat().st_size for file in PAGE.iterdir())


def check_views(report: Report, browser: Browser, arguments: Namespace) -> None:
    for view in VIEWS:

        def loads(view: str = view) -> bool:
            show(browser, view)
            return True

        report.check(f"{view} loads", loads, True)
    report.check(
        "the files of the page are all there",
        lambda: browser.script(
            """
        return performance.getEntriesByType("resource").filter((one) => one.name.includes("/page/") && one.responseStatus !== 200).map((one) => one.name)"""
        ),
        [],
    )
    browser.open("cluster")
    browser.wait_text("Hot keys")
    report.check(
        "all its files together have at most 80 KiB without the chart library", lambda: page_bytes() <= 80 << 10, True
    )
    report.check(
        "its first load is less than 100 KB without the chart library",
        lambda: browser.script("""
        return performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
          .filter((one) => !one.name.endsWith("/page/chart.js")).reduce((sum, one) => sum + one.encodedBodySize, 0)""")
        < 100_000,
        True,
    )
    browser.click(browser.button("Local", "#tools"))
    report.check("times can be local", lambda: browser.find("#tools [aria-pressed=true]").text, "Local")
    browser.click(browser.button("UTC", "#tools"))
    report.check(
        "Cluster names the nodes", lambda: len(browser.all("section[aria-label=Nodes] tbody tr")), len(arguments.urls)
    )
    show(browser, "frames?name=flights")
    report.check(
        "Frames shows what the columns hold", lambda: "carrier" in browser.text("section[aria-label=Columns]"), True
    )
    browser.command("Network.enable")
    browser.command("Network.setBlockedURLs", urls=["*/page/chart.js"])
    browser.open(SHOTS["query"])
    browser.wait_text("tables only", ".chart")
    report.check("without the chart library there is a table", lambda: len(browser.all(".answer tbody tr")) > 1, True)
    browser.command("Network.setBlockedURLs", urls=[])
    browser.open("nosuchview")
    report.check(
        "an address that names no view shows Cluster", lambda: "Hot keys" in browser.wait_text("Hot keys"), True
    )


def check_objects(report: Report, browser: Browser, arguments: Namespace) -> None:
    show(browser, "objects?type=quota")
    report.check(
        "an index shows who is at its top",
        lambda: "alice" in browser.wait_text("alice", "section[aria-label='Index quota.getshare']"),
        True,
    )
    browser.click(browser.button("getleft", "section[aria-label=Methods]"))
    browser.write(browser.find("input[name=key]"), "quota:getleft:alice")
    browser.click(browser.button("Call"))
    report.check(
        "a method can be called",
        lambda: browser.wait(lambda: browser.text(".value").isdigit(), "a number is answered"),
        True,
    )
    browser.click(browser.button("addandcheck", "section[aria-label=Methods]"))
    browser.write(browser.find("input[name=key]"), "quota:addandcheck:alice:x")
    browser.click(browser.button("Call"))
    report.check(
        "what it refuses is said", lambda: "script_error" in browser.wait_text("whole number", ".error-box"), True
    )
    browser.write(browser.find("input[name=key]"), "quota:getleft:nobody")
    browser.click(browser.button("Call"))
    report.check("a missing object is a miss", lambda: "miss" in browser.wait_text("miss", ".error-box"), True)


def check_axe(report: Report, browser: Browser, arguments: Namespace) -> None:
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        for view, place in SHOTS.items():
            show(browser, place)

            def violations() -> list[str]:
                axe = Axe(browser.driver)
                axe.inject()
                found = axe.run()["violations"]
                return [
                    f"{one['id']}: {one['nodes'][0]['html'][:200]}"
                    for one in found
                    if one["impact"] in ("serious", "critical")
                ]

            report.check(f"axe finds nothing serious in {view}, {scheme}", violations, [])
    browser.colours("light")


def check_screenshots(report: Report, browser: Browser, arguments: Namespace) -> None:
    for width in (1400, 400):
        browser.resize(width)
        for scheme in ("light", "dark"):
            browser.colours(scheme)
            for view, place in SHOTS.items():
                show(browser, place)
                report.check(
                    f"{view} fits into {width} pixels",
                    lambda: browser.script("return document.documentElement.scrollWidth") <= width,
                    True,
                )
                if arguments.screenshots:
                    save(browser, Path(arguments.screenshots) / f"{view}-{width}-{scheme}.png", width)
    browser.resize(1400)
    browser.colours("light")


def save(browser: Browser, path: Path, width: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    height = min(3000, browser.script("return document.documentElement.scrollHeight"))
    picture = browser.command(
        "Page.captureScreenshot",
        captureBeyondViewport=True,
        clip={"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
    )
    path.write_bytes(b64decode(picture["data"]))
