"""The analytics benchmark: ten dashboard queries over the flights many times over, asked of a running node over the wire,
and of DuckDB and ClickHouse in the same run.

Rounds are interleaved: each asks every query of everybody once. A time is the median of its rounds; ratios are those of
medians. Answers must agree before anything is timed.
"""

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

from node import Nodes
from peers import available
from queries import QUERIES, differences

PARTS = ("compare", "fresh", "appends", "gets", "nodes", "linearity")
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def make_csv(directory, times):
    """The flights `times` times over, one header."""
    data = subprocess.run(
        ["zstd", "-dqc", os.path.join(ROOT, "datasets", "flights.csv.zst")], check=True, stdout=subprocess.PIPE).stdout
    header, body = data.split(b"\n", 1)
    path = os.path.join(directory, f"flights{times}.csv")
    with open(path, "wb") as file:
        file.write(header + b"\n")
        for _ in range(times):
            file.write(body)
    return path, body


def load(binary, nodes, frame, csv):
    started = time.perf_counter()
    result = subprocess.run(
        [binary, "load", frame, csv, "--server", f"127.0.0.1:{nodes.ports[0]}"], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    return time.perf_counter() - started


class Ours:
    """The jobs, defined once and asked by name. A parameter that nobody reads makes a plan new: `first` asks so."""

    name = "cacheismo"

    def __init__(self, nodes, frame="flights"):
        self.connection = nodes.connect()
        self.frame = frame
        for query in QUERIES:
            self.connection.set(f"job:define:{query.name}", query.job(frame).encode())
            self.connection.set(f"job:define:{query.name}new", self._unseen(query).encode())
        self.salt = random.randrange(1 << 30)

    def _unseen(self, query):
        """The same question as a plan that was never asked: a computed column that is not used has a new name."""
        frame = f'shard:frame("{self.frame}")'
        return "job.params = { salt = 0 }\n" + query.job(self.frame).replace(
            "map(shard)", "map(shard, p)").replace(
            frame, f'{frame}:with("unused" .. string.format("%d", p.salt), "distance")')

    def ask(self, query):
        return self._result(self.connection.json(f"job:run:{query.name}"))

    def ask_first(self, query):
        self.salt += 1
        return self._result(self.connection.json(f"job:run:{query.name}new:salt={self.salt}"))

    def _result(self, envelope):
        if envelope["status"] != "complete":
            raise RuntimeError(f"{envelope.get('error')}")
        self.envelope = envelope
        return envelope["result"]


def timed(ask, query):
    started = time.perf_counter()
    ask(query)
    return (time.perf_counter() - started) * 1e3


def medians(asks, rounds):
    """{name: {query: milliseconds}}, rounds interleaved."""
    times = {name: {query.name: [] for query in QUERIES} for name in asks}
    for _ in range(rounds):
        for query in QUERIES:
            for name, ask in asks.items():
                times[name][query.name].append(timed(ask, query))
    return {name: {q: statistics.median(t) for q, t in each.items()} for name, each in times.items()}


def geometric_mean(numbers):
    return math.exp(sum(math.log(number) for number in numbers) / len(numbers))


def check(ours, peers):
    good = True
    for query in QUERIES:
        mine = ours.ask_first(query)
        again = ours.ask(query)
        if differences(mine, again, query):
            good = False
            print(f"{query.name}: asked again it answers differently: {differences(mine, again, query)}")
        for peer in peers:
            problem = differences(mine, peer.ask(query), query)
            if problem:
                good = False
                print(f"{query.name}: not {peer.name}'s answer: {problem}")
    print("answers agree" if good else "ANSWERS DIFFER")
    return good


def print_table(times, peers):
    names = [peer.name for peer in peers]
    head = f"{'query':<36}{'first ms':>10}{'again ms':>10}"
    for name in names:
        head += f"{name + ' ms':>15}{'x':>7}"
    print(head)
    for query in QUERIES:
        first = times["first"][query.name]
        line = f"{query.name + ' ' + query.title:<36}{first:>10.2f}{times['again'][query.name]:>10.2f}"
        for name in names:
            theirs = times[name][query.name]
            line += f"{theirs:>15.1f}{theirs / first:>7.1f}"
        print(line)
    line = f"{'geometric mean':<36}" + "".join(
        f"{geometric_mean(times[kind].values()):>10.2f}" for kind in ("first", "again"))
    for name in names:
        ratio = geometric_mean([times[name][q.name] / times["first"][q.name] for q in QUERIES])
        line += f"{geometric_mean(times[name].values()):>15.1f}{ratio:>7.1f}"
    print(line, flush=True)


def append_rows(nodes, body, rows, per_block):
    """`rows` rows of the flights through frame:append; the seconds that took."""
    names = ("year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay carrier flight tailnum "
             "origin dest air_time distance hour minute time_hour").split()
    texts = {"carrier", "tailnum", "origin", "dest", "time_hour"}
    lines = []
    for line in body.split(b"\n", rows)[:rows]:
        fields = zip(names, line.decode().split(","))
        lines.append("{" + ",".join(
            f'"{n}":' + ("null" if v == "NA" else f'"{v}"' if n in texts else v) for n, v in fields) + "}")
    blocks = ["\n".join(lines[at:at + per_block]).encode() for at in range(0, len(lines), per_block)]
    connection = nodes.connect()
    started = time.perf_counter()
    for block in blocks:
        connection.set("frame:append:flights", block)
    seconds = time.perf_counter() - started
    connection.close()
    return seconds


def get_latencies(nodes, seconds, rate=2000):
    """Microseconds of plain gets, asked at a steady rate on one connection."""
    connection = nodes.connect()
    connection.set("plain", b"x" * 100)
    latencies = []
    until = time.perf_counter() + seconds
    due = time.perf_counter()
    while due < until:
        due += 1 / rate
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        started = time.perf_counter()
        connection.get("plain")
        latencies.append((time.perf_counter() - started) * 1e6)
    connection.close()
    return sorted(latencies)


def percentile(latencies, share):
    return latencies[min(len(latencies) - 1, int(len(latencies) * share))]


def measure_gets(nodes, ours):
    idle = get_latencies(nodes, 5)
    process = subprocess.Popen(
        [sys.executable, os.path.join(os.path.dirname(__file__), "loop.py"), str(nodes.ports[0])])
    try:
        busy = get_latencies(nodes, 5)
    finally:
        process.terminate()
        process.wait()
    print(f"plain gets, p99: idle {percentile(idle, .99):.0f} us, while the ten queries loop {percentile(busy, .99):.0f} us"
          f" ({percentile(busy, .99) / percentile(idle, .99):.1f} x); median {percentile(idle, .5):.0f} and"
          f" {percentile(busy, .5):.0f} us", flush=True)


def measure_fresh(nodes, ours, body, rounds):
    times = {query.name: [] for query in QUERIES}
    for _ in range(rounds):
        append_rows(nodes, body, 10_000, 1_000)
        for query in QUERIES:
            times[query.name].append(timed(ours.ask, query))
    each = "  ".join(f"{name} {statistics.median(t):.2f}" for name, t in times.items())
    print(f"after 10,000 new rows, ms: {each}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.path.join(ROOT, ".build", "release", "cacheismo"))
    parser.add_argument("--times", type=int, default=30, help="how often the 336,776 flights are repeated")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--port", type=int, default=24300)
    parser.add_argument("--threads", type=int, default=2, help="of the peers")
    parser.add_argument("--peers", default="duckdb,clickhouse", help="which to compare with; none for none")
    parser.add_argument("--parts", default="compare", help=f"which parts to run, of {','.join(PARTS)}")
    parser.add_argument("--all", action="store_true", help="all parts")
    parser.add_argument("--csv", help="keep the repeated CSV in this directory")
    options = parser.parse_args()
    options.parts = set(PARTS if options.all else options.parts.split(","))
    if not options.parts <= set(PARTS):
        parser.error(f"--parts: there are {','.join(PARTS)}")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}, on {os.cpu_count()} cores", flush=True)
    directory = options.csv or tempfile.mkdtemp(prefix="cacheismo-bench-")
    csv, body = make_csv(directory, options.times)
    rows = 336_776 * options.times
    try:
        if options.parts & {"compare", "fresh", "appends", "gets"}:
            compare(options, csv, body, rows)
        if "nodes" in options.parts:
            three_nodes(options, csv)
        if "linearity" in options.parts:
            for times in (1, 3, 10, 30):
                linearity(options, directory, times)
        print(f"load of the machine after: {os.getloadavg()[0]:.1f}", flush=True)
    finally:
        if not options.csv:
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)


def compare(options, csv, body, rows):
    nodes = Nodes(options.binary, options.port)
    try:
        before = nodes.resident_mebibytes()
        seconds = load(options.binary, nodes, "flights", csv)
        ours = Ours(nodes)
        info = ours.connection.json("frame:info:flights")
        print(f"{rows:,} rows; loaded in {seconds:.1f} s, {rows / seconds:,.0f} rows a second; "
              f"{info['storedBytes'] / rows:.1f} bytes a row on the account, "
              f"{(nodes.resident_mebibytes() - before) * 1048576 / rows:.1f} resident", flush=True)
        good = True
        if "compare" in options.parts:
            good = measure_peers(options, csv, rows, ours)
        if "fresh" in options.parts:
            measure_fresh(nodes, ours, body, 3)
        if "appends" in options.parts:
            count = 100_000
            seconds = append_rows(nodes, body, count, 2_000)
            print(f"appends of 2,000 rows over one connection: {count / seconds:,.0f} rows a second", flush=True)
        if "gets" in options.parts:
            measure_gets(nodes, ours)
        if not good:
            sys.exit(1)
    finally:
        nodes.stop()


def measure_peers(options, csv, rows, ours):
    peers = available(csv, options.threads, options.peers.split(","))
    for peer in peers:
        print(f"{peer.name} {peer.version}: loaded in {peer.load_seconds:.1f} s, "
              f"{peer.bytes_held() / rows:.1f} bytes a row", flush=True)
    good = check(ours, peers)
    asks = {"first": ours.ask_first, "again": ours.ask, **{peer.name: peer.ask for peer in peers}}
    print_table(medians(asks, options.rounds), peers)
    return good


def three_nodes(options, csv):
    """The same rows on three nodes beside one node, on the same cores, asked in turn."""
    one, three = Nodes(options.binary, options.port + 10), None
    try:
        three = Nodes(options.binary, options.port + 20, count=3)
        for nodes in (one, three):
            load(options.binary, nodes, "flights", csv)
        asks = {"one": Ours(one).ask_first, "three": Ours(three).ask_first}
        times = medians(asks, options.rounds)
        ratio = geometric_mean([times["three"][q.name] / times["one"][q.name] for q in QUERIES])
        each = "  ".join(f"{q.name} {times['one'][q.name]:.2f}/{times['three'][q.name]:.2f}" for q in QUERIES)
        print(f"one node/three nodes, ms: {each}; geometric mean of ratios {ratio:.2f}", flush=True)
    finally:
        one.stop()
        if three:
            three.stop()


def linearity(options, directory, times):
    """How long each query takes with so many rows, with both cores and with one."""
    csv, _ = make_csv(directory, times)
    for cores in (1, 2):
        pin = ["taskset", "-c", "0" if cores == 1 else "0,1"]
        nodes = Nodes(options.binary, options.port + 30, prefix=pin)
        try:
            load(options.binary, nodes, "flights", csv)
            each = medians({"ours": Ours(nodes).ask_first}, options.rounds)["ours"]
            print(f"{times:>3} times, {cores} core{'s' if cores > 1 else ' '}: "
                  + "  ".join(f"{name} {ms:.2f}" for name, ms in each.items())
                  + f"; geometric mean {geometric_mean(each.values()):.2f} ms", flush=True)
        finally:
            nodes.stop()


if __name__ == "__main__":
    main()
