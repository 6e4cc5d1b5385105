"""Item 2: the cold start, and item 4's peak memory, by Lambda's own emulator and client."""

import itertools
import os
import platform
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from artefact.runtime import running
from artefact.size import measured
from bench.artefacts import ROOM, make
from bench.emulator import Watched
from bench.environment import WAITING, notification, timer, variables
from bench.page import Section, Target
from bench.plots import spans
from bench.subject import spread

OURS, PREVIOUS = "DelayedNotify", "DelayedNotify, previous edition"
PLAIN, COMPILED = "boto3 + clients, plain", "boto3 + clients, bytecode"
_VARIANTS = {
    "bare handler": ("bare.lambda_handler", "bare", "runtime-compiled"),
    COMPILED: ("bench.subjects.cold.lambda_handler", "floor-compiled", "runtime-compiled"),
    PLAIN: ("bench.subjects.cold.lambda_handler", "floor-plain", "runtime-plain"),
    OURS: ("delayednotify.lambda_handler", "ours", "runtime-compiled"),
    PREVIOUS: ("delayednotify.lambda_handler", "previous", "runtime-compiled"),
    "Recheck": ("recheck.lambda_handler", "ours", "runtime-compiled"),
    "Recheck, previous edition": ("recheck.lambda_handler", "previous", "runtime-compiled"),
    "Sweep": ("recheck.sweep_handler", "ours", "runtime-compiled"),
}


@dataclass(frozen=True)
class Start:
    """One cold start."""

    init_ms: float
    first_ms: float
    cpu_ms: float
    peak_mb: float
    later_peak_mb: float

    @property
    def together_ms(self) -> float:
        """Init and first invocation."""
        return self.init_ms + self.first_ms


Results = dict[str, list[Start]]


def run(url: str, numbers: range, *, quick: bool) -> tuple[Results, Section]:
    """Start everyone in turn, so that all of them meet the same minutes of the machine."""
    folders, found = make(), defaultdict[str, list[Start]](list)
    fresh, waiting = iter(numbers), iter(WAITING)
    for turn in range(4 if quick else 21):
        for name, (handler, *paths) in _VARIANTS.items():
            if not folders.keys() >= set(paths):
                continue
            # What many invocations leave in memory is seen once; a start is over with its first.
            some = itertools.islice(_events(handler, fresh, waiting), 20 if turn == 1 else 1)
            one = _start(handler, [folders[path] for path in paths], variables(0, url), some)
            if turn:  # the first fills the machine's file cache
                found[name].append(one)
    return found, _section(found, folders)


def _events(handler: str, fresh: Iterator[int], waiting: Iterator[int]) -> Iterator[object]:
    if handler == "recheck.sweep_handler":
        return itertools.repeat({}, 20)
    return map(timer, waiting) if handler == "recheck.lambda_handler" else map(notification, fresh)


def _start(handler: str, folders: list[Path], environment: dict[str, str], events: Iterator[object]) -> Start:
    path = {"PYTHONPATH": os.pathsep.join(map(str, folders)), "TZ": "UTC"}
    with running(folders[0], handler, environment | path, ROOM / "emulator.log") as started:
        watched = Watched(started)
        whole = watched.invoke(next(events))
        init, cpu, peak = started.init_ms, watched.cpu_ms, watched.peak_mb
        for event in events:
            watched.invoke(event)
        return Start(init, whole - init, cpu, peak, watched.peak_mb)


def _section(found: Results, folders: dict[str, Path]) -> Section:
    section = Section("2. Cold start")
    section.say(
        f"{len(found[OURS])} starts each, in turn, by the Runtime Interface Emulator of the SAM CLI and "
        f"`awslambdaric`, on Python {platform.python_version()}, {platform.machine()}, with whole cores. Functions "
        "are as `make build` makes them, the previous edition's from its last commit. Init is the emulator's own "
        "figure; the median, and in brackets what four fifths lie between. This project makes its clients in the "
        "first invocation and the bare handlers make theirs at init, so only the two together compare the work. The "
        "sweep finds nothing."
    )
    rows = []
    for name, each in found.items():
        parts = ([s.init_ms for s in each], [s.first_ms for s in each], [s.together_ms for s in each])
        rows.append((name, *(_cell(part) for part in parts), _cell([s.cpu_ms for s in each])))
    section.table(("", "init ms", "first invocation ms", "together ms", "CPU ms until its answer"), rows)
    spans("cold.svg", {name: [s.init_ms for s in each] for name, each in found.items()}, "init, ms")
    section.plot("cold.svg", "Init of every start")
    section.say(
        f"The artefact: {measured(folders['ours'])}. boto3 is Lambda's own and lies beside it: whether AWS ships it "
        "with bytecode is not known here, so both are measured."
    )
    _slowest_imports(section, folders)
    _targets(section, found)
    return section


def _targets(section: Section, found: Results) -> None:
    init = {name: median([s.init_ms for s in each]) for name, each in found.items()}
    whole = {name: median([s.together_ms for s in each]) for name, each in found.items()}
    if PREVIOUS in found:
        _against_the_previous(section, found)
    section.aim(
        Target(
            "init of DelayedNotify against boto3 and its clients as a plain `sam build` ships them",
            "no slower",
            f"{init[OURS]:.0f} ms against {init[PLAIN]:.0f} ms ({init[OURS] / init[PLAIN]:.2f})",
            init[OURS] <= init[PLAIN],
        )
    )
    section.aim(
        Target(
            "... against the same with bytecode",
            "at most 1.25 times",
            f"{init[OURS]:.0f} ms against {init[COMPILED]:.0f} ms ({init[OURS] / init[COMPILED]:.2f}); with the first "
            f"invocation {whole[OURS]:.0f} against {whole[COMPILED]:.0f} ({whole[OURS] / whole[COMPILED]:.2f})",
            init[OURS] <= 1.25 * init[COMPILED],
            "The difference is paid once for each new environment; what it consists of is in section 2.",
        )
    )


def _against_the_previous(section: Section, found: Results) -> None:
    # Start by start, since both of a turn meet the same load of the machine.
    pairs = list(zip(found[OURS], found[PREVIOUS], strict=True))
    init, first, cpu = (
        median([getattr(new, part) / getattr(old, part) for new, old in pairs])
        for part in ("init_ms", "first_ms", "cpu_ms")
    )
    section.aim(
        Target(
            "init and first invocation of DelayedNotify against the previous edition",
            "no slower",
            f"init {init:.2f}, first invocation {first:.2f}, CPU of both {cpu:.2f} times",
            max(init, first) <= 1.02,  # the machine's own noise
            "It is paid once for each new environment; the imports and the calls that were added are in sections 2 "
            "and 3.",
        )
    )


def _slowest_imports(section: Section, folders: dict[str, Path]) -> None:
    path = os.pathsep.join(str(folders[name]) for name in ("ours", "runtime-compiled"))
    line = [sys.executable, "-S", "-X", "importtime", "-c", "import delayednotify"]
    surroundings = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, env=surroundings, capture_output=True, text=True, check=True)
    entries = [part.split("|") for part in done.stderr.splitlines() if "|" in part and "cumulative" not in part]
    own = {name.strip(): int(mine.split(":")[1]) for mine, _, name in entries}
    packages = Counter[str]()
    for name, microseconds in own.items():
        packages[name.split(".")[0]] += microseconds
    modules = sorted(own, key=lambda name: -own[name])[:10]
    section.say(
        f"What importing it costs, of {len(own)} modules (`python -X importtime`, one run), by package: "
        + ", ".join(f"`{n}` {t / 1000:.1f} ms" for n, t in packages.most_common(8))
        + "; the ten largest modules, without what they import: "
        + ", ".join(f"`{n}` {own[n] / 1000:.1f}" for n in modules)
        + "."
    )


def _cell(values: list[float]) -> str:
    median, low, high = spread(values)
    return f"{median:.0f} ({low:.0f} to {high:.0f})"
