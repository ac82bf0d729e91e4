"""Many connections at once: nothing is lost, and nothing is let through."""

import threading
from collections import Counter
from collections.abc import Callable

from pymemcache.client.base import Client

from checks.support import Nodes, Report, text


CONNECTIONS = 50


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
