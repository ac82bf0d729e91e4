#!/usr/bin/env python3
"""Sends the same random commands to a node and to a real memcached, and compares the answers byte by byte.

    differential.py NODE_HOST:PORT MEMCACHED_HOST:PORT [--streams N] [--seed N]

Start memcached with -R 1, so that each answer is on its way before the next command: an item that an unsent answer holds
is counted in a copy there, which loses its marks. Lines that 1.6.45 refuses in other
words than those before it are left out. Uniques are the servers' own and differ, so they are compared by what
they do: `c` is not asked for. Times are far from their ends. Prints the first difference of a stream with what led there; exit code 0 only when there was none.
"""

import argparse
import random
import socket
import sys

KEYS = ["a", "b", "c", "d:e"]
BASE64 = {"a": "YQ==", "b": "Yg==", "c": "Yw==", "d:e": "ZDpl"}


def classic(r: random.Random) -> str:
    key = r.choice(KEYS)
    silent = r.choice(["", "", "", " noreply"])
    value = r.choice(["1", "12", "hello", "", "99", "18446744073709551615"])
    verb = r.randrange(12)
    if verb < 3:
        return "get " + " ".join(r.choices(KEYS, k=r.randint(1, 4)))
    if verb < 6:
        name = r.choice(["set", "add", "replace", "append", "prepend"])
        return f"{name} {key} {r.choice([0, 5])} {r.choice([0, 0, 9000, -1])} {len(value)}{silent}\r\n{value}"
    if verb == 6:
        return f"{r.choice(['incr', 'decr'])} {key} {r.choice([0, 1, 7, 'x', 18446744073709551615])}{silent}"
    if verb == 7:
        return f"delete {key}{r.choice(['', ' 0'])}{silent}"
    if verb == 8:
        return f"touch {key} {r.choice([0, 9000, -1, 'x'])}{silent}"
    if verb == 9:
        return f"gat {r.choice([0, 9000, -1])} {key} {r.choice(KEYS)}"
    if verb == 10:
        return f"cas {key} 0 0 1 18446744073709551614{silent}\r\n1"
    return r.choice(["foo", "verbosity", "flush_all x"])


def meta(r: random.Random) -> str:
    key = r.choice(KEYS)
    flags = r.sample(["v", "s", "f", "h", "O1", "O", "q", "T0", "T9000", "T-1"], k=r.randint(0, 5))
    flags = [flag for at, flag in enumerate(flags) if flag[0] not in [other[0] for other in flags[:at]]]
    verb = r.randrange(10)
    if verb < 4:
        # What memcached answers to t after T-1 is what is left of a number below zero.
        flags = [flag for flag in flags if flag != "T-1"] + r.choice([[], [], [], ["T-1"]])
        flags = list({flag[0]: flag for flag in flags}.values())
        flags += r.sample(["N9000", "R9500", "u", "P", "!", "q", "Nx", "t"], k=r.choice([0, 0, 1, 2]))
        # Nor is what it answers to t the time that N gave what T then met.
        if "T-1" in flags or ("N9000" in flags and any(flag[0] == "T" for flag in flags)):
            flags = [flag for flag in flags if flag != "t"]
        return command("mg", key, flags, r)
    if verb < 7:
        flags = [flag for flag in flags if flag != "s"]
        flags += r.sample(["F7", "ME", "MA", "MP", "MR", "MX", "C999999999999", "I", "Fx", "!"], k=r.choice([0, 0, 1, 1, 2]))
        value = r.choice(["1", "12", "hello", ""])
        wrong = "" if r.random() < 0.95 else "xx"
        return command("ms", key, [str(len(value))] + flags, r) + f"\r\n{value}{wrong}"
    if verb == 7:
        flags += r.sample(["I", "I", "C999999999999", "x1"], k=r.choice([0, 1]))
        return command("md", key, [flag for flag in flags if flag != "x1"], r)
    flags += r.sample(["N9000", "J13", "D5", "MD", "M+", "MX", "Dx"], k=r.choice([0, 1, 2]))
    # A counter that is stale, or counted in place, keeps its marks here; memcached drops them at times.
    return command("ma", "n" + key, [flag for flag in flags if flag not in ("T-1",)], r, encodes=False)


def command(verb: str, key: str, flags: list[str], r: random.Random, encodes: bool = True) -> str:
    if r.random() < 0.5:
        flags = flags + ["k"]
    return " ".join([verb, key] + flags)


def encoded(r: random.Random) -> str:
    """A key that is only ever met in base64: memcached remembers in which form it was stored."""
    verb = r.choice(["mg", "ms", "md"])
    flags = r.sample(["k", "v", "s", "q", "O9"], k=r.randint(0, 3))
    if verb == "ms":
        return " ".join(["ms", "AAEC", "2", "b"] + [flag for flag in flags if flag != "s"]) + "\r\nhi"
    return " ".join([verb, "AAEC", "b"] + flags)


def ask(address: str, lines: list[str]) -> bytes:
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(("flush_all noreply\r\n" + "\r\n".join(lines) + "\r\nversion\r\n").encode())
        received = b""
        while b"VERSION" not in received or not received.endswith(b"\r\n"):
            piece = connection.recv(1 << 16)
            if not piece:
                return received + b"<closed>"
            received += piece
        return received[: received.rindex(b"VERSION")]


def shortest(lines: list[str], node: str, reference: str) -> list[str]:
    """Leaves out whatever the difference does not need."""
    at = 0
    while at < len(lines):
        fewer = lines[:at] + lines[at + 1 :]
        if ask(node, fewer) != ask(reference, fewer):
            lines = fewer
        else:
            at += 1
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("node", metavar="HOST:PORT")
    parser.add_argument("memcached", metavar="HOST:PORT")
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    differing = 0
    for stream in range(arguments.streams):
        r = random.Random(arguments.seed * 1_000_003 + stream)
        lines = [r.choice([classic, meta, meta, encoded])(r) for _ in range(60)]
        # Twice, as a second may have passed between the two.
        if all(ask(arguments.node, lines) != ask(arguments.memcached, lines) for _ in range(2)):
            differing += 1
            lines = shortest(lines, arguments.node, arguments.memcached)
            print(f"stream {stream}: {lines}")
            print(f"  node      {ask(arguments.node, lines)!r}")
            print(f"  memcached {ask(arguments.memcached, lines)!r}")
            if differing == 20:
                break
    print(f"{arguments.streams} streams, {differing} differ")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
