"""What the checks of the page need on the nodes: a frame, a job and a quota. Made where they are not there."""

import json
import urllib.error
import urllib.request
from pathlib import Path

JOB = "delays_by_carrier"
FREE_JOB = "top_keys"
CARRIERS = ["AA", "B6", "DL", "EV", "F9", "HA", "UA", "WN"]


def ask(url: str, method: str = "GET", body: bytes | None = None, content: str | None = None) -> object:
    request = urllib.request.Request(url, data=body, method=method)
    if content:
        request.add_header("Content-Type", content)
    with urllib.request.urlopen(request, timeout=120) as response:
        text = response.read()
    return json.loads(text) if text else None


def prepare(urls: list[str]) -> None:
    first = urls[0].rstrip("/")
    frames = {frame["name"] for frame in ask(f"{first}/v1/frames")["frames"]}
    if "flights" not in frames:
        # Some rows on each node, so that each is missed when it is gone.
        for at, url in enumerate(urls):
            ask(f"{url.rstrip('/')}/v1/frames/flights", "POST", rows(at).encode(), "application/x-ndjson")
    jobs = {job["name"] for job in ask(f"{first}/v1/jobs")["jobs"]}
    for name in {JOB, FREE_JOB, "busiest_destinations"} - jobs:
        source = Path(__file__).parents[3].joinpath("jobs", f"{name}.lua").read_bytes()
        ask(f"{first}/v1/jobs/{name}", "PUT", source, "application/x-lua")
    call = {"type": "quota", "method": "create", "object": "alice", "args": ["5", "day"]}
    ask(f"{first}/v1/call", "POST", json.dumps(call).encode(), "application/json")


def rows(at: int) -> str:
    lines = []
    for index in range(800):
        carrier = CARRIERS[(index + at) % len(CARRIERS)]
        day = f"2013-{index % 12 + 1:02}-{index % 28 + 1:02}T{index % 24:02}:00:00Z"
        lines.append(
            json.dumps(
                {
                    "year": 2013,
                    "month": index % 12 + 1,
                    "carrier": carrier,
                    "origin": ["JFK", "EWR", "LGA"][index % 3],
                    "dest": f"D{index % 40:02}",
                    "dep_delay": (index * 7 + len(carrier)) % 90 - 10,
                    "distance": 100 + index,
                    "air_time": 30 + index % 300,
                    "time_hour": day,
                }
            )
        )
    return "\n".join(lines) + "\n"
