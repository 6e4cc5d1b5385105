"""Item 3: what an invocation costs once it is warm: instructions, CPU, allocations, AWS calls and log lines."""

import re
import shutil
import statistics
from collections import defaultdict
from dataclasses import dataclass

from bench.counted import Counts
from bench.page import Section, Target
from bench.subject import TITLES, Measured, begin, command, end, environment, measure

SUBJECTS = ("floor", "ours", "sleeping")
# A short run and a long one: of how many notifications.
_COUNTED = (4, 24)
_COLLECTED = re.compile(r"Collected : (\d+)")


@dataclass(frozen=True)
class Warm:
    """One subject, per notification."""

    cpu_ms: float
    peak_bytes: int
    log_bytes: float
    instructions: float | None


Results = dict[str, Warm]


def run(url: str, numbers: range, *, quick: bool) -> dict[str, list[Measured]]:
    """Measure in turn; 1,000 notifications are this project's 2,000 invocations."""
    rounds, count, first = (1, 60, numbers.start) if quick else (5, 200, numbers.start)
    found: dict[str, list[Measured]] = defaultdict(list)
    for _ in range(rounds):
        for subject in SUBJECTS:
            line = command(subject, first, count, 20, "--allocations")
            found[subject].append(measure(line, environment(0, url)))
            first += count + 1
    return found


def instructions(url: str, first: int) -> dict[str, float]:
    """Count instructions per notification with callgrind: a long run less a short one, so that no start is in it."""
    if shutil.which("valgrind") is None:
        return {}
    running = {}
    for subject in ("floor", "ours"):
        for count in _COUNTED:
            quiet = environment(0, url) | {"PYTHONMALLOC": "malloc"}
            running[subject, count] = begin(_valgrind(command(subject, first, count, 2)), quiet)
            first += count
    total = {key: int(_COLLECTED.findall(end(process, errors=True))[-1]) for key, process in running.items()}
    short, long = _COUNTED
    return {s: (total[s, long] - total[s, short]) / (long - short) for s in ("floor", "ours")}


def _valgrind(line: list[str]) -> list[str]:
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *line]


def results(runs: dict[str, list[Measured]], counted: dict[str, float]) -> Results:
    """Put together what was timed and what was counted."""
    return {subject: _warm(runs[subject], counted.get(subject)) for subject in SUBJECTS}


def _warm(runs: list[Measured], counted: float | None) -> Warm:
    cpu = statistics.median(one.cpu_ms for one in runs)
    peak = int(statistics.median(one.peak_bytes or 0 for one in runs))
    return Warm(cpu, peak, runs[0].log_bytes, counted)


def section(found: Results, counts: dict[str, Counts], by_default: Counts) -> Section:
    """Show what was found; `by_default` is this project as the template's default parameters make it."""
    section = Section("3. Warm cost")
    section.say(
        "Per notification, both invocations, ProcessPaidOrder answering at once: median CPU time of several rounds "
        "in turn, instructions by callgrind (a long run less a short one), the most that was allocated at a time "
        "(tracemalloc), and what was printed, without Lambda's own lines."
    )
    rows = [(TITLES[name], *_cells(one)) for name, one in found.items()]
    section.table(("", "CPU ms", "instructions, million", "allocated at most, kB", "log bytes"), rows)
    section.say("AWS calls of one notification on a warm function; each call waits for the one before it:")
    calls = {TITLES[name]: counts[name].calls for name in SUBJECTS} | {"this project by default": by_default.calls}
    names = sorted({name for made in calls.values() for name in made})
    section.table(("", *calls), [(f"`{name}`", *(made[name] for made in calls.values())) for name in names])
    section.say(
        "The order is read only where `RedirectAllowedOrigins` allows an origin, which the default parameters do "
        "not. A cold function reads the merchant's key, too, and again when it is five minutes old. After the pass the "
        "timer, the mark and the read of the order could run at once; they do not "
        "([why](decisions/20-threads-in-the-sweep.md))."
    )
    _targets(section, found, counts["ours"], by_default)
    return section


def _targets(section: Section, found: Results, ours: Counts, by_default: Counts) -> None:
    section.aim(
        Target(
            "AWS calls of a delivery and of a recheck, default parameters",
            "at most 7 and 3",
            f"{by_default.warm_calls[0]} warm and {by_default.cold_calls} cold, and {by_default.warm_calls[1]}; with "
            f"an allowed origin {ours.warm_calls[0]} warm and {ours.cold_calls} cold",
            by_default.cold_calls <= 7 and by_default.warm_calls[1] <= 3,
            "Each call is a wait that is billed.",
        )
    )
    section.aim(
        Target(
            "log bytes of a notification, without Lambda's own lines",
            "at most 1,500 (previous edition: 3,775)",
            f"{found['ours'].log_bytes:,.0f}",
            found["ours"].log_bytes <= 1500,
            "Logs are paid by the byte; each field of the one line is listed in docs/contracts.md.",
        )
    )
    new, floor = found["ours"], found["floor"]
    cpu = new.cpu_ms / floor.cpu_ms
    counted = new.instructions / floor.instructions if new.instructions and floor.instructions else None
    section.aim(
        Target(
            "CPU of a warm notification against the floor",
            "at most 1.3 times",
            ", ".join(([f"{counted:.2f} by instructions"] if counted else []) + [f"{cpu:.2f} by CPU time"]),
            (counted or cpu) <= 1.3,
            f"It costs {new.cpu_ms - floor.cpu_ms:.1f} ms of a core for each notification. The floor checks and prints "
            "nothing: the log line, the checked shapes and the masked body are the difference.",
        )
    )


def _cells(one: Warm) -> tuple[str, ...]:
    counted = f"{one.instructions / 1e6:.1f}" if one.instructions else "-"
    return f"{one.cpu_ms:.2f}", counted, f"{one.peak_bytes / 1000:.0f}", f"{one.log_bytes:,.0f}"
