#!/usr/bin/env python3
"""Checks the page of real nodes in a real Chromium, as a person meets it.

    page.py URL [URL…] [--kill-pid PID | --kill-command COMMAND] [--screenshots FOLDER] [--only GROUP[,GROUP…]]

The page is taken from the first URL. With several nodes of which one can be killed (never the first) the board is watched
while it dies. What the checks need and is not there, they make: the frame `flights`, the job `delays_by_carrier`, the quota
`alice`. Groups: `views`, `query`, `errors`, `runs`, `objects`, `board`, `keyboard`, `own`, `axe`, `screenshots`, `death`. One line a
check, then `N passed, N failed`; exit code 0 only when none failed. Needs Debian's chromium and chromium-driver, PyPI's selenium
and axe-selenium-python.
"""

import argparse
import sys

from checks.browser import Browser
from checks.page_board import check_board, check_death
from checks.page_own import check_own
from checks.page_query import check_errors, check_keyboard, check_query, check_runs
from checks.page_setup import prepare
from checks.page_views import check_axe, check_objects, check_screenshots, check_views
from checks.support import Report, add_only, run_group, wanted_groups

GROUPS = {
    "views": check_views,
    "query": check_query,
    "errors": check_errors,
    "runs": check_runs,
    "objects": check_objects,
    "board": check_board,
    "keyboard": check_keyboard,
    "own": check_own,
    "axe": check_axe,
    "screenshots": check_screenshots,
    "death": check_death,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument(
        "--kill-pid", type=int, help="the process of another node than the first, killed by the group death"
    )
    parser.add_argument("--kill-command", help="a shell command that does the same")
    parser.add_argument(
        "--origin",
        help="http://127.0.0.1:PORT, from where the nodes let pages ask (--http-origin): there the example is served",
    )
    parser.add_argument("--dead", default="n3", help="the name of the node that dies")
    parser.add_argument("--screenshots", metavar="FOLDER", help="where the pictures go; without it there are none")
    add_only(parser, GROUPS)
    arguments = parser.parse_args()
    wanted = wanted_groups(parser, arguments.only, GROUPS)

    report = Report()
    prepare(arguments.urls)
    browser = Browser(arguments.urls[0])
    try:
        for name in wanted:
            run_group(report, name, lambda group=GROUPS[name]: group(report, browser, arguments))
            report.check(f"{name}: nothing is on the console but failed requests", browser.complaints, [])
            report.check(f"{name}: no request goes to another host", browser.foreign_requests, [])
    finally:
        browser.close()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
