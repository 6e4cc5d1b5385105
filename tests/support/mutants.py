"""`make mutants`: which faults in the code that carries the promise would no test notice?

The tests are collected and run once; then each mutant runs in a process forked off from there, so that it costs no
start. It gets the tests that came through its function until one fails: first the quick ones, and those that noticed
others of its module. What none notices is in survivors.toml, with the reason. Needs Python 3.12.
"""

import argparse
import contextlib
import gc
import io
import os
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import is_dataclass
from itertools import chain, pairwise, repeat
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest
from pydantic import BaseModel

from local.emulator import ROOT
from tests.support.mutate import Mutant, mutants

MODULES = "record passes sweep delayednotify recheck timer processor checksum errors report redact".split()
TESTS = "checksum concurrency flow mails notification redact redirect report retries schedule settled_orders".split()
TESTS += "strangers sweep waits".split()
FUNCTIONS = ROOT / "functions"
LISTED = ROOT / "tests" / "project" / "survivors.toml"
# How the process of a mutant ends.
SURVIVED, NOTICED, NOT_TRIED = range(3)
SECONDS = 300  # a mutant that never ends is noticed by this
_MONITORING: Any = getattr(sys, "monitoring", None)  # of Python 3.12: it can watch single functions
_OPTIONS = ["-q", "-s", "--no-header", "--no-summary", "--tb=native", "-p", "no:cacheprovider", "-p", "no:xdist"]
_OPTIONS += ["-k", "not first_page"]  # only HTTP has pages


class Runner:
    """A plugin of pytest's that runs the tests once, and then for every mutant."""

    def __init__(self, modules: list[str], known: set[str]) -> None:
        self._modules, self._known = modules, known
        self.made, self.survived, self.wrong = Counter[str](), Counter[str](), list[str]()
        self._took: dict[Any, float] = {}
        self._noticed = Counter[Any]()  # by test, in the module at hand
        # By the function that a test came through.
        self._tests = defaultdict[tuple[str, str | None], list[Any]](list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._session = session
        things = (thing for thing in gc.get_objects() if isinstance(thing, FunctionType))
        # Every deployed one, wherever it hides: in a class, behind a decorator or a property.
        self._functions = [each for each in things if each.__code__.co_filename.startswith(str(FUNCTIONS))]
        _MONITORING.use_tool_id(_MONITORING.PROFILER_ID, "mutants")
        for function in self._functions:
            _MONITORING.set_local_events(_MONITORING.PROFILER_ID, function.__code__, _MONITORING.events.PY_START)
        for item in session.items:
            self._run_once(item)
        gc.freeze()  # else each fork copies what the collector touches
        print(flush=True)
        for name in self._modules:
            self._run_module(name)
        return True

    def _run_once(self, item: pytest.Item) -> None:
        seen = set[tuple[str, str]]()

        def started(code: CodeType, _offset: int) -> None:
            file = Path(code.co_filename)
            seen.add((file.parent.name if file.stem == "__init__" else file.stem, code.co_qualname))

        _MONITORING.register_callback(_MONITORING.PROFILER_ID, _MONITORING.events.PY_START, started)
        began = time.monotonic()
        with contextlib.redirect_stdout(io.StringIO()):
            _run(item, None)
        self._took[item] = time.monotonic() - began
        for function in seen:
            self._tests[function].append(item)
        if self._session.testsfailed:
            pytest.exit(f"{item.nodeid} fails without a mutant", returncode=2)

    def _run_module(self, name: str) -> None:
        running, ended = dict[int, tuple[str, list[Any], int]](), defaultdict[int, list[str]](list)
        workers = os.cpu_count() or 1
        self._noticed.clear()
        for mutant in chain(mutants(source_of(name), name), repeat(None, workers)):
            if running and (mutant is None or len(running) == workers):
                process, status = os.wait()
                tried, tests, reader = running.pop(process)
                with open(reader) as pipe:  # noqa: PTH123 - of a descriptor
                    self._noticed.update(tests[int(index)] for index in pipe)
                ended[os.waitstatus_to_exitcode(status)].append(tried)
                print(".", end="", flush=True)
            if mutant:
                tests = self._tests_for(mutant, name)
                process, reader = self._forked(mutant, name, tests)
                running[process] = mutant.name, tests, reader
        wrong = judged(name, ended[SURVIVED], self._known) + [f"  NOT TRIED: {mutant}" for mutant in ended[NOT_TRIED]]
        self.made[name], self.survived[name] = sum(map(len, ended.values())), len(ended[SURVIVED])
        self.wrong += wrong
        print("\n".join(["", score(name, self.made[name], self.survived[name]), *wrong]), flush=True)

    def _tests_for(self, mutant: Mutant, name: str) -> list[Any]:
        # What is outside functions, or runs at the import alone, may matter anywhere.
        through = self._tests.get((name, mutant.function)) or self._took
        # First the least time for what a test probably notices.
        return sorted(through, key=lambda test: self._took[test] / (self._noticed[test] + 0.01))

    def _forked(self, mutant: Mutant, name: str, tests: list[Any]) -> tuple[int, int]:
        """Try a mutant in a process of its own, which writes into a pipe which of the tests noticed it."""
        reader, writer = os.pipe()
        if process := os.fork():
            os.close(writer)
            return process, reader
        status = NOT_TRIED if (inside := (name, mutant.function) in self._tests) else NOTICED  # by an import that fails
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 2)
            signal.alarm(SECONDS)
            module = next(sys.modules[full] for full in (f"callback.{name}", name) if full in sys.modules)
            install(mutant.code(name), module, self._functions if inside else [])
            status = NOTICED
            for index, (item, following) in enumerate(pairwise([*tests, None])):
                _run(item, following)
                if self._session.testsfailed:
                    os.write(writer, str(index).encode())
                    break
            else:
                status = SURVIVED
        finally:
            os._exit(status)


def source_of(name: str) -> str:
    files = (FUNCTIONS / "callback" / f"{name}.py", FUNCTIONS / name / "__init__.py")
    return next(file for file in files if file.exists()).read_text()


def _run(item: Any, following: Any) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def install(mutated: CodeType, module: ModuleType, functions: list[FunctionType]) -> None:
    """Put these functions of a mutated module in the place of the old ones; without any, all else of the module."""
    if functions:
        codes = {code.co_qualname: code for code in _codes(mutated)}
        for function in functions:
            if function.__module__ == module.__name__:
                function.__code__ = codes.get(function.__qualname__, function.__code__)
        for cached in (each for each in vars(module).values() if hasattr(each, "cache_clear")):
            cached.cache_clear()
        return
    fresh: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(mutated, fresh)  # noqa: S102 - our own module, with a fault
    for name, old in list(vars(module).items()):
        _replace(name, old, fresh.get(name, old))


def _replace(name: str, old: Any, new: Any) -> None:
    if isinstance(old, FunctionType) or name.startswith("__"):
        return
    if isinstance(old, type) and not issubclass(old, BaseModel):
        # Its methods have no fault; others may inherit from it, and tests hold it. Defaults are in `__init__`.
        kept = {"retryable", "ends_follow_up", *(["__init__"] if is_dataclass(old) else [])}
        for attribute in kept & vars(new).keys():
            setattr(old, attribute, vars(new)[attribute])
        return
    for other in list(sys.modules.values()):
        if vars(other).get(name) is old:
            setattr(other, name, new)


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def score(name: str, made: int, survived: int) -> str:
    killed = made - survived
    return f"{name:<12}{made:5} mutants {killed:5} killed {survived:4} survived {killed / made:8.1%}"


def listed(text: str) -> set[str]:
    """Return the mutants that survivors.toml gives a reason for."""
    return {name for reason in tomllib.loads(text)["because"] for name in reason["mutants"]}


def judged(module: str, survivors: list[str], known: set[str]) -> list[str]:
    """Say what is wrong: a survivor that is not listed, a listed one that survives no more."""
    gone = sorted(name for name in known - set(survivors) if name.partition(":")[0].partition(".")[0] == module)
    new = [name for name in survivors if name not in known]
    return [f"  NOT NOTICED by any test: {name}" for name in new] + [f"  LISTED, yet noticed: {name}" for name in gone]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=MODULES)
    only = parser.parse_args().only
    os.environ["CI"] = "1"  # hypothesis tries the same examples for every mutant, and keeps none
    runner = Runner([only] if only else MODULES, listed(LISTED.read_text()))
    files = [str(ROOT / "tests" / "functions" / f"test_{name}.py") for name in TESTS]
    if status := pytest.main([*_OPTIONS, *files], plugins=[runner]):
        return int(status)
    print(score("all", runner.made.total(), runner.survived.total()))
    print(f"{len(runner.wrong)} to read; the reasons of all others are in {LISTED.relative_to(ROOT)}")
    return int(bool(runner.wrong))


if __name__ == "__main__":
    sys.exit(main())
