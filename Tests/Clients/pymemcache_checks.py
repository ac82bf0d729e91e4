#!/usr/bin/env python3
"""Checks three nodes of one cluster from outside, as an application that uses pymemcache meets them.

    pymemcache_checks.py HOST:PORT HOST:PORT HOST:PORT [--only GROUP[,GROUP…]]

Groups, in this order: `plain` (each command on each node), `cluster` (what one node stores the others answer), `objects`
(methods through virtual keys), `parallel` (50 connections at once), `flush` (empties the nodes). One line a check, then
`N passed, N failed`; exit code 0 only when none failed. Keys carry a prefix of this run, so it can be run again.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnknownCommandError

CONNECTIONS = 50
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


def check_plain(report: Report, nodes: Nodes, prefix: str) -> None:
    for number, client in enumerate(nodes.clients, start=1):
        node, key = f"node {number}", f"{prefix}plain{number}:"
        check_storing(report, node, client, key)
        check_arithmetic(report, node, client, key)
        check_values(report, node, client, key)
        check_many(report, node, client, key)
        check_service(report, node, client)
    check_expiry(report, nodes, prefix)


def check_storing(report: Report, node: str, client: Client, key: str) -> None:
    def check(what: str, found: Callable[[], object], wanted: object) -> None:
        report.check(f"{node}: {what}", found, wanted)

    check("get of what was never stored misses", lambda: client.get(key + "a"), None)
    check("replace of nothing is refused", lambda: client.replace(key + "a", "x"), False)
    check("append to nothing is refused", lambda: client.append(key + "a", "x"), False)
    check("prepend to nothing is refused", lambda: client.prepend(key + "a", "x"), False)
    check("add of nothing stores", lambda: client.add(key + "a", "one"), True)
    check("add of something is refused", lambda: client.add(key + "a", "two"), False)
    check("get after add", lambda: client.get(key + "a"), b"one")
    check("replace stores", lambda: client.replace(key + "a", "three"), True)
    check("append stores", lambda: client.append(key + "a", "<"), True)
    check("prepend stores", lambda: client.prepend(key + "a", ">"), True)
    check("get after replace, append and prepend", lambda: client.get(key + "a"), b">three<")
    check("set over it stores", lambda: client.set(key + "a", "four"), True)
    check("flags come back", lambda: flags_returned(client, key + "flags"), (b"f", 4294967295))

    check("cas of nothing finds nothing", lambda: client.cas(key + "none", "x", b"1"), None)
    check("cas with the unique of gets stores", lambda: client.cas(key + "a", "five", unique(client, key + "a")), True)
    check("cas with a stale unique is refused", lambda: stale_cas(client, key + "a"), False)
    check("get after the refused cas", lambda: client.get(key + "a"), b"between")
    check("gets of nothing misses", lambda: client.gets(key + "none"), (None, None))

    check("touch of nothing finds nothing", lambda: client.touch(key + "none", 100), False)
    check("touch finds the key", lambda: client.touch(key + "a", 100), True)
    check(
        "gat answers the value", lambda: client.raw_command(f"gat 100 {key}a", "END\r\n"),
        f"VALUE {key}a 0 7\r\nbetween\r\n".encode())
    check("delete finds the key", lambda: client.delete(key + "a"), True)
    check("delete of nothing finds nothing", lambda: client.delete(key + "a"), False)
    check("get after delete misses", lambda: client.get(key + "a"), None)

    check("noreply set, append and delete keep the connection in step", lambda: without_replies(client, key), b"quiet!")
    check("noreply delete deleted", lambda: client.get(key + "gone"), None)


def flags_returned(client: Client, key: str) -> tuple[bytes, int]:
    client.set(key, b"f", flags=4294967295)
    line, value, _ = client.raw_command(f"get {key}", "END\r\n").split(b"\r\n")
    return value, int(line.split()[2])


def unique(client: Client, key: str) -> bytes:
    return client.gets(key)[1]


def stale_cas(client: Client, key: str) -> object:
    stale = unique(client, key)
    client.set(key, "between")
    return client.cas(key, "late", stale)


def without_replies(client: Client, key: str) -> object:
    client.set(key + "gone", "x", noreply=True)
    client.set(key + "quiet", "quiet", noreply=True)
    client.append(key + "quiet", "!", noreply=True)
    client.delete(key + "gone", noreply=True)
    return client.get(key + "quiet")


def check_arithmetic(report: Report, node: str, client: Client, key: str) -> None:
    def check(what: str, found: Callable[[], object], wanted: object) -> None:
        report.check(f"{node}: {what}", found, wanted)

    key += "number"
    check("incr of nothing finds nothing", lambda: client.incr(key, 1), None)
    client.set(key, "10")
    check("incr answers the sum", lambda: client.incr(key, 32), 42)
    check("decr answers the difference", lambda: client.decr(key, 2), 40)
    check("decr stops at zero", lambda: client.decr(key, 100), 0)
    client.set(key, str(2**64 - 1))
    check("incr wraps at 64 bits", lambda: client.incr(key, 3), 2)
    client.set(key, "words")
    check("incr of what is no number is refused", lambda: client.incr(key, 1), MemcacheClientError)


def check_values(report: Report, node: str, client: Client, key: str) -> None:
    def check(what: str, found: Callable[[], object], wanted: object) -> None:
        report.check(f"{node}: {what}", found, wanted)

    def stored(name: str, value: bytes) -> object:
        client.set(key + name, value)
        return client.get(key + name) == value

    check("an empty value comes back", lambda: stored("empty", b""), True)
    check("every byte comes back", lambda: stored("bytes", EVERY_BYTE * 3), True)
    check("line ends and END in a value come back", lambda: stored("ends", b"END\r\nVALUE x 0 1\r\n"), True)
    check("a key of 250 bytes is taken", lambda: stored("k" * (250 - len(key)), b"long"), True)
    check("a value of 900 KB comes back", lambda: stored("big", (EVERY_BYTE * 3516)[:900_000]), True)
    check(
        "a value of 1.1 MB is refused", lambda: client.set(key + "large", b"x" * 1_100_000), MemcacheServerError)
    check("what was refused is not there", lambda: client.get(key + "large"), None)
    check("the client goes on after it", lambda: stored("after", b"still here"), True)


def check_many(report: Report, node: str, client: Client, key: str) -> None:
    def check(what: str, found: Callable[[], object], wanted: object) -> None:
        report.check(f"{node}: {what}", found, wanted)

    values = {f"{key}many{i}": f"value {i}".encode() for i in range(100)}
    names = list(values)
    check("set_many stores 100 keys", lambda: client.set_many(values), [])
    check("get_many answers 100 keys", lambda: client.get_many(names), values)
    check("get_many leaves out what is not there", lambda: client.get_many([names[0], key + "none"]),
          {names[0]: values[names[0]]})
    check("gets_many answers values with uniques", lambda: {
        name: value for name, (value, cas) in client.gets_many(names).items() if cas.isdigit()}, values)
    check("delete_many deletes 50 keys", lambda: client.delete_many(names[:50]), True)
    check("get_many answers the other 50", lambda: sorted(client.get_many(names)), sorted(names[50:]))


def check_service(report: Report, node: str, client: Client) -> None:
    def check(what: str, found: Callable[[], object], wanted: object) -> None:
        report.check(f"{node}: {what}", found, wanted)

    check("version names one", lambda: bool(client.version()), True)
    check("stats has pid, uptime, curr_items and cmd_get",
          lambda: {b"pid", b"uptime", b"curr_items", b"cmd_get"} <= set(client.stats()), True)
    check("an unknown command is an error", lambda: client.raw_command("bogus"), MemcacheUnknownCommandError)
    check("quit and reconnect", lambda: (client.quit(), bool(client.version()))[1], True)


def check_expiry(report: Report, nodes: Nodes, prefix: str) -> None:
    """One wait for all nodes. An expiry of 1 s may end at once, with the second: nothing is expected of it before."""
    for number, client in enumerate(nodes.clients, start=1):
        client.set(f"{prefix}brief{number}", "x", expire=1)
        client.set(f"{prefix}lasting{number}", "x", expire=100)
        client.set(f"{prefix}touched{number}", "x", expire=100)
        client.touch(f"{prefix}touched{number}", 1)
        client.set(f"{prefix}kept{number}", "x", expire=2)
        client.touch(f"{prefix}kept{number}", 100)
        report.check(f"node {number}: an expiry in the past stores nothing that can be read",
                     lambda: (client.set(f"{prefix}past", "x", expire=-1), client.get(f"{prefix}past"))[1], None)
    time.sleep(3.1)
    for number, client in enumerate(nodes.clients, start=1):
        for name, wanted in (("brief", None), ("lasting", b"x"), ("touched", None), ("kept", b"x")):
            what = "is over after 3 s" if wanted is None else "is still there after 3 s"
            report.check(f"node {number}: {name} {what}", lambda: client.get(f"{prefix}{name}{number}"), wanted)


def check_cluster(report: Report, nodes: Nodes, prefix: str) -> None:
    for writer, client in enumerate(nodes.clients, start=1):
        key = f"{prefix}shared{writer}:"
        values = {f"{key}{i}": f"{writer}/{i}".encode() for i in range(100)}
        for name, value in values.items():
            client.set(name, value)
        for reader, other in enumerate(nodes.clients, start=1):
            report.check(f"100 keys set on node {writer}: get on node {reader}",
                         lambda: {name: other.get(name) for name in values}, values)
            report.check(f"100 keys set on node {writer}: get_many on node {reader}",
                         lambda: other.get_many(list(values)), values)
    check_changes_elsewhere(report, nodes.clients, prefix)


def check_changes_elsewhere(report: Report, clients: list[Client], prefix: str) -> None:
    """Each command on one node, for keys of every owner, its effect on the next."""
    keys = [f"{prefix}change{i}" for i in range(30)]

    def each(action: Callable[[int, str], object]) -> list[object]:
        return [action(i, key) for i, key in enumerate(keys)]

    def node(i: int) -> Client:
        return clients[i % len(clients)]

    yes = [True] * len(keys)
    report.check("add on one node", lambda: each(lambda i, key: node(i).add(key, "1")), yes)
    report.check("add on the next is refused", lambda: each(lambda i, key: node(i + 1).add(key, "2")), [False] * 30)
    report.check("append on the third", lambda: each(lambda i, key: node(i + 2).append(key, "0")), yes)
    report.check("incr on the next", lambda: each(lambda i, key: node(i + 1).incr(key, 5)), [15] * 30)
    report.check("cas on one node with the unique from another",
                 lambda: each(lambda i, key: node(i).cas(key, "new", unique(node(i + 1), key))), yes)
    report.check("touch on the third", lambda: each(lambda i, key: node(i + 2).touch(key, 100)), yes)
    report.check("get on the next", lambda: each(lambda i, key: node(i + 1).get(key)), [b"new"] * 30)
    big = EVERY_BYTE * 3500
    report.check("a big value set on one node comes back from the others",
                 lambda: [node(0).set(prefix + "big", big), *(c.get(prefix + "big") == big for c in clients)], [True] * 4)
    report.check("noreply set on one node is seen on it at once",
                 lambda: each(lambda i, key: (node(i).set(key, f"q{i}", noreply=True), node(i).get(key))[1]),
                 [f"q{i}".encode() for i in range(30)])
    report.check("delete on one node", lambda: each(lambda i, key: node(i).delete(key)), yes)
    report.check("get after delete misses on all",
                 lambda: [c.get_many(keys) for c in clients], [{}] * len(clients))


def check_objects(report: Report, nodes: Nodes, prefix: str) -> None:
    """Each verb of the types the ancestor had, each asked of another node than the one before."""
    for first in range(len(nodes.clients)):
        calls = Calls(report, nodes, first)
        name = f"{prefix}object{first}"
        check_set_type(calls, name)
        check_map_type(calls, name)
        check_quota_type(calls, name)
        check_sliding_window_type(calls, name)
    client = nodes.clients[0]
    report.check("a key that looks like a method but names no type is a plain key",
                 lambda: (client.set(f"user:profile:{prefix}", "x"), client.get(f"user:profile:{prefix}"))[1], b"x")
    report.check("an argument too long for a key travels as the data block",
                 lambda: long_argument(nodes, prefix), b"long : " + EVERY_BYTE * 8)
    report.check("get_many answers plain and virtual keys together", lambda: mixed(nodes, prefix),
                 {f"{prefix}plain": b"p", f"map:get:{prefix}mixed:k": b"k : v"})


class Calls:
    """Calls methods by `get`, going round the nodes."""

    def __init__(self, report: Report, nodes: Nodes, first: int) -> None:
        self.report = report
        self.clients = nodes.clients
        self.next = first

    def __call__(self, key: str, wanted: object, read: Callable[[str], object] = str) -> None:
        client = self.clients[self.next % len(self.clients)]
        node = self.next % len(self.clients) + 1
        self.next += 1
        self.report.check(f"node {node}: get {key}", lambda: read(text(client.get(key))), wanted)


def sorted_lines(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in sorted(lines))


def split_lines(answer: str) -> list[str]:
    return sorted(answer.split())


def check_set_type(calls: Calls, name: str) -> None:
    calls(f"set:put:{name}:a", "ERROR_CACHE_MISS")
    calls(f"set:count:{name}", "ERROR_CACHE_MISS")
    calls(f"set:new:{name}", "CREATED")
    calls(f"set:count:{name}", "0")
    for member in ("b", "a", "c", "a"):
        calls(f"set:put:{name}:{member}", "SUCCESS")
    calls(f"set:count:{name}", "3")
    calls(f"set:exist:{name}:a", "EXISTS")
    calls(f"set:exist:{name}:z", "NOT_FOUND")
    calls(f"set:delete:{name}:b", "SUCCESS")
    calls(f"set:exist:{name}:b", "NOT_FOUND")
    calls(f"set:getall:{name}", sorted_lines("a", "c"))
    left, right = f"{{{name}}}left", f"{{{name}}}right"
    for object_name, members in ((left, "xy"), (right, "yz")):
        calls(f"set:new:{object_name}", "CREATED")
        for member in members:
            calls(f"set:put:{object_name}:{member}", "SUCCESS")
    calls(f"set:union:{left}:{right}", ["x", "y", "z"], split_lines)
    calls(f"set:intersection:{left}:{right}", ["y"], split_lines)


def check_map_type(calls: Calls, name: str) -> None:
    calls(f"map:get:{name}:k", "ERROR_CACHE_MISS")
    calls(f"map:new:{name}", "CREATED")
    calls(f"map:put:{name}:k2:two", "SUCCESS")
    calls(f"map:put:{name}:k1:one", "SUCCESS")
    calls(f"map:put:{name}:k1:uno", "SUCCESS")
    calls(f"map:put:{name}:colon:a%3Ab", "SUCCESS")
    calls(f"map:get:{name}:k1", "k1 : uno")
    calls(f"map:get:{name}:colon", "colon : a:b")
    calls(f"map:count:{name}", "3")
    calls(f"map:delete:{name}:colon", "SUCCESS")
    calls(f"map:getkeys:{name}", ["k1", "k2"], split_lines)
    calls(f"map:getvalues:{name}", ["two", "uno"], split_lines)
    calls(f"map:getall:{name}", sorted_lines("k1 : uno", "k2 : two"))


def check_quota_type(calls: Calls, name: str) -> None:
    calls(f"quota:addandcheck:{name}:1", "ERROR_CACHE_MISS")
    calls(f"quota:new:{name}:5:day", "CREATED")
    calls(f"quota:addandcheck:{name}:3", "QUOTA_OK")
    calls(f"quota:addandcheck:{name}:3", "QUOTA_EXCEEDED")
    calls(f"quota:addandcheck:{name}:2", "QUOTA_OK")
    calls(f"quota:addandcheck:{name}:1", "QUOTA_EXCEEDED")


def check_sliding_window_type(calls: Calls, name: str) -> None:
    calls(f"swcounter:getavg:{name}", "ERROR_CACHE_MISS")
    calls(f"swcounter:new:{name}:4", "CREATED")
    for value in (100, 4, 1, 3, 2):
        calls(f"swcounter:add:{name}:{value}", "SUCCESS")
    calls(f"swcounter:getlast:{name}", 2.0, float)
    calls(f"swcounter:getmin:{name}", 1.0, float)
    calls(f"swcounter:getmax:{name}", 4.0, float)
    calls(f"swcounter:getavg:{name}", 2.5, float)


def long_argument(nodes: Nodes, prefix: str) -> object:
    one, two, three = nodes.clients
    one.get(f"map:new:{prefix}long")
    two.set(f"map:put:{prefix}long:long", EVERY_BYTE * 8)
    return three.get(f"map:get:{prefix}long:long")


def mixed(nodes: Nodes, prefix: str) -> object:
    one, two, three = nodes.clients
    one.get(f"map:new:{prefix}mixed")
    one.get(f"map:put:{prefix}mixed:k:v")
    two.set(f"{prefix}plain", "p")
    return three.get_many([f"{prefix}plain", f"map:get:{prefix}mixed:k", f"{prefix}nothing"])


def check_parallel(report: Report, nodes: Nodes, prefix: str) -> None:
    """What many connections change at once loses nothing and lets nothing through."""
    opener = nodes.clients[0]
    quota, members, number = f"{prefix}alice", f"{prefix}members", f"{prefix}number"
    opener.get(f"quota:new:{quota}:50:day")
    opener.get(f"set:new:{members}")
    opener.set(number, "0")

    def spend(index: int, client: Client) -> list[str]:
        tries = 2 if index < 30 else 1  # 30 connections try twice, 20 once: 80 in all
        return [text(client.get(f"quota:addandcheck:{quota}:1")) for _ in range(tries)]

    report.check("80 tries on a quota of 50 from 50 connections: 50 pass",
                 lambda: Counter(all_at_once(nodes, spend)), Counter(QUOTA_OK=50, QUOTA_EXCEEDED=30))
    report.check("after that none does, on any node",
                 lambda: [text(c.get(f"quota:addandcheck:{quota}:1")) for c in nodes.clients], ["QUOTA_EXCEEDED"] * 3)
    report.check("50 connections put 4 members each into a set",
                 lambda: Counter(all_at_once(nodes, lambda index, client: [
                     text(client.get(f"set:put:{members}:{index}-{i}")) for i in range(4)])), Counter(SUCCESS=200))
    report.check("the set counts 200", lambda: text(opener.get(f"set:count:{members}")), "200")
    report.check("50 connections incr a key 20 times: each sum is answered once",
                 lambda: sorted(all_at_once(nodes, lambda index, client: [client.incr(number, 1) for _ in range(20)])),
                 list(range(1, 1001)))
    report.check("50 connections replace a value by cas 4 times each: none is lost",
                 lambda: (all_at_once(nodes, lambda index, client: add_by_cas(client, f"{prefix}cas", 4)),
                          opener.get(f"{prefix}cas"))[1], b"200")


def add_by_cas(client: Client, key: str, times: int) -> list[object]:
    client.add(key, "0")
    done = 0
    while done < times:
        value, cas = client.gets(key)
        if client.cas(key, str(int(value) + 1), cas):
            done += 1
    return []


def all_at_once(nodes: Nodes, action: Callable[[int, Client], list]) -> list:
    """Runs `action` on 50 connections, spread over the nodes, that start together; all they returned."""
    start = threading.Barrier(CONNECTIONS)
    results: list[list] = [[] for _ in range(CONNECTIONS)]

    def run(index: int) -> None:
        client = nodes.connect(index)
        try:
            client.version()  # connects
            start.wait(30)
            results[index] = action(index, client)
        except Exception as error:  # shown in place of the results that are missing
            start.abort()
            results[index] = [f"connection {index} raised {type(error).__name__}: {error}"]
        finally:
            client.close()

    threads = [threading.Thread(target=run, args=(index,), daemon=True) for index in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return [result for one in results for result in one]


def check_flush(report: Report, nodes: Nodes, prefix: str) -> None:
    keys = [f"{prefix}flush{i}" for i in range(30)]
    for client in nodes.clients:
        for key in keys:
            client.set(key, "x")
    for number, client in enumerate(nodes.clients, start=1):
        report.check(f"node {number}: flush_all", client.flush_all, True)
    for number, client in enumerate(nodes.clients, start=1):
        report.check(f"node {number}: nothing is left", lambda: client.get_many(keys), {})
        report.check(f"node {number}: new keys are taken",
                     lambda: (client.set(prefix + "new", "y"), client.get(prefix + "new")), (True, b"y"))


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
