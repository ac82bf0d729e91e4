"""Asks a node and DuckDB the same random plans over a random table, and compares the answers.

    .build-peers/bin/python Benchmarks/Analytics/differential.py --plans 10000 [--seed N] [--rows N] [--nodes N]

Sums of integers, counts, extremes, quantiles and distinct counts must be equal, what is reckoned in doubles to nine digits.
Prints the plans that differ; exit code 0 only when there is none.
"""

import argparse
import datetime
import json
import math
import os
import random
import sys

import duckdb

from node import Nodes

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
START = datetime.datetime(2012, 12, 30)
TYPES = {
    "tiny": "BIGINT", "medium": "BIGINT", "large": "BIGINT", "ratio": "DOUBLE", "city": "VARCHAR", "tail": "VARCHAR",
    "late": "BOOLEAN", "seen": "TIMESTAMP",
}
NUMBERS = ["tiny", "medium", "large", "ratio"]
EXPRESSIONS = [
    ("tiny * 2 + medium", "(tiny * 2.0 + medium)"),
    ("ratio / tiny", "(ratio / nullif(tiny::DOUBLE, 0))"),
    ("abs(ratio) - medium / 4", "(abs(ratio) - medium / 4.0)"),
    ("floor(ratio) % 7", "(floor(ratio) % 7.0::DOUBLE)"),
]


def value(name, r):
    match name:
        case "tiny": return r.randrange(-2, 3)
        case "medium": return r.randrange(-20_000, 20_000)
        case "large": return r.randrange(1 << 45)
        case "ratio": return r.randrange(-2_000_000, 2_000_000) / 128 or 0.5
        case "city": return r.choice(["", "Ōsaka", "Zürich", "a", "ab", "Aa", "b", "🛫", "x y"])
        case "tail": return f"N{r.randrange(1000)}"
        case "late": return r.random() < 0.3
        case "seen": return START + datetime.timedelta(seconds=r.randrange(400 * 86_400))


def iso(time):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def lua(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, datetime.datetime):
        return f'"{iso(x)}"'
    return json.dumps(x, ensure_ascii=False) if isinstance(x, str) else repr(x)


def sql(x):
    if isinstance(x, bool):
        return "true" if x else "false"
    if isinstance(x, datetime.datetime):
        return f"TIMESTAMP '{x}'"
    return "'" + x + "'" if isinstance(x, str) else repr(x)


def condition(r):
    """Arguments of where, and the same in SQL."""
    name = r.choice(list(TYPES))
    ops = ["=", "~=", "<", "<=", ">", ">=", "in", "between", "isnull", "notnull"]
    ops += {"VARCHAR": ["like"] * 3, "TIMESTAMP": ["during"] * 3}.get(TYPES[name], [])
    op = r.choice(ops)
    if op in ("isnull", "notnull"):
        return f'"{name}", "{op}"', f"{name} IS {'NOT ' if op == 'notnull' else ''}NULL"
    if op == "like":
        pattern = r.choice(["%a%", "N1%", "_", "%", "N_2%", "Z%h"])
        return f'"{name}", "like", "{pattern}"', f"{name} LIKE '{pattern}'"
    if op == "during":
        period, start, end = r.choice([
            ("2013", "2013-01-01", "2014-01-01"), ("2013-02", "2013-02-01", "2013-03-01"),
            ("2013-07-04", "2013-07-04", "2013-07-05"), ("2013-03-10/2013-03-12", "2013-03-10", "2013-03-12"),
            ("2013-05-01T05", "2013-05-01 05:00:00", "2013-05-01 06:00:00")])
        return (f'"{name}", "during", "{period}"',
                f"({name} >= TIMESTAMP '{start}' AND {name} < TIMESTAMP '{end}')")
    values = [value(name, r) for _ in range({"in": r.randrange(1, 5), "between": 2}.get(op, 1))]
    if op == "in":
        return (f'"{name}", "in", {{{", ".join(map(lua, values))}}}', f"{name} IN ({', '.join(map(sql, values))})")
    if op == "between":
        return (f'"{name}", "between", {lua(values[0])}, {lua(values[1])}',
                f"{name} BETWEEN {sql(values[0])} AND {sql(values[1])}")
    return f'"{name}", "{op}", {lua(values[0])}', f"{name} {'<>' if op == '~=' else op} {sql(values[0])}"


def shown(expression, kind):
    return f"strftime({expression}, '%Y-%m-%dT%H:%M:%SZ')" if kind == "TIMESTAMP" else expression


def key(r, name):
    if name == "seen":
        width = r.choice(["hour", "day", "week", "month"])
        return f'bucket("seen", "{width}")', f"strftime(date_trunc('{width}', seen), '%Y-%m-%dT%H:%M:%SZ')"
    if name == "medium":
        width = r.choice([100, 3_000])
        return f'bucket("medium", {width})', f"(floor(medium / {width}.0) * {width})::BIGINT"
    return f'"{name}"', name


def aggregate(r, computed):
    """What agg{…} takes, and the same in SQL."""
    columns = {**TYPES, **{name: "DOUBLE" for name in computed}}
    terms = {name: computed.get(name, name) for name in columns}
    number = r.choice(NUMBERS + list(computed))
    any_name = r.choice(list(columns))
    term, kind = terms[any_name], columns[any_name]
    match r.randrange(11):
        case 0: return "count()", "count(*)"
        case 1: return f'count("{any_name}")', f"count({term})"
        case 2: return f'sum("{number}")', f"sum({terms[number]})"
        case 3: return f'avg("{number}")', f"avg({terms[number]})"
        case 4: return f'min("{any_name}")', shown(f"min({term})", kind)
        case 5: return f'max("{any_name}")', shown(f"max({term})", kind)
        case 6:
            function = r.choice(["variance", "stddev"])
            return f'{function}("{number}")', f"{function}_samp({terms[number]})" if function == "stddev" else f"var_samp({terms[number]})"
        case 7:
            share = r.choice([0.25, 0.5, 0.75])
            return f'quantile("{number}", {share})', f"quantile_disc({terms[number]}, {share})"
        case 8: return f'distinct("{any_name}")', f"count(DISTINCT {term})"
        case 9:
            edges = sorted(r.sample(range(-20_000, 20_000), r.randrange(1, 6)))
            bounds = [None, *edges, None]
            counts = []
            for low, high in zip(bounds, bounds[1:]):
                terms_of_bin = [f"medium >= {low}"] * (low is not None) + [f"medium < {high}"] * (high is not None)
                counts.append(f"count(*) FILTER (WHERE {' AND '.join(terms_of_bin)})")
            return f'histogram("medium", {{{", ".join(map(str, edges))}}})', f"[{', '.join(counts)}]"
        case _:
            end, order = r.choice([("first", "ASC"), ("last", "DESC")])
            by = r.choice(["tiny", "large", "ratio", "seen"])
            chosen = (f"(list({term} ORDER BY {by} {order}, {term} {order}) "
                      f"FILTER (WHERE {term} IS NOT NULL AND {by} IS NOT NULL))[1]")
            return f'{end}("{any_name}", "{by}")', shown(chosen, kind)


def plan(r):
    """A job and a statement that ask the same; and how many of the columns are keys."""
    text, where = "", []
    computed = {}
    for index in range(r.choice([0, 0, 1])):
        expression, term = r.choice(EXPRESSIONS)
        computed[f"c{index}"] = term
        text += f':with("c{index}", "{expression}")'
    for _ in range(r.randrange(4)):
        lua_text, sql_text = condition(r)
        text += f":where({lua_text})"
        where.append(sql_text)
    if r.random() < 0.3:
        pairs = [condition(r) for _ in range(r.randrange(1, 4))]
        text += ":where_any{" + ", ".join("{" + lua_text + "}" for lua_text, _ in pairs) + "}"
        where.append("(" + " OR ".join(sql_text for _, sql_text in pairs) + ")")
    names = r.sample(["tiny", "medium", "city", "tail", "late", "seen"], r.choice([0, 1, 1, 2, 3]))
    keys = [key(r, name) for name in names]
    if keys:
        text += f":group({', '.join(lua_text for lua_text, _ in keys)})"
    aggregates = [aggregate(r, computed) for _ in range(r.randrange(1, 5))]
    text += ":agg{ " + ", ".join(f"x{at} = {lua_text}" for at, (lua_text, _) in enumerate(aggregates)) + " }"
    columns = [f"{term} AS k_{name}" for name, (_, term) in zip(names, keys)]
    columns += [f"{term} AS x{at}" for at, (_, term) in enumerate(aggregates)]
    statement = f"SELECT {', '.join(columns)} FROM t" + (f" WHERE {' AND '.join(where)}" if where else "")
    if keys:
        statement += f" GROUP BY {', '.join(str(at + 1) for at in range(len(keys)))}"
    job = f'function map(shard) return shard:frame("t"){text} end'
    return job, statement, names + [f"x{at}" for at in range(len(aggregates))], len(keys)


def same(a, b):
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b or a == b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-6 if isinstance(a, float) else 0)
    return a == b


def order(row, keys):
    return [(x is None, str(type(x)), x if x is not None else 0) for x in row[:keys]]


def difference(ours, theirs, keys):
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, not {len(theirs)}"
    ours, theirs = (sorted(rows, key=lambda row: order(row, keys)) for rows in (ours, theirs))
    for mine, other in zip(ours, theirs):
        if not all(map(same, mine, other)):
            return f"{mine}, not {other}"
    return None


def load(connection, database, r, rows):
    table = []
    for _ in range(rows):
        table.append([None if r.random() < 0.05 else value(name, r) for name in TYPES])
    database.execute("CREATE TABLE t (" + ", ".join(f"{name} {kind}" for name, kind in TYPES.items()) + ")")
    database.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(TYPES))})", table)
    for at in range(0, rows, 5_000):
        lines = []
        for row in table[at:at + 5_000]:
            cells = {name: iso(x) if isinstance(x, datetime.datetime) else x for name, x in zip(TYPES, row)}
            lines.append(json.dumps(cells, ensure_ascii=False))
        connection.set("frame:append:t", "\n".join(lines).encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", default=os.path.join(ROOT, ".build", "release", "cacheismo"))
    parser.add_argument("--plans", type=int, default=1_000)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--port", type=int, default=24350)
    options = parser.parse_args()
    r = random.Random(options.seed)
    database = duckdb.connect(":memory:")
    nodes = Nodes(options.binary, options.port, count=options.nodes)
    failures = 0
    try:
        connections = [nodes.connect(index) for index in range(options.nodes)]
        load(connections[0], database, r, options.rows)
        for index in range(options.plans):
            job, statement, columns, keys = plan(r)
            theirs = [list(row) for row in database.execute(statement).fetchall()]
            connection = r.choice(connections)
            connection.set("job:define:plan", job.encode())
            envelope = connection.json("job:run:plan")
            if envelope["status"] != "complete":
                problem = str(envelope.get("error"))
            else:
                problem = difference([[row[name] for name in columns] for row in envelope["result"]], theirs, keys)
            if problem:
                failures += 1
                print(f"plan {index} of seed {options.seed}: {problem}\n  {job}\n  {statement}", flush=True)
                if failures == 10:
                    break
        print(f"{index + 1} plans over {options.rows} rows on {options.nodes} nodes: {failures} differ")
    finally:
        nodes.stop()
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
