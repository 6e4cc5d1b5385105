"""`make soak`: random stories, for as long as one likes. It prints each seed, and stops at the first that breaks."""

import argparse
import random
import time
from collections import Counter

from tests.support.random_scenarios import run_stories, worlds
from tests.support.without_coverage import without_coverage


def main() -> None:
    """Run stories until the time is over, or those of one seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, help="run the stories of this seed only")
    parser.add_argument("--examples", type=int, default=20, help="how many stories a seed runs")
    given = parser.parse_args()
    until, total = time.monotonic() + 60 * given.minutes, Counter[str]()
    with worlds(), without_coverage():
        while True:
            seed = given.seed or random.randrange(1, 2**32)  # noqa: S311 - it picks stories, it guards nothing
            print(f"seed {seed} ", end="", flush=True)
            total.update(run_stories(given.examples, seed))
            print(", ".join(f"{name} {count}" for name, count in sorted(total.items())), flush=True)
            if given.seed or time.monotonic() > until:
                return


if __name__ == "__main__":
    main()
