"""Counts of a subject from a process of its own, since counting replaces what a process's clients do."""

import json
import sys
from collections import Counter

from bench.counted import Counts, counts
from bench.subject import begin, end, environment


def counts_of(subject: str, **more: str) -> Counts:
    """Count one notification of a subject, with some variables of its environment changed."""
    line = [sys.executable, "-m", "bench.counting", subject, *(f"{name}={value}" for name, value in more.items())]
    found = json.loads(end(begin(line, environment(300, "http://127.0.0.1:1"))))
    return Counts(**found | {"calls": Counter(found["calls"])})


if __name__ == "__main__":
    subject, *changed = sys.argv[1:]
    print(json.dumps(vars(counts(subject, **dict(one.split("=", 1) for one in changed)))))
