"""Each command that pymemcache offers, on each node by itself, and emptying the nodes."""

import time
from collections.abc import Callable

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError, MemcacheUnknownCommandError

from checks.support import EVERY_BYTE, Nodes, Report


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
