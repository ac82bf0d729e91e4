"""The ten dashboard queries: each as a job for the node, and as SQL for the peers, with answers that must agree."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Query:
    name: str
    title: str
    plan: str  # what follows shard:frame(…) in the job's map
    finish: str  # the job's finish, or nothing
    sql: str  # for both peers, unless `clickhouse` says otherwise
    columns: tuple  # the order in which answers are compared
    clickhouse: str = ""
    tolerance: float = 1e-9
    extra: str = ""  # statements before the map

    def job(self, frame):
        finish = f"function finish(r) return r{self.finish} end\n" if self.finish else ""
        return f"function map(shard)\n  return shard:frame(\"{frame}\"){self.plan}\nend\n{finish}"

    def clickhouse_sql(self):
        return self.clickhouse or self.sql


QUERIES = [
    Query(
        "q1", "count with filter",
        ':where("dep_delay", ">", 60):count()', "",
        "SELECT count(*) AS count FROM flights WHERE dep_delay > 60", ("count",)),
    Query(
        "q2", "sum, avg, min, max",
        ':agg{ miles = sum("distance"), delay = avg("dep_delay"), low = min("dep_delay"), high = max("arr_delay") }', "",
        "SELECT sum(distance) AS miles, avg(dep_delay) AS delay, min(dep_delay) AS low, max(arr_delay) AS high FROM flights",
        ("miles", "delay", "low", "high")),
    Query(
        "q3", "by carrier",
        ':group("carrier"):agg{ n = count(), delay = avg("dep_delay") }', "",
        "SELECT carrier, count(*) AS n, avg(dep_delay) AS delay FROM flights GROUP BY carrier ORDER BY carrier",
        ("carrier", "n", "delay")),
    Query(
        "q4", "top 10 destinations",
        ':group("dest"):agg{ n = count(), miles = sum("distance") }', ':sort("n", "desc"):limit(10)',
        "SELECT dest, count(*) AS n, sum(distance) AS miles FROM flights GROUP BY dest ORDER BY n DESC, dest LIMIT 10",
        ("dest", "n", "miles")),
    Query(
        "q5", "by origin and hour",
        ':group("origin", "hour"):agg{ n = count(), delay = avg("arr_delay") }', "",
        "SELECT origin, hour, count(*) AS n, avg(arr_delay) AS delay FROM flights GROUP BY origin, hour ORDER BY origin, hour",
        ("origin", "hour", "n", "delay")),
    Query(
        "q6", "distinct tail numbers",
        ':agg{ tails = distinct("tailnum") }', "",
        "SELECT count(DISTINCT tailnum) AS tails FROM flights", ("tails",)),
    Query(
        "q7", "median, p95, p99",
        ':agg{ a = quantile("dep_delay", 0.5), b = quantile("dep_delay", 0.95), c = quantile("dep_delay", 0.99) }', "",
        "SELECT quantile_disc(dep_delay, 0.5) AS a, quantile_disc(dep_delay, 0.95) AS b, quantile_disc(dep_delay, 0.99) AS c"
        " FROM flights",
        ("a", "b", "c"),
        clickhouse="SELECT q[1] AS a, q[2] AS b, q[3] AS c FROM"
        " (SELECT quantilesExactWeighted(0.5, 0.95, 0.99)(dep_delay, 1) AS q FROM flights)"),
    Query(
        "q8", "top aircraft to three destinations",
        ':where("dest", "in", {"LAX", "SFO", "SEA"}):where("tailnum", "notnull"):group("tailnum"):agg{ n = count() }',
        ':sort("n", "desc"):limit(10)',
        "SELECT tailnum, count(*) AS n FROM flights WHERE dest IN ('LAX', 'SFO', 'SEA') AND tailnum IS NOT NULL"
        " GROUP BY tailnum ORDER BY n DESC, tailnum LIMIT 10",
        ("tailnum", "n")),
    Query(
        "q9", "by day for one carrier",
        ':where("carrier", "=", "UA"):group("month", "day"):agg{ n = count(), delay = avg("dep_delay") }', "",
        "SELECT month, day, count(*) AS n, avg(dep_delay) AS delay FROM flights WHERE carrier = 'UA'"
        " GROUP BY month, day ORDER BY month, day",
        ("month", "day", "n", "delay")),
    Query(
        "q10", "two-column filter with expression",
        ':where("distance", ">", 1000):where("origin", "=", "JFK"):with("mph", "distance / air_time * 60")'
        ':agg{ n = count(), speed = avg("mph"), best = max("mph") }', "",
        "SELECT count(*) AS n, avg(distance / air_time * 60) AS speed, max(distance / air_time * 60) AS best FROM flights"
        " WHERE distance > 1000 AND origin = 'JFK'",
        ("n", "speed", "best")),
]


def differences(ours, theirs, query):
    """A sentence for the first difference between two lists of rows, or nothing. Numbers may differ by the tolerance."""
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    for index, (a, b) in enumerate(zip(ours, theirs)):
        for column in query.columns:
            x, y = a[column], b[column]
            if isinstance(x, (int, float)) and isinstance(y, (int, float)):
                if abs(x - y) > query.tolerance * max(1.0, abs(x), abs(y)):
                    return f"row {index}: {column} {x}, not {y}"
            elif x != y:
                return f"row {index}: {column} {x!r}, not {y!r}"
    return None
