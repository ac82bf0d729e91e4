"""What one node stores the others answer, whoever owns the key."""

from collections.abc import Callable

from pymemcache.client.base import Client

from checks.support import EVERY_BYTE, Nodes, Report


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
                 lambda: each(lambda i, key: node(i).cas(key, "new", node(i + 1).gets(key)[1])), yes)
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
