#!/usr/bin/env python3
"""Checks three nodes of one cluster from outside, as an application that uses pymemcache meets them.

    pymemcache_checks.py HOST:PORT HOST:PORT HOST:PORT [--only GROUP[,GROUP…]]

Groups, in this order: `plain` (each command on each node), `cluster` (what one node stores the others answer), `objects`
(methods through virtual keys), `parallel` (50 connections at once), `flush` (empties the nodes). One line a check, then
`N passed, N failed`; exit code 0 only when none failed. Keys carry a prefix of this run, so it can be run again.
"""

import argparse
import sys
import time

from checks.cluster import check_cluster
from checks.objects import check_objects
from checks.parallel import check_parallel
from checks.plain import check_flush, check_plain
from checks.support import Nodes, Report

GROUPS = {
    "plain": check_plain,
    "cluster": check_cluster,
    "objects": check_objects,
    "parallel": check_parallel,
    "flush": check_flush,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nodes", nargs=3, metavar="HOST:PORT")
    parser.add_argument("--only", default=",".join(GROUPS), metavar="GROUP[,GROUP…]")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",")
    unknown = [group for group in wanted if group not in GROUPS]
    if unknown:
        parser.error(f"no such group: {', '.join(unknown)} (there are {', '.join(GROUPS)})")

    report = Report()
    nodes = Nodes(arguments.nodes)
    prefix = f"p{time.time_ns():x}"
    for name, group in GROUPS.items():
        if name not in wanted:
            continue
        try:
            group(report, nodes, prefix)
        except Exception as error:  # a step between two checks: the group's other checks are not run
            report.check(f"group {name} runs to its end", lambda: f"{type(error).__name__}: {error}", "no exception")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
