#!/usr/bin/env python3
"""Sends requests to a node too slowly, over many connections at once, and asks for other things meanwhile.

    slow_senders.py HOST:PORT COUNT

A third of the connections stop within the head, to which they add a byte now and then, a third within the body, and a third within the head
behind a request that is answered. All of them have to be answered with 408 and closed; a connection on which nothing comes is closed without an answer; and all that is asked meanwhile is answered.
Prints what it found as JSON: `{"asked", "answered", "slowestMs", "late", "closed", "idle"}`.
"""

import http.client
import json
import selectors
import socket
import sys
import time

PATIENCE_SECONDS = 600
HEAD = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
BEHIND = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" + HEAD
BODY = b"PUT /v1/items/slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf"


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    count = int(sys.argv[2])
    address = (host, int(port))
    idle = socket.create_connection(address, PATIENCE_SECONDS)
    senders = [socket.create_connection(address, PATIENCE_SECONDS) for _ in range(count)]
    answers: dict[socket.socket, bytes] = {}
    waiting = selectors.DefaultSelector()
    for at, sender in enumerate(senders):
        sender.sendall((HEAD, BODY, BEHIND)[at % 3])
        sender.setblocking(False)
        waiting.register(sender, selectors.EVENT_READ)
        answers[sender] = b""
    asked = answered = 0
    slowest = 0.0
    closed = 0
    end = time.monotonic() + PATIENCE_SECONDS
    while closed < count and time.monotonic() < end:
        for sender in senders[::3]:
            # What comes now and then does not count: the head as a whole has its time.
            if asked % 20 == 0 and not answers[sender]:
                try:
                    sender.send(b"x")
                except OSError:
                    pass
        began = time.monotonic()
        connection = http.client.HTTPConnection(*address, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/v1/get?key=a")
        answered += connection.getresponse().status == 200
        connection.close()
        asked += 1
        slowest = max(slowest, time.monotonic() - began)
        for key, _ in waiting.select(0.1):
            sender = key.fileobj
            try:
                piece = sender.recv(65536)
            except ConnectionResetError:
                piece = b""
            answers[sender] += piece
            if not piece:
                waiting.unregister(sender)
                closed += 1
    late = sum(answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ") and b'"reason":"too_slow"' in answer for answer in answers.values())
    print(
        json.dumps(
            {
                "asked": asked,
                "answered": answered,
                "slowestMs": round(slowest * 1000, 1),
                "late": late,
                "closed": closed,
                "idle": idle.recv(65536).decode(),
            }
        )
    )


if __name__ == "__main__":
    main()
