"""Methods of objects, called through virtual keys on any node."""

from collections.abc import Callable

from checks.support import EVERY_BYTE, Nodes, Report, text


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
