"""Asks a node the ten queries, as plans that it has not seen, until it is stopped."""

import sys

from queries import QUERIES
from run import Ours


class One:
    def __init__(self, port):
        self.ports = [port]

    def connect(self):
        from node import Connection

        return Connection(self.ports[0])


if __name__ == "__main__":
    ours = Ours(One(int(sys.argv[1])))
    while True:
        for query in QUERIES:
            ours.ask_first(query)
