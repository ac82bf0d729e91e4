#!/usr/bin/env python3
"""Holds the description of the HTTP interface against the node that serves it, by schemathesis.

    openapi_checks.py URL

Makes what the description's examples ask for; what is generated, and which answers count, is in openapi.toml. Exit code 0 only when
nothing was found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks.page_setup import prepare


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("url", metavar="URL")
    url = parser.parse_args().url.rstrip("/")
    prepare([url])
    here = Path(__file__).parent
    program = Path(sys.executable).with_name("schemathesis")
    # What it keeps of a run goes with the run.
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [program, "--config-file", here / "openapi.toml", "run", f"{url}/v1/openapi.json"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(here), "NO_COLOR": "1", "COLUMNS": "160"},
        )
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
