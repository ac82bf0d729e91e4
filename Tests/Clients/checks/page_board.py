"""The board: it is asked again each second, never twice at once, not while hidden, and goes on when a node dies."""

import os
import signal
import subprocess
import time
from argparse import Namespace
from pathlib import Path

from checks.browser import Browser
from checks.page_setup import JOB
from checks.page_views import BOARD, save, show
from checks.support import Report

JOB_TILE, KEY_TILE, STRICT_TILE = (f".tile:nth-child({at})" for at in (1, 2, 3))


def asked(browser: Browser, part: str) -> int:
    return sum(part in url for url in browser.requests())


def check_board(report: Report, browser: Browser, arguments: Namespace) -> None:
    # As a person makes one: a job is pinned in Query, a quota is added on the board.
    browser.open("board")
    browser.script("localStorage.removeItem('cacheismo.board')")
    browser.open("query")
    browser.click(browser.button(JOB, "aside"))
    browser.wait_text("Average departure delay", ".about")
    browser.write(browser.find(".params input[name=min_delay]"), "15")
    browser.click(browser.find("#pin"))
    browser.wait_text("On the board")
    browser.open("board")
    browser.wait_text("complete", JOB_TILE)
    browser.write(browser.find("input[name=key]"), "quota:getleft:alice")
    browser.click(browser.button("Add"))
    browser.wait(lambda: browser.text(f"{KEY_TILE} .figure").isdigit(), "the quota shows its number")
    link = browser.driver.current_url
    report.check(
        "the address is the board", lambda: ("min_delay%3D15" in link, "quota%3Agetleft%3Aalice" in link), (True, True)
    )
    browser.script("localStorage.removeItem('cacheismo.board')")
    browser.open(link.split("#/")[1])
    browser.wait_text("complete", JOB_TILE)
    report.check("its link shows the same board", lambda: len(browser.all(".tile")), 2)
    report.check("the link can be copied", lambda: browser.copied(browser.find("#link")), browser.driver.current_url)
    browser.find(f"{JOB_TILE} .chart[data-type=bar] canvas")

    before = asked(browser, f"/v1/jobs/{JOB}/run")
    browser.wait(lambda: asked(browser, f"/v1/jobs/{JOB}/run") >= before + 3, "the job is asked again")
    report.check(
        "what has not changed is said to be so", lambda: "unchanged" in browser.wait_text("unchanged", JOB_TILE), True
    )
    report.check(
        "a tile says how old it is",
        lambda: bool(browser.wait(lambda: "now" in browser.text(f"{KEY_TILE} footer"), "its age")),
        True,
    )

    browser.open("board?t=key%2Fbad%3Akey%3Anone&t=key%2Fquota%3Agetleft%3Aalice")
    report.check(
        "a key that is not there is an error of its tile only",
        lambda: bool(browser.wait_text("complete", KEY_TILE) and browser.find(f"{JOB_TILE}[data-status=error] .alert")),
        True,
    )

    # A tab that nobody sees asks nothing.
    show(browser, BOARD)
    browser.script(
        "Object.defineProperty(document, 'hidden', { value: true, configurable: true }); document.dispatchEvent(new Event('visibilitychange'))"
    )
    time.sleep(1.5)
    browser.requests()
    hidden = asked(browser, "/v1/")
    time.sleep(3)
    report.check("a hidden tab asks nothing", lambda: asked(browser, "/v1/") - hidden, 0)
    browser.script("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    browser.wait(lambda: asked(browser, "/v1/") > hidden, "it asks again once it is seen")


def check_death(report: Report, browser: Browser, arguments: Namespace) -> None:
    if not arguments.kill_pid and not arguments.kill_command:
        print("skipped death: neither --kill-pid nor --kill-command")
        return
    show(browser, BOARD)
    browser.wait_text("complete", JOB_TILE)
    browser.wait_text("complete", STRICT_TILE)
    if arguments.kill_pid:
        os.kill(arguments.kill_pid, signal.SIGKILL)
    else:
        subprocess.run(arguments.kill_command, shell=True, check=True)
    name = arguments.dead
    report.check(
        "the board goes on with a part, labelled as one",
        lambda: "partial" in browser.wait_text("partial", JOB_TILE),
        True,
    )
    report.check(
        "it says who is missing",
        lambda: f"{name} is missing" in browser.wait_text(f"{name} is missing", f"{JOB_TILE} footer"),
        True,
    )
    report.check(
        "a tile that wants all nodes shows the error",
        lambda: name in browser.wait_text(name, f"{STRICT_TILE} .alert"),
        True,
    )
    report.check(
        "its last answer stays, with its age",
        lambda: bool(
            browser.wait(
                lambda: "old" in browser.text(f"{STRICT_TILE} footer") and browser.all(f"{STRICT_TILE} tbody tr"),
                "an old answer",
            )
        ),
        True,
    )
    for width in (1400, 400) if arguments.screenshots else ():
        browser.resize(width)
        save(browser, Path(arguments.screenshots) / f"death-board-{width}.png", width)
    browser.resize(1400)

    browser.open(f"query?job={JOB}&.require=any")
    report.check(
        "Query labels a partial answer",
        lambda: f"{name} is missing" in browser.wait_text(f"{name} is missing", ".envelope.partial"),
        True,
    )
    if arguments.screenshots:
        save(browser, Path(arguments.screenshots) / "death-query.png", 1400)
    browser.open(f"query?job={JOB}")
    report.check(
        "Query shows the error where all were wanted", lambda: name in browser.wait_text(name, ".error-box"), True
    )
    browser.open("cluster")
    report.check("Cluster says which node is gone", lambda: name in browser.wait_text(name, ".warning"), True)
    browser.wait_text("What is missing")
    if arguments.screenshots:
        save(browser, Path(arguments.screenshots) / "death-cluster.png", 1400)
