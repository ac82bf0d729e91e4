"""Writes the .expect files of the jobs over the flights, worked out from the CSV by plain loops.

    zstdcat datasets/flights.csv.zst | python3 Tests/Clients/expectations.py jobs
"""

import collections
import csv
import datetime
import math
import os
import statistics
import sys


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}"
    return value


def table(columns, rows):
    """As `job run` prints it: numbers to the right, columns as given."""
    cells = [[cell(row[name]) for name in columns] for row in rows]
    numeric = [any(isinstance(row[name], (int, float)) for row in rows) for name in columns]
    widths = [max(len(name), *(len(row[at]) for row in cells)) for at, name in enumerate(columns)]

    def line(texts):
        padded = [t.rjust(w) if n else t.ljust(w) for t, w, n in zip(texts, widths, numeric)]
        return "  ".join(padded).rstrip()

    return "\n".join([line(columns), line(["-" * width for width in widths])] + [line(row) for row in cells]) + "\n"


def numbers(rows, name):
    return [int(row[name]) for row in rows if row[name] not in ("", "NA")]


def quantile(values, share):
    return sorted(values)[max(1, math.ceil(len(values) * share)) - 1]


def groups(rows, *names):
    found = collections.defaultdict(list)
    for row in rows:
        found[tuple(row[name] for name in names)].append(row)
    return found


def delay_percentiles(flights):
    rows = []
    for (origin,), group in groups(flights, "origin").items():
        delays = numbers(group, "dep_delay")
        rows.append({"origin": origin, "flights": len(delays), "p50": quantile(delays, 0.5), "p90": quantile(delays, 0.9),
                     "p99": quantile(delays, 0.99), "worst": max(delays)})
    rows.sort(key=lambda row: (-row["p99"], row["origin"]))
    return ["origin", "flights", "p50", "p90", "p99", "worst"], rows


def worst_hours(flights):
    rows = []
    for (origin, hour), group in groups(flights, "origin", "hour").items():
        delays = numbers(group, "dep_delay")
        if len(delays) >= 1000:
            rows.append({"origin": origin, "hour": int(hour), "delay": sum(delays) / len(delays), "flights": len(delays),
                         "p95": quantile(delays, 0.95)})
    rows.sort(key=lambda row: (-row["delay"], row["origin"], row["hour"]))
    return ["origin", "hour", "delay", "flights", "p95"], rows[:10]


def route_league(flights):
    rows = []
    for (origin, dest), group in groups(flights, "origin", "dest").items():
        group = [row for row in group if row["arr_delay"] not in ("", "NA")]
        delays = numbers(group, "arr_delay")
        if len(delays) >= 500:
            rows.append({"origin": origin, "dest": dest, "carriers": len({row["carrier"] for row in group}),
                         "delay": sum(delays) / len(delays), "flights": len(delays),
                         "stddev": statistics.stdev(delays)})
    rows.sort(key=lambda row: (row["delay"], row["origin"], row["dest"]))
    return ["origin", "dest", "carriers", "delay", "flights", "stddev"], rows[:10]


def aircraft_miles(flights):
    flown = [row for row in flights if row["tailnum"] not in ("", "NA") and row["air_time"] not in ("", "NA")]
    rows = []
    for (tail,), group in groups(flown, "tailnum").items():
        counts = collections.Counter(row["dest"] for row in group)
        top = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
        rows.append({"airports": len(counts), "flights": len(group), "miles": sum(numbers(group, "distance")),
                     "mostly": ", ".join(f"{dest} {count}" for dest, count in top),
                     "since": min((row["time_hour"], row["origin"]) for row in group)[1], "tailnum": tail})
    rows.sort(key=lambda row: (-row["miles"], row["tailnum"]))
    return ["airports", "flights", "miles", "mostly", "since", "tailnum"], rows[:10]


def on_time_by_month(flights):
    rows = []
    found = groups(flights, "carrier", "month")
    months = [f"m{month:02}" for month in range(1, 13)]
    for carrier in sorted({row["carrier"] for row in flights}):
        row = {"carrier": carrier}
        for month, name in enumerate(months, 1):
            delays = numbers(found.get((carrier, str(month)), []), "arr_delay")
            row[name] = f"{100 * sum(d < 15 for d in delays) / len(delays):.1f} %" if delays else ""
        rows.append(row)
    return ["carrier"] + months, rows


def cancelled_by_weekday(flights):
    names = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    days = [{"cancelled": 0, "flights": 0, "share": 0.0, "weekday": f"{at} {name}"} for at, name in enumerate(names, 1)]
    for row in flights:
        day = days[datetime.date(int(row["year"]), int(row["month"]), int(row["day"])).weekday()]
        day["flights"] += 1
        day["cancelled"] += row["dep_time"] in ("", "NA")
    for day in days:
        day["share"] = day["cancelled"] / day["flights"]
    return ["cancelled", "flights", "share", "weekday"], days


JOBS = [delay_percentiles, worst_hours, route_league, aircraft_miles, on_time_by_month, cancelled_by_weekday]


def main():
    flights = list(csv.DictReader(sys.stdin))
    for job in JOBS:
        name = job.__name__
        with open(os.path.join(sys.argv[1], name + ".expect"), "w") as file:
            file.write(f"# What jobs/{name}.lua answers over all flights of 2013, computed independently of this program "
                       "from the CSV.\n")
            file.write(table(*job(flights)))


if __name__ == "__main__":
    main()
