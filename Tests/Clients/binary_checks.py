#!/usr/bin/env python3
"""Checks three nodes of one cluster from outside in memcached's binary protocol.

    binary_checks.py HOST:PORT HOST:PORT HOST:PORT
    binary_checks.py --login NAME:PASSWORD HOST:PORT

The first form checks what one node stores and the others answer, many requests at once, methods through virtual keys, what is
malformed, and pylibmc. The second checks one node that asks for a login. One line a check, then `N passed, N failed`; exit code 0
only when none failed. Keys carry a prefix of this run.
"""

import argparse
import socket
import struct
import sys
import time
from typing import NamedTuple

import pylibmc
from checks.support import Report, run_group

GET, SET, ADD, REPLACE, DELETE, INCREMENT, DECREMENT, QUIT, FLUSH, GETQ, NOOP, VERSION, GETK, GETKQ = range(14)
APPEND, PREPEND, STAT, SETQ = 0x0E, 0x0F, 0x10, 0x11
TOUCH, GAT, MECHANISMS, AUTHENTICATE, GATK = 0x1C, 0x1D, 0x20, 0x21, 0x23
HEADER = struct.Struct(">BBHBBHIIQ")


class Answer(NamedTuple):
    opcode: int
    status: int
    extras: bytes
    key: bytes
    value: bytes
    opaque: int
    unique: int


def ask(opcode: int, key: bytes = b"", extras: bytes = b"", value: bytes = b"", opaque: int = 0, unique: int = 0) -> bytes:
    body = extras + key + value
    return HEADER.pack(0x80, opcode, len(key), len(extras), 0, 0, len(body), opaque, unique) + body


def store(key: bytes, value: bytes, opcode: int = SET, **more: int) -> bytes:
    return ask(opcode, key, bytes(8), value, **more)


def count(key: bytes, delta: int, initial: int, opcode: int = INCREMENT) -> bytes:
    return ask(opcode, key, struct.pack(">QQI", delta, initial, 0))


class Connection:
    """A connection that knows the form of an answer and nothing else."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, requests: bytes) -> None:
        self.socket.sendall(requests)

    def answer(self) -> Answer | None:
        """The next answer; None at the end."""
        header = self.file.read(HEADER.size)
        if not header:
            return None
        magic, opcode, key, extras, _, status, body, opaque, unique = HEADER.unpack(header)
        if magic != 0x81:
            raise ValueError(f"an answer that begins with {header!r}")
        rest = self.file.read(body)
        return Answer(
            opcode, status, rest[:extras], rest[extras : extras + key], rest[extras + key :], opaque, unique
        )

    def one(self, request: bytes) -> Answer:
        self.send(request)
        answer = self.answer()
        if answer is None:
            raise ConnectionError("no answer, but the end")
        return answer

    def until_end(self) -> list[Answer]:
        return list(iter(self.answer, None))


def check_cluster(report: Report, nodes: list[str], prefix: str) -> None:
    """What one node stores the others answer."""
    wires = [Connection(address) for address in nodes]
    for index in range(12):
        first, second, third = (wires[(index + step) % 3] for step in range(3))
        key = f"{prefix}k{index}".encode()
        stored = first.one(store(key, b"one", opaque=index))
        facts = (stored.status, stored.unique > 0, stored.opaque)
        report.check(f"set {index} is stored, with a unique", lambda f=facts: f, (0, True, index))
        found = second.one(ask(GETK, key))
        report.check(f"get {index}", lambda f=found, k=key: (f.key, f.value, f.extras), (key, b"one", bytes(4)))
        report.check(f"the unique {index}", lambda f=found: f.unique, stored.unique)
        report.check(f"another unique {index}", lambda k=key, w=third: w.one(store(k, b"x", unique=1 << 40)).status, 2)
        cas = third.one(store(key, b"two", unique=found.unique))
        report.check(f"cas {index}", lambda c=cas: (c.status, c.unique > found.unique), (0, True))
        report.check(f"append {index}", lambda k=key, w=first: w.one(ask(APPEND, k, value=b"!")).status, 0)
        report.check(f"gat {index}", lambda k=key, w=second: w.one(ask(GAT, k, bytes(4))).value, b"two!")
        report.check(f"touch {index}", lambda k=key, w=third: w.one(ask(TOUCH, k, bytes(4))).status, 0)
        number = key + b"n"
        report.check(f"a new counter {index}", lambda n=number, w=first: w.one(count(n, 2, 40)).value, struct.pack(">Q", 40))
        report.check(f"a counter {index}", lambda n=number, w=second: w.one(count(n, 2, 40)).value, struct.pack(">Q", 42))
        report.check(f"delete {index}", lambda k=key, w=first: w.one(ask(DELETE, k)).status, 0)
        report.check(f"a miss {index}", lambda k=key, w=second: w.one(ask(GET, k))[1:5], (1, b"", b"", b"Not found"))


def check_many(report: Report, nodes: list[str], prefix: str) -> None:
    """Many requests at once: answers come in their order, whatever node they are of."""
    keys = [f"{prefix}m{index}".encode() for index in range(500)]
    wire = Connection(nodes[0])
    wire.send(b"".join(store(key, key * 3, SETQ) for key in keys) + ask(NOOP))
    report.check("500 quiet sets say nothing", lambda: wire.answer().opcode, NOOP)
    for index, address in enumerate(nodes):
        other = Connection(address)
        asked = [ask(GETKQ, key, opaque=at) + ask(GETQ, key + b"-", opaque=at) for at, key in enumerate(keys)]
        other.send(b"".join(asked) + ask(NOOP, opaque=999))
        found = [other.answer() for _ in range(501)]
        report.check(f"500 quiet gets by node {index}", lambda f=found: [a.opaque for a in f], [*range(500), 999])
        report.check(f"their values by node {index}", lambda f=found: [a.value for a in f[:-1]], [key * 3 for key in keys])
    large = bytes(range(256)) * 3_000
    for index, address in enumerate(nodes):
        key = f"{prefix}l{index}".encode()
        report.check(f"a large set by node {index}", lambda a=address, k=key: Connection(a).one(store(k, large)).status, 0)
        other = nodes[index - 1]
        report.check(f"a large get by node {index}", lambda o=other, k=key: Connection(o).one(ask(GET, k)).value, large)


def check_methods(report: Report, nodes: list[str], prefix: str) -> None:
    """Virtual keys by get and set, errors, services, and a flush."""
    wires = [Connection(address) for address in nodes]
    for index in range(6):
        name = f"{prefix}q{index}"
        made = wires[index % 3].one(ask(GET, f"quota:new:{name}:5:day".encode()))
        report.check(f"new {index}", lambda m=made: (m.status, m.value), (0, b"CREATED"))
        taken = wires[(index + 1) % 3].one(ask(GETK, f"quota:addandcheck:{name}:3".encode()))
        report.check(f"a method {index}", lambda t=taken: (t.value, t.key), (b"QUOTA_OK", f"quota:addandcheck:{name}:3".encode()))
        wrong = wires[(index + 2) % 3].one(ask(GET, f"quota:addandcheck:{name}:many".encode()))
        words = b"script_error quota.lua:23: count must be a whole number, not 'many'"
        report.check(f"a method that fails {index}", lambda w=wrong: (w.status, w.value), (5, words))
        wires[index % 3].one(ask(GET, f"map:new:{name}".encode()))
        put = wires[(index + 1) % 3].one(store(f"map:put:{name}:a".encode(), b"any: \x00\xff"))
        report.check(f"a set of a method {index}", lambda p=put: p.status, 0)
    report.check("a service", lambda: wires[0].one(ask(GET, b"node:name")).value, b"n1")
    report.check("no such job", lambda: wires[1].one(ask(GET, b"job:run:nothing")).status, 5)
    report.check("stat", lambda: wires[0].one(ask(STAT, b"sizes")).key, b"sizes_status")
    wires[0].answer()
    report.check("flush", lambda: wires[0].one(ask(FLUSH)).status, 0)
    report.check("all is gone", lambda: wires[1].one(ask(GET, f"{prefix}m1".encode())).status, 1)


def check_malformed(report: Report, nodes: list[str], prefix: str) -> None:
    """What lies about lengths gets one answer and the end, and what is half gets none; others go on."""
    key = prefix.encode()

    def lying(request: bytes, **lengths: int) -> bytes:
        fields = list(HEADER.unpack(request[: HEADER.size]))
        for name, length in lengths.items():
            fields[{"key": 2, "extras": 3, "body": 6}[name]] = length
        return HEADER.pack(*fields) + request[HEADER.size :]

    for name, request, statuses in [
        ("a key longer than the body", lying(ask(GET, b"abc"), body=2), [0x81]),
        ("a body of 4 GiB where none belongs", lying(ask(NOOP), body=0xFFFFFFFF), [4]),
        ("a key of 64 KiB", lying(ask(GET, b"a"), key=0xFFFF, body=0xFFFF), [4]),
        ("extras of another size", lying(store(key, b"v"), extras=4), [4]),
        ("text behind a request", ask(NOOP) + b"version\r\n" + bytes(30), [0]),
    ]:
        wire = Connection(nodes[0])
        wire.send(request)
        report.check(name, lambda w=wire: [answer.status for answer in w.until_end()], statuses)
    for name, request in [("half a header", ask(GET, b"abc")[:13]), ("half a value", store(key, b"v" * 1000)[:500])]:
        wire = Connection(nodes[0])
        wire.send(ask(NOOP) + request)
        wire.socket.shutdown(socket.SHUT_WR)
        report.check(name, lambda w=wire: [answer.opcode for answer in w.until_end()], [NOOP])
    wire = Connection(nodes[0])
    wire.send(store(key, b"v") + store(key, bytes(3 << 20)) + ask(0x66, b"k", b"ee", bytes(70_000)) + ask(GET, key))
    report.check("too large and unknown are skipped", lambda: [wire.answer().status for _ in range(4)], [0, 3, 0x81, 1])
    slow = Connection(nodes[1])
    for byte in store(key, b"slowly") + ask(GET, key):
        slow.send(bytes([byte]))
    report.check("a byte at a time", lambda: [slow.answer().status, slow.answer().value], [0, b"slowly"])


def check_pylibmc(report: Report, nodes: list[str], prefix: str) -> None:
    """libmemcached over all nodes, and a failure that takes no server out."""
    client = pylibmc.Client(nodes, binary=True, behaviors={"ketama": True, "cas": True})
    values = {f"{prefix}p{index}": index for index in range(200)}
    report.check("set_multi", lambda: client.set_multi(values), [])
    report.check("get_multi", lambda: client.get_multi([*values, "nothing"]), values)
    for address in nodes:
        one = pylibmc.Client([address], binary=True)
        report.check(f"all by {address}", lambda o=one: o.get_multi(list(values)), values)
        # Behind a multi-get libmemcached would show it as a miss.
        report.check("a get", lambda o=one: o.get(f"{prefix}p2"), 2)
        report.check("a failure", lambda o=one: o.get("quota:nothing:none"), pylibmc.Error)
        mixed = [f"{prefix}p1", "quota:nothing:none"]
        report.check("a failure among others", lambda o=one: o.get_multi(mixed), {mixed[0]: 1})
        report.check("the next get", lambda o=one: o.get(f"{prefix}p2"), 2)
    value, unique = client.gets(f"{prefix}p3")
    report.check("cas", lambda: client.cas(f"{prefix}p3", value + 1, unique), True)
    report.check("incr", lambda: client.incr(f"{prefix}p3", 5), 9)
    report.check("delete_multi", lambda: client.delete_multi(list(values)), True)


def check_login(report: Report, address: str, login: str) -> None:
    """Nothing is done for a stranger; a right login is taken, a wrong one not."""
    stranger = Connection(address)
    stranger.send(ask(GET, b"a") + ask(NOOP))
    report.check("a stranger", lambda: [answer.status for answer in stranger.until_end()], [0x20])
    wire = Connection(address)
    data = b"\0" + login.replace(":", "\0", 1).encode()
    report.check("the mechanisms", lambda: wire.one(ask(MECHANISMS)).value, b"PLAIN")
    report.check("another mechanism", lambda: wire.one(ask(AUTHENTICATE, b"LOGIN", value=data)).status, 0x20)
    report.check("a wrong password", lambda: wire.one(ask(AUTHENTICATE, b"PLAIN", value=data + b"x")).status, 0x20)
    report.check("a right one", lambda: wire.one(ask(AUTHENTICATE, b"PLAIN", value=data)).value, b"Authenticated")
    report.check("a set", lambda: wire.one(store(b"a", b"1")).status, 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("nodes", nargs="+", metavar="HOST:PORT")
    parser.add_argument("--login", metavar="NAME:PASSWORD")
    arguments = parser.parse_args()
    report = Report()
    prefix = f"b{time.time_ns():x}"
    if arguments.login:
        run_group(report, "login", lambda: check_login(report, arguments.nodes[0], arguments.login))
    else:
        for check in [check_cluster, check_many, check_methods, check_malformed, check_pylibmc]:
            run_group(report, check.__name__, lambda check=check: check(report, arguments.nodes, prefix))
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
