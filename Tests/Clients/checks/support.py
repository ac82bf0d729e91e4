"""What all groups of checks share: the report, the nodes, and answers as text."""

import argparse
from collections.abc import Callable, Iterable

from pymemcache.client.base import Client

EVERY_BYTE = bytes(range(256))


class Report:
    """Counts and prints what passed and what did not."""

    def __init__(self) -> None:
        self.passed = 0
        self.failed = 0

    def check(self, what: str, found: Callable[[], object], wanted: object) -> None:
        """Compares what `found` returns with `wanted`, or the type of what it raises with a `wanted` exception type."""
        try:
            result = found()
        except Exception as error:  # whatever a client meets is a result of the check
            raised = isinstance(wanted, type) and isinstance(error, wanted)
            self._line(raised, what, f"raised {type(error).__name__}: {error}", wanted)
        else:
            self._line(result == wanted, what, shortened(result), wanted)

    def _line(self, passed: bool, what: str, found: str, wanted: object) -> None:
        if passed:
            self.passed += 1
            print(f"ok      {what}")
        else:
            self.failed += 1
            print(f"FAILED  {what}: expected {shortened(wanted)}, {found}")


def add_only(parser: argparse.ArgumentParser, groups: Iterable[str]) -> None:
    """The option that chooses among the groups of checks: all of them unless it is given."""
    parser.add_argument("--only", default=",".join(groups), metavar="GROUP[,GROUP…]")


def wanted_groups(parser: argparse.ArgumentParser, only: str, groups: Iterable[str]) -> list[str]:
    """The groups that are to be checked, in their own order; ends the program where one of those named is none."""
    wanted = only.split(",")
    unknown = [name for name in wanted if name not in groups]
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)} (there are {', '.join(groups)})")
    return [name for name in groups if name in wanted]


def run_group(report: Report, name: str, run: Callable[[], object]) -> None:
    """Runs a group's checks; a step between two checks that fails is a failed check, and the others are not run."""
    try:
        run()
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        report.check(f"group {name} runs to its end", lambda: message, "no exception")


def shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:160]}… ({len(text)} characters)"


def text(answer: object) -> str:
    """A virtual key's answer as text; what is not bytes (a miss, for one) as it would be written."""
    return answer.decode() if isinstance(answer, bytes) else repr(answer)


class Nodes:
    """The addresses of the nodes, and a client of each."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.clients = [self.connect(index) for index in range(len(addresses))]

    def connect(self, index: int) -> Client:
        """A client with a connection of its own; node numbers wrap around. Waits for every answer unless told not to."""
        host, _, port = self.addresses[index % len(self.addresses)].rpartition(":")
        return Client((host.strip("[]"), int(port)), connect_timeout=5, timeout=15, default_noreply=False)
