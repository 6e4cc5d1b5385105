"""`make bench`: measure everything in one run, put it into docs/benchmarks.md, and print each target beside it."""

import argparse
import pprint
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime

from bench import page, worker
from bench.facts import ROOT
from bench.report import SECTIONS
from bench.run import Run
from bench.standins import serving


def main() -> int:
    """Run, write and print; the exit code does not depend on the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick look with few samples, in two minutes")
    parser.add_argument("--only", choices=SECTIONS, help="measure and print one section alone, and write nothing")
    given, began = parser.parse_args(), time.monotonic()
    # Ends with an exception, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    subprocess.run([worker.PYTHON, "-m", "bench.facts"], cwd=ROOT, check=True)
    if given.only:
        pprint.pp(_measured([given.only], quick=given.quick), width=120)
        return 0
    tables = _measured(SECTIONS, quick=given.quick)
    mode, took = "make bench QUICK=1" if given.quick else "make bench", (time.monotonic() - began) / 60
    tables["machine"] = page.machine(f"`{mode}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {took:.1f} minutes")
    print(page.write(tables, publish=not given.quick))
    return 0


def _measured(sections: Iterable[str], *, quick: bool) -> dict[str, page.Rows]:
    tables = defaultdict[str, page.Rows](list)
    try:
        with serving() as url:
            run = Run(url, quick=quick)
            for section in sections:
                began = time.monotonic()
                for name, rows in SECTIONS[section](run).items():
                    tables[name] += rows
                print(f"{time.strftime('%H:%M:%S')} {section}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        worker.stop()
    return dict(tables)


if __name__ == "__main__":
    sys.exit(main())
