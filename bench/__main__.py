"""`make bench`: measure everything in one run, write docs/benchmarks.md, and print each target beside it."""

import argparse
import pprint
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from bench import page, report, worker
from bench.facts import ROOT
from bench.run import Run
from bench.standins import serving

_SECTIONS = {
    "billed": report.billed,
    "cold": report.cold_starts,
    "warm": report.warm,
    "memory": report.memory,
    "quotas": report.quotas,
    "bursts": report.bursts,
    "backlog": report.backlog,
    "money": report.money,
}


def main() -> int:
    """Run, write and print; the exit code does not depend on the targets."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quick look with few samples, in two minutes")
    parser.add_argument("--only", choices=_SECTIONS, help="measure and print one section alone, and write nothing")
    given, began = parser.parse_args(), time.monotonic()
    # Ends by an exception, so that what was started is stopped.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    subprocess.run([worker.PYTHON, "-m", "bench.facts"], cwd=ROOT, check=True)
    shutil.rmtree(page.WRITTEN, ignore_errors=True)
    threads = ThreadPoolExecutor(2)
    try:
        with serving() as url:
            run = Run(url, threads, quick=given.quick)
            if given.only:
                pprint.pp(_SECTIONS[given.only](run), width=120)
                return 0
            run.start_all()
            figures = {name: value for section in _SECTIONS.values() for name, value in section(run).items()}
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        worker.stop()
    minutes = (time.monotonic() - began) / 60
    mode = "make bench QUICK=1" if given.quick else "make bench"
    text = page.page(figures | {"mode": mode, "minutes": minutes, "machine": page.machine()})
    written = page.WRITTEN / "benchmarks.md"
    written.write_text(text)
    if not given.quick:  # a quick look never replaces what is published
        shutil.copytree(page.WRITTEN, ROOT / "docs", dirs_exist_ok=True)
        written = ROOT / "docs" / written.name
    print(page.verdicts(text), f"{written.relative_to(ROOT)} is written, in {minutes:.1f} minutes", sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
