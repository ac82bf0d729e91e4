"""Hammers two nodes with all that a client can ask, from several threads, and fails if a thread sanitizer reported anything.

    hammer.py PROGRAM MUTEX [SECONDS]

PROGRAM: cacheismo, built with --sanitize=thread. MUTEX: Tests/Sanitizer/mutex.c, as a shared library.
"""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

HAMMERS = 4
KEYS = 200
VALUE_BYTES = [3, 50, 100, 1_000, 20_000, 70_000]  # the last two are sent from where they lie
JOB = b"""function map(shard, p)
  return shard:frame("readings"):group("place"):agg { n = count(), warmest = max("celsius"), degrees = distinct("celsius") }
end
function finish(r, p) return r:sort("n", "desc"):limit(3) end
"""
OBJECTS = ["counter:add:c%d:1", "counter:get:c%d", "map:get:m%d:a", "map:put:m%d:a:1", "quota:addandcheck:q%d:1", "list:pop:l%d"]


def store(command, key, value, rest=b" 0 0"):
    return b"%s %s%s %d\r\n%s\r\n" % (command, key, rest, len(value), value)


def plain(rng):
    key = b"k%d" % rng.randrange(KEYS)
    kind = rng.random()
    if kind < 0.4:
        return b"get %s\r\n" % key
    if kind < 0.5:
        return b"get " + b" ".join(b"k%d" % rng.randrange(KEYS) for _ in range(10)) + b"\r\n"
    if kind < 0.8:
        return store(b"set", key, b"x" * rng.choice(VALUE_BYTES))
    if kind < 0.85:
        return b"delete %s\r\n" % key
    if kind < 0.9:
        return store(b"append", key, b"abcde")
    if kind < 0.95:
        return b"touch %s 100\r\n" % key
    # Of an item whose last access is asked for, readers note the second.
    return b"mg %s v %s\r\n" % (key, rng.choice([b"t f", b"l", b"h c"]))


def virtual(rng):
    kind = rng.random()
    if kind < 0.8:
        return b"get " + (rng.choice(OBJECTS) % rng.randrange(20)).encode() + b"\r\n"
    if kind < 0.9:
        rows = b"".join(b'{"place":"p%d","celsius":%d.5}\n' % (rng.randrange(9), rng.randrange(40)) for _ in range(3))
        return store(b"set", b"frame:append:readings", rows)
    if kind < 0.97:
        return b"get job:run:warm\r\n"
    return rng.choice([b"stats\r\n", b"stats items\r\n", b"get node:name:\r\n", b"get frame:list\r\n", b"get job:list\r\n"])


def ask(connection, commands):
    connection.sendall(b"".join(commands) + b"mn\r\n")
    tail = b""
    while not tail.endswith(b"MN\r\n"):
        received = connection.recv(1 << 18)
        if not received:
            raise ConnectionError("the node has closed the connection")
        tail = (tail + received)[-64:]
    return len(commands)


def answer_to(port, command):
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(command + b"quit\r\n")
        with connection.makefile("rb") as answer:
            return answer.read()


def pipeline(command, length):
    """Many commands at a time, on one connection."""

    def hammer(rng, port, end, count):
        connection = socket.create_connection(("127.0.0.1", port))
        while time.time() < end:
            count(ask(connection, [command(rng) for _ in range(length)]))

    return hammer


def churn(rng, port, end, count):
    """A connection for each command, closed by either side."""
    while time.time() < end:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(plain(rng) + rng.choice([b"", b"quit\r\n", b"get unfinished"]))
            connection.recv(1 << 18)
        count(1)


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def start(program, mutex, ports, logs):
    peers = ",".join(f"n{at}=127.0.0.1:{port}" for at, port in enumerate(ports))
    environment = dict(os.environ, SWIFT_BACKTRACE="enable=no", LD_PRELOAD=os.path.abspath(mutex))
    return [
        subprocess.Popen(
            [program, "serve", "-t", "3", "-m", "16", "--name", f"n{at}", "--peers", peers], stdin=subprocess.DEVNULL,
            stdout=log, stderr=log, env=environment)
        for at, log in enumerate(logs)
    ]


def wait_for(port):
    for _ in range(300):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nobody listens on port {port}")


def main():
    program, mutex = sys.argv[1:3]
    with open(program, "rb") as file:
        if b"__tsan_init" not in file.read():
            sys.exit(f"{program} has no thread sanitizer in it: build it with --sanitize=thread")
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    ports = free_ports(2)
    logs = [tempfile.TemporaryFile() for _ in ports]
    nodes = start(program, mutex, ports, logs)
    counts = {}
    failures = []

    def run(name, hammer, seed, port, end):
        def count(done):
            counts[name] = counts.get(name, 0) + done

        try:
            hammer(random.Random(seed), port, end, count)
        except Exception as failure:
            failures.append(f"{name}: {failure}")

    try:
        with wait_for(ports[1]), wait_for(ports[0]) as first:
            ask(first, [store(b"set", b"job:define:warm", JOB)] + [
                f"get {kind}:create:{kind[0]}{at}{rest}\r\n".encode()
                for kind, rest in [("counter", ""), ("map", ""), ("list", ""), ("quota", ":1000:day")] for at in range(20)])
        end = time.time() + seconds
        kinds = [("plain", pipeline(plain, 20)), ("virtual", pipeline(virtual, 5)), ("connections", churn)]
        threads = [
            threading.Thread(target=run, args=(f"{name} {port}", hammer, seed, port, end))
            for name, hammer in kinds for port in ports for seed in range(HAMMERS // 2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        survived = all(node.poll() is None for node in nodes)
        if survived:
            # That the virtual half of it was more than refusals.
            for port in ports:
                answer = answer_to(port, b"get job:run:warm\r\n")
                if b'"status":"complete"' not in answer or b'"warmest":39.5' not in answer:
                    failures.append(f"after all that, job:run:warm on port {port}: {answer[:500]}")
        for node in nodes:
            node.send_signal(signal.SIGTERM)
    finally:
        time.sleep(1)
        for node in nodes:
            node.kill()
            node.wait()
    texts = []
    for log in logs:
        log.seek(0)
        texts.append(log.read().decode(errors="replace"))
    reports = sum(text.count("WARNING: ThreadSanitizer") for text in texts)
    print(f"{sum(counts.values())} commands, {reports} reports")
    if reports or not survived or failures or len(counts) != len(kinds) * len(ports):
        print(counts, failures, "both nodes were up" if survived else "a node had ended")
        for text in texts:
            print(text[:8_000])
        sys.exit(1)


main()
