"""Query and Runs: a job with another parameter, its chart, errors, progress and cancelling, big numbers, the keyboard."""

from argparse import Namespace

from checks.browser import Browser
from checks.page_setup import JOB
from checks.support import Report

LONG = """-- Walks for a while, so that there is something to watch and to cancel.
job.about = "A slow one"
function map(shard)
  local sum = 0
  for i = 1, 1e9 do sum = sum + i % 7 end
  return { sum = sum }
end
function reduce(a, b) return { sum = a.sum + b.sum } end
"""
WRONG = """job.about = "A wrong one"
function map(shard)
  local min
  if min == nil then
    error("no good: min is nil")
  end
end
"""
BIG = """function map(shard)
  return { { name = "big", value = 9007199254740993 } }
end
function reduce(a, b) return a end
"""


def edit(browser: Browser, source: str) -> None:
    browser.open("query")
    browser.find("aside .list button")
    browser.write(browser.find(".editor textarea"), source)
    browser.wait_text("not saved", ".about")


def run(browser: Browser) -> None:
    browser.click(browser.find("#run"))


def check_query(report: Report, browser: Browser, arguments: Namespace) -> None:
    browser.open("query")
    browser.find("aside .list button")
    browser.click(browser.button(JOB, "aside"))
    browser.wait_text("Average departure delay", ".about")
    report.check(
        "a job's params are a form with their defaults",
        lambda: (
            browser.find(".params input[name=min_delay]").get_attribute("placeholder"),
            browser.find(".params input[name=limit]").get_attribute("placeholder"),
        ),
        ("-1000", "5"),
    )
    run(browser)
    browser.wait_text("complete", ".envelope")
    report.check("five carriers are answered", lambda: len(browser.all(".answer tbody tr")), 5)

    browser.write(browser.find(".params input[name=min_delay]"), "15")
    browser.write(browser.find(".params input[name=limit]"), "3")
    run(browser)
    browser.wait(lambda: len(browser.all(".answer tbody tr")) == 3, "three carriers are answered")
    report.check(
        "the envelope says how complete the answer is",
        lambda: all(word in browser.text(".envelope") for word in ("complete", "shards", "rows", "time")),
        True,
    )
    browser.find(".chart[data-type=bar] canvas")
    report.check("a chart of bars is drawn", lambda: ink(browser) > 500, True)
    report.check(
        "the chart says in words what it shows",
        lambda: "delay by carrier" in browser.find(".chart canvas").get_attribute("aria-label"),
        True,
    )
    report.check(
        "the address says what was asked", lambda: f"job={JOB}&min_delay=15&limit=3" in browser.driver.current_url, True
    )

    place = browser.driver.current_url.split("#/")[1]
    browser.open(place)
    browser.wait(lambda: len(browser.all(".answer tbody tr")) == 3, "a link runs the same job again")
    report.check(
        "a link has its parameters", lambda: browser.find(".params input[name=limit]").get_attribute("value"), "3"
    )

    header = next(one for one in browser.all(".answer thead button") if one.text.startswith("flights"))
    browser.click(header)

    def flights() -> list[int]:
        at = [one.text.split()[0] for one in browser.all(".answer thead button")].index("flights")
        return [
            int(row.find_elements("css selector", "td, th")[at].text.replace(",", ""))
            for row in browser.all(".answer tbody tr")
        ]

    report.check("a press on a column sorts by it", lambda: flights() == sorted(flights(), reverse=True), True)
    report.check(
        "the order is told to those who can't see it", lambda: len(browser.all(".answer th[aria-sort=descending]")), 1
    )

    report.check(
        "the same as curl",
        lambda: browser.copied(browser.button("Copy as curl")),
        f"curl -s '{browser.url}/v1/jobs/{JOB}/run?min_delay=15&limit=3'",
    )

    browser.click(browser.button("Explain"))
    report.check("a plan is explained", lambda: "flights" in browser.wait_text("carrier", ".work pre[tabindex]"), True)

    edit(browser, BIG)
    run(browser)
    report.check(
        "an integer beyond 2^53 keeps its digits",
        lambda: "9,007,199,254,740,993" in browser.wait_text("big", ".answer table"),
        True,
    )


def ink(browser: Browser) -> int:
    """How many pixels of the chart are not clear."""
    return browser.script("""
        const canvas = document.querySelector(".chart canvas");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 3; at < data.length; at += 4) count += data[at] > 0;
        return count;""")


def check_errors(report: Report, browser: Browser, arguments: Namespace) -> None:
    edit(browser, WRONG)
    run(browser)
    text = browser.wait_text("no good: min is nil", ".error-box")
    report.check("an error is shown with its reason and message", lambda: "script_error" in text, True)
    report.check("the line it is about is marked", lambda: browser.find(".numbers .wrong").text, "5")
    report.check("an error is announced", lambda: browser.find(".error-box").get_attribute("role"), "alert")

    browser.open("query")
    browser.find("aside .list button")
    browser.click(browser.button(JOB, "aside"))
    browser.write(browser.find(".params input[name=limit]"), "x")
    run(browser)
    report.check(
        "a parameter of a wrong kind is refused by the node, and said",
        lambda: "limit" in browser.wait_text("number", ".error-box"),
        True,
    )
    browser.open("query?job=nosuchjob")
    report.check(
        "a link to a job that is gone says so", lambda: "nosuchjob" in browser.wait_text("miss", ".error-box"), True
    )


def check_runs(report: Report, browser: Browser, arguments: Namespace) -> None:
    edit(browser, LONG)
    run(browser)
    report.check(
        "a long run shows that it is under way", lambda: "running" in browser.wait_text("running", ".envelope"), True
    )
    browser.wait(
        lambda: browser.script(
            "return performance.getEntriesByType('resource').some((one) => one.name.includes('/events'))"
        )
        or browser.text(".envelope").count(" s") > 0,
        "its progress is followed",
    )
    browser.click(browser.find("#cancel"))
    report.check("it can be cancelled", lambda: "cancelled" in browser.wait_text("cancelled", ".error-box"), True)

    browser.open("runs")
    browser.wait(lambda: browser.all("tbody button.link"), "runs are listed")
    report.check(
        "the run is listed as over",
        lambda: browser.wait(lambda: "error" in browser.text("table"), "the cancelled one is over") and True,
        True,
    )
    browser.click(browser.all("tbody button.link")[0])
    report.check(
        "a run that is over shows its envelope",
        lambda: bool(browser.wait(lambda: "shards" in browser.text(".envelope"), "its envelope")),
        True,
    )


def check_keyboard(report: Report, browser: Browser, arguments: Namespace) -> None:
    control, escape, enter, tab = "\ue009", "\ue00c", "\ue007", "\ue004"
    browser.open("query")
    browser.find("aside .list button")
    browser.press("/")
    report.check(
        "/ goes to the filter", lambda: browser.driver.switch_to.active_element.get_attribute("type"), "search"
    )
    browser.press(*JOB)
    browser.wait(lambda: len(browser.all("aside .list button")) == 1, "the list is filtered")
    browser.press(tab)
    report.check(
        "the focus can be seen",
        lambda: browser.script("return getComputedStyle(document.activeElement).outlineStyle"),
        "solid",
    )
    browser.press(enter)
    browser.wait_text("Average departure delay", ".about")
    browser.press(f"{control}+{enter}")
    report.check("Ctrl Enter runs", lambda: "complete" in browser.wait_text("complete", ".envelope"), True)
    edit(browser, LONG)
    browser.press(f"{control}+{enter}")
    browser.wait_text("running", ".envelope")
    browser.press(escape)
    report.check("Escape cancels", lambda: "cancelled" in browser.wait_text("cancelled", ".error-box"), True)
