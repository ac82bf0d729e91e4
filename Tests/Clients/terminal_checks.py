#!/usr/bin/env python3
"""Checks what the command line does on a terminal, each command in a pseudo terminal of its own.

    terminal_checks.py BINARY HOST:PORT [--only GROUP[,GROUP…]]

The node is one of two, and has the frame `flights`. Groups: `progress`, `top`, `start`. One line a check, then `N passed, N failed`; exit code 0 only when none failed.
"""

import argparse
import signal
import socket
import subprocess
import sys
import tempfile

from pymemcache.client.base import Client

from checks.support import Report, add_only, run_group, wanted_groups
from checks.terminal import PATIENCE_SECONDS, Terminal

# The aggregate is done with in no time: what follows keeps the job under way, so that its bar is seen.
SLOW_AGGREGATE = """
function map(shard, p)
  local found = shard:frame("flights"):group("carrier"):agg { flights = count() }
  local rows, n = found:rows(), 0
  for i = 1, 2e8 do n = n + i end
  return found
end
function finish(r) return r:sort("flights", "desc"):limit(2) end
"""


def check_progress(report: Report, binary: str, server: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as job:
        job.write(SLOW_AGGREGATE)
        job.flush()
        terminal = Terminal(
            [binary, "job", "run", job.name, "--server", server, "--timeout", str(PATIENCE_SECONDS * 1000)]
        )
        try:
            drawn = terminal.read_until("336,776 rows, ")
            report.check("progress: an aggregate has a bar", lambda: "[####" in drawn and " 100 %" in drawn, True)
            report.check("progress: the job ends well", terminal.finish, 0)
            rest = terminal.text.rpartition("\r\x1b[K")[2].replace("\r\n", "\n")
            report.check("progress: the bar is gone before the table", lambda: rest.splitlines()[0], "carrier  flights")
        finally:
            terminal.close()


def drawn_lines(terminal: Terminal) -> list[str]:
    frame = terminal.read_until("\x1b[J")
    for code in ("\x1b[H", "\x1b[J", "\x1b[K"):
        frame = frame.replace(code, "")
    return frame.split("\r\n")


def check_top(report: Report, binary: str, server: str) -> None:
    host, _, port = server.rpartition(":")
    client = Client((host, int(port)), timeout=PATIENCE_SECONDS)
    client.set("hotkey", "x")
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as job:
        job.write("function run(p) while true do end end")
        job.flush()
        timeout = str(PATIENCE_SECONDS * 1000)
        slow = subprocess.Popen(
            [binary, "job", "run", job.name, "--server", server, "--timeout", timeout],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        terminal = Terminal([binary, "top", "--server", server], rows=30, columns=100)
        try:
            first = terminal.read_until("q or Ctrl-C ends")
            report.check("top: it takes another page of the terminal", lambda: "\x1b[?1049h" in first, True)
            report.check("top: what is typed is not shown", lambda: terminal.is_as_before, False)
            report.check("top: both nodes are there", lambda: "2 of 2 nodes up" in first, True)
            name = job.name.rpartition("/")[2].removesuffix(".lua")
            terminal.read_until(name)
            report.check("top: the job under way is shown", lambda: True, True)
            for _ in range(3000):
                client.get("hotkey")
                if "hotkey " in terminal.pending():
                    break
            terminal.read_until("hotkey ")
            report.check("top: the key that is read is shown", lambda: True, True)
            terminal.resize(10, 40)
            terminal.signal(signal.SIGWINCH)
            lines = drawn_lines(terminal)
            while len(lines) != 10:  # what was drawn before comes first
                lines = drawn_lines(terminal)
            report.check("top: after a resize no line is wider than the terminal", lambda: [line for line in lines if len(line) > 40], [])
            terminal.type(b"xq")
            report.check("top: q ends it well", terminal.finish, 0)
            report.check("top: the page is given back", lambda: "\x1b[?25h\x1b[?1049l" in terminal.text, True)
            report.check("top: and the way of typing", lambda: terminal.is_as_before, True)
        finally:
            terminal.close()
            slow.kill()
            slow.wait()
    for what, end in [("Ctrl-C", lambda one: one.type(b"\x03")), ("SIGTERM", lambda one: one.signal(signal.SIGTERM))]:
        terminal = Terminal([binary, "top", "--server", server])
        try:
            terminal.read_until("q or Ctrl-C ends")
            end(terminal)
            report.check(f"top: {what} ends it", terminal.finish, 0)
            report.check(
                f"top: {what} gives the terminal back",
                lambda: (terminal.is_as_before, "\x1b[?25h\x1b[?1049l" in terminal.text), (True, True),
            )
        finally:
            terminal.close()
    terminal = Terminal([binary, "top", "--once", "--server", server])
    try:
        report.check("top: --once ends by itself", terminal.finish, 0)
        report.check("top: --once draws nothing over", lambda: "\x1b" in terminal.text, False)
    finally:
        terminal.close()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def check_start(report: Report, binary: str, server: str) -> None:
    """What `serve` says, of which only a node without options says how to go on: on its own port, 11211."""
    port, page = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/socket"
        for options, wanted in [
            (["-p", str(port), "--http", f"127.0.0.1:{page}"], [f"127.0.0.1:{port}\r\n", f"http://127.0.0.1:{page}/\r\n"]),
            (["-p", "0", "-s", path], [f"unix socket {path}\r\n"]),
        ]:
            terminal = Terminal([binary, "serve", *options])
            try:
                said = terminal.read_until("Ctrl-C ends it.")
                for words in wanted:
                    report.check(f"start: it says where it listens, {words.strip()}", lambda: words in said, True)
                terminal.type(b"\x03")
                report.check("start: Ctrl-C ends it well", terminal.finish, 0)
                report.check("start: an option says that one knows how", lambda: "another terminal" in terminal.text, False)
            finally:
                terminal.close()
    alone = Terminal([binary])
    try:
        # Where somebody else has the port the node can't start, and says so.
        said = ""
        while "it is in use" not in said and "all commands." not in said:
            said += alone.read_until("\r\n")
        if "it is in use" not in said:
            report.check("start: alone it says how to go on", lambda: "cacheismo set greeting hello" in said, True)
            report.check("start: and serves", lambda: Client(("127.0.0.1", 11211)).version().startswith(b"1."), True)
            alone.type(b"\x03")
            report.check("start: alone Ctrl-C ends it well", alone.finish, 0)
    finally:
        alone.close()


GROUPS = {"progress": check_progress, "top": check_top, "start": check_start}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("server", metavar="HOST:PORT")
    add_only(parser, GROUPS)
    arguments = parser.parse_args()

    report = Report()
    for name in wanted_groups(parser, arguments.only, GROUPS):
        run_group(report, name, lambda group=GROUPS[name]: group(report, arguments.binary, arguments.server))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
