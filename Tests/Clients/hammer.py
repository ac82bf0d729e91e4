"""Hammers a node from several threads and fails if its thread sanitizer has reported anything.

    hammer.py PROGRAM [SECONDS]     PROGRAM: cacheismo, built with --sanitize=thread
"""

import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

THREADS = 6
KEYS = 200
VALUE_BYTES = [3, 50, 100, 1_000, 20_000, 70_000]  # the last two are sent from where they lie


def command(rng):
    key = b"k%d" % rng.randrange(KEYS)
    kind = rng.random()
    if kind < 0.4:
        return b"get %s\r\n" % key
    if kind < 0.5:
        return b"get " + b" ".join(b"k%d" % rng.randrange(KEYS) for _ in range(10)) + b"\r\n"
    if kind < 0.8:
        value = b"x" * rng.choice(VALUE_BYTES)
        return b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value)
    if kind < 0.85:
        return b"delete %s\r\n" % key
    if kind < 0.9:
        return b"append %s 0 0 5\r\nabcde\r\n" % key
    if kind < 0.95:
        return b"touch %s 100\r\n" % key
    # Of an item whose last access is asked for, readers note the second.
    return b"mg %s v %s\r\n" % (key, rng.choice([b"t f", b"l", b"h c"]))


def hammer(port, seed, end, counts):
    rng = random.Random(seed)
    connection = socket.create_connection(("127.0.0.1", port))
    while time.time() < end:
        connection.sendall(b"".join(command(rng) for _ in range(20)) + b"mn\r\n")
        tail = b""
        while not tail.endswith(b"MN\r\n"):
            received = connection.recv(1 << 18)
            if not received:
                return
            tail = (tail + received)[-64:]
        counts[seed] += 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    program = sys.argv[1]
    with open(program, "rb") as file:
        if b"__tsan_init" not in file.read():
            sys.exit(f"{program} has no thread sanitizer in it: build it with --sanitize=thread")
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 20
    port = free_port()
    with tempfile.TemporaryFile() as log:
        node = subprocess.Popen(
            [program, "serve", "-p", str(port), "-t", "3", "-m", "16"], stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, env=dict(os.environ, SWIFT_BACKTRACE="enable=no"))
        try:
            for _ in range(300):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.1)
            counts = [0] * THREADS
            end = time.time() + seconds
            threads = [threading.Thread(target=hammer, args=(port, seed, end, counts)) for seed in range(THREADS)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            survived = node.poll() is None
        finally:
            node.kill()
            node.wait()
        log.seek(0)
        text = log.read().decode(errors="replace")
    reports = text.count("WARNING: ThreadSanitizer")
    print(f"{sum(counts)} commands, {reports} reports")
    if reports or not survived or min(counts) == 0:
        print(text[:5_000])
        sys.exit(1)


main()
