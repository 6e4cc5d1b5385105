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

OURS, PLAIN, COMPILED = "DelayedNotify, as built", "boto3 + clients, plain", "boto3 + clients, bytecode"
_VARIANTS: dict[str, tuple[str, ...]] = {
    "bare handler": ("bare.lambda_handler", "bare-compiled", "runtime-compiled"),
    COMPILED: ("bench.subjects.cold.lambda_handler", "floor-compiled", "runtime-compiled"),
    PLAIN: ("bench.subjects.cold.lambda_handler", "floor-plain", "runtime-plain"),
    OURS: ("delayednotify.lambda_handler", "ours-built", "runtime-compiled"),
    "DelayedNotify, no bytecode of its own": ("delayednotify.lambda_handler", "ours-plain", "runtime-compiled"),
    "DelayedNotify, no bytecode at all": ("delayednotify.lambda_handler", "ours-plain", "runtime-plain"),
    "Recheck, as built": ("recheck.lambda_handler", "ours-built", "runtime-compiled"),
    "Sweep, as built": ("recheck.sweep_handler", "ours-built", "runtime-compiled"),
}


@dataclass(frozen=True)
class Start:
    """One cold start."""

    init_ms: float
    first_ms: float
    cpu_ms: float
    peak_mb: float
    later_peak_mb: float


Results = dict[str, list[Start]]


def run(url: str, numbers: range, *, quick: bool) -> tuple[Results, Section]:
    """Start everyone in turn, so that all of them meet the same minutes of the machine."""
    folders, found = make(), defaultdict[str, list[Start]](list)
    fresh, waiting = iter(numbers), iter(WAITING)
    for turn in range(4 if quick else 21):
        for name, (handler, *paths) in _variants(folders).items():
            # What many invocations leave in memory is seen once; a start is over with its first.
            some = itertools.islice(_events(handler, fresh, waiting), 20 if turn == 1 else 1)
            one = _start(handler, [folders[path] for path in paths], variables(0, url), some)
            if turn:  # the first fills the machine's file cache
                found[name].append(one)
    return found, _section(found, folders)


def _events(handler: str, fresh: Iterator[int], waiting: Iterator[int]) -> Iterator[object]:
    if handler == "recheck.sweep_handler":  # all that waits is overdue: each run hands it over again
        return itertools.repeat({}, 3)
    return map(timer, waiting) if handler == "recheck.lambda_handler" else map(notification, fresh)


def _variants(folders: dict[str, Path]) -> dict[str, tuple[str, ...]]:
    if measured(folders["ours-built"]).bytecode:
        return _VARIANTS
    return _VARIANTS | {
        "DelayedNotify, bytecode": ("delayednotify.lambda_handler", "ours-compiled", "runtime-compiled")
    }


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
    told = Section("2. Cold start")
    starts = len(found[OURS])
    told.say(
        f"{starts} starts each, in turn, by the Runtime Interface Emulator of the SAM CLI and `awslambdaric`, on "
        f"Python {platform.python_version()}, {platform.machine()}, with whole cores. Init is the emulator's own "
        "figure; the median, and what four fifths lie between. The first invocation is told too, since this project "
        "makes its clients there, and not at init: only the two together compare the work. "
        "The sweep finds more than a hundred overdue, and hands them over."
    )
    rows = []
    for name, each in found.items():
        parts = ([s.init_ms for s in each], [s.first_ms for s in each], [s.init_ms + s.first_ms for s in each])
        rows.append((name, *(_cell(part) for part in parts), _cell([s.cpu_ms for s in each])))
    told.table(("", "init ms", "first invocation ms", "together ms", "CPU ms until its answer"), rows)
    spans("cold.svg", {name: [s.init_ms for s in each] for name, each in found.items()}, "init, ms")
    told.plot("cold.svg", "Init of every start")
    told.say(_about_bytecode(folders))
    _slowest_imports(told, folders)
    _targets(told, found)
    return told


def _targets(told: Section, found: Results) -> None:
    ours, plain, compiled = (median([s.init_ms for s in found[name]]) for name in (OURS, PLAIN, COMPILED))
    whole = {name: median([s.init_ms + s.first_ms for s in found[name]]) for name in (OURS, COMPILED)}
    told.aim(
        Target(
            "init of DelayedNotify as `make build` makes it, against boto3 and its clients as a plain `sam build` "
            "ships them",
            "no slower",
            f"{ours:.0f} ms against {plain:.0f} ms ({ours / plain:.2f})",
            ours <= plain,
        )
    )
    told.aim(
        Target(
            "... against the same with bytecode",
            "at most 1.25 times; 1.0 is the prize",
            f"{ours:.0f} ms against {compiled:.0f} ms ({ours / compiled:.2f}); together with the first invocation "
            f"{whole[OURS]:.0f} against {whole[COMPILED]:.0f} ({whole[OURS] / whole[COMPILED]:.2f})",
            ours <= 1.25 * compiled,
            "The difference is paid once for each new environment; what it consists of is in section 2.",
        )
    )


def _about_bytecode(folders: dict[str, Path]) -> str:
    built = folders["ours-built"]
    return (
        f"The artefact: {measured(built)}. boto3 is Lambda's own and lies beside it: whether AWS ships it with "
        "bytecode is not known here, so both are measured."
    )


def _slowest_imports(told: Section, folders: dict[str, Path]) -> None:
    path = os.pathsep.join(str(folders[name]) for name in ("ours-built", "runtime-compiled"))
    line = [sys.executable, "-S", "-X", "importtime", "-c", "import delayednotify"]
    surroundings = {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(line, env=surroundings, capture_output=True, text=True, check=True)
    entries = [part.split("|") for part in done.stderr.splitlines() if "|" in part and "cumulative" not in part]
    own = {name.strip(): int(mine.split(":")[1]) for mine, _, name in entries}
    total = {name.strip(): int(whole) for _, whole, name in entries}
    told.say(f"The ten modules that cost most to import, of {len(own)} (`python -X importtime`, one run):")
    names = sorted(own, key=lambda name: -own[name])[:10]
    told.table(
        ("module", "itself, ms", "with what it imports, ms"),
        [(f"`{name}`", f"{own[name] / 1000:.1f}", f"{total[name] / 1000:.1f}") for name in names],
    )
    packages = Counter[str]()
    for name, microseconds in own.items():
        packages[name.split(".")[0]] += microseconds
    told.say("The same by package: " + ", ".join(f"`{n}` {t / 1000:.1f} ms" for n, t in packages.most_common(10)) + ".")


def _cell(values: list[float]) -> str:
    median, low, high = spread(values)
    return f"{median:.0f} ({low:.0f} to {high:.0f})"
