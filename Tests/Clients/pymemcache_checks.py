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
from checks.support import Nodes, Report, add_only, run_group, wanted_groups

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
    add_only(parser, GROUPS)
    arguments = parser.parse_args()
    wanted = wanted_groups(parser, arguments.only, GROUPS)

    report = Report()
    nodes = Nodes(arguments.nodes)
    prefix = f"p{time.time_ns():x}"
    for name in wanted:
        run_group(report, name, lambda group=GROUPS[name]: group(report, nodes, prefix))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
