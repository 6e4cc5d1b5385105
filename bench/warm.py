"""Item 3: what an invocation costs once it is warm: instructions, CPU, allocations, AWS calls, and who waits."""

import re
import shutil
import statistics
from collections import defaultdict
from dataclasses import dataclass

from bench.page import Section, Target
from bench.subject import TITLES, Measured, begin, command, environment, measure

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
            running[subject, count] = begin(_valgrind(command(subject, first, count, 2)), _quiet(environment(0, url)))
            first += count
    total = {key: int(_COLLECTED.findall(process.communicate()[1])[-1]) for key, process in running.items()}
    short, long = _COUNTED
    return {s: (total[s, long] - total[s, short]) / (long - short) for s in ("floor", "ours")}


def _valgrind(line: list[str]) -> list[str]:
    return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *line]


def _quiet(surroundings: dict[str, str]) -> dict[str, str]:
    return surroundings | {"PYTHONMALLOC": "malloc"}


def section(found: Results, calls: dict[str, dict[str, int]], warm_ms: dict[str, float]) -> Section:
    """Tell what was found."""
    told = Section("3. Warm cost")
    told.say(
        "Per notification, both invocations, ProcessPaidOrder answering at once: median CPU time of several rounds "
        "in turn, instructions by callgrind (a long run less a short one), the most that was allocated at a time "
        "(tracemalloc), and what was printed."
    )
    rows = [(TITLES[name], *_cells(one)) for name, one in found.items()]
    told.table(("", "CPU ms", "instructions, million", "allocated at most, kB", "log bytes"), rows)
    told.say("AWS calls of one notification; in each invocation every call waits for the one before it:")
    names = sorted({name for made in calls.values() for name in made})
    told.table(("call", *calls), [(f"`{name}`", *(made.get(name, 0) for made in calls.values())) for name in names])
    told.say(_CRITICAL_PATH)
    _targets(told, found, warm_ms)
    return told


_CRITICAL_PATH = (
    "One call could run beside another without weakening the promise: the read of the order, which only the answer "
    "needs, could run while ProcessPaidOrder does. Every other call needs what the one before it wrote or read: the "
    "mark gives the order of a browser return to the save, the save is the claim of the pass, the record of the pass "
    "is what the timer may be armed for. It stays where it is ([why](decisions/20-no-threads.md))."
)


def _targets(told: Section, found: Results, warm_ms: dict[str, float]) -> None:
    ours, floor = found["ours"], found["floor"]
    cpu = ours.cpu_ms / floor.cpu_ms
    counted = ours.instructions / floor.instructions if ours.instructions and floor.instructions else None
    parts = [f"{counted:.2f} by instructions"] if counted else []
    measured = ", ".join([*parts, f"{cpu:.2f} by CPU time"])
    costs = f"It costs {ours.cpu_ms - floor.cpu_ms:.1f} ms of a whole core for each notification. {_CPU}"
    told.aim(Target("CPU of a warm notification against the floor", _AT_MOST, measured, (counted or cpu) <= 1.3, costs))
    costs = f"It costs one read of a table in each delivery ({warm_ms['call']:.1f} ms here). {_THREAD}"
    beside = "AWS calls on the critical path that could run beside another"
    told.aim(Target(beside, "none", "1: the read of the order", met=False, missed=costs))


_AT_MOST = "at most 1.3 times"
_CPU = (
    "The floor prints nothing and checks nothing: Powertools' log lines, the shapes that pydantic checks and the "
    "redaction of the answer are the difference. Fewer log lines, or lines that `json` alone writes, would lower it."
)
_THREAD = (
    "A thread for it would make the order of the calls, which the failure table counts on, a matter of chance; what "
    "would have to change is that somebody waits for the answer."
)


def results(runs: dict[str, list[Measured]], counted: dict[str, float]) -> Results:
    """Put together what was timed and what was counted."""
    return {subject: _warm(runs[subject], counted.get(subject)) for subject in SUBJECTS}


def _warm(runs: list[Measured], counted: float | None) -> Warm:
    cpu = statistics.median(one.cpu_ms for one in runs)
    peak = int(statistics.median(one.peak_bytes or 0 for one in runs))
    return Warm(cpu, peak, runs[0].log_bytes, counted)


def _cells(one: Warm) -> tuple[str, ...]:
    counted = f"{one.instructions / 1e6:.1f}" if one.instructions else "-"
    return f"{one.cpu_ms:.2f}", counted, f"{one.peak_bytes / 1000:.0f}", f"{one.log_bytes:,.0f}"
