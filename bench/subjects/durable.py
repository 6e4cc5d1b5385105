"""Lambda's durable execution: two steps and a wait of 60 s, by AWS's SDK, in its own testing library.

The library stands for the service: it invokes the function, keeps the checkpoints, skips the wait and invokes it again.
What is billed is what runs inside the handler, so that is what is measured; the library's checkpoints answer at once.
"""

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from aws_durable_execution_sdk_python import DurableContext, durable_execution
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner

from bench.environment import notification
from bench.subjects.floor import Calls
from bench.timing import Stopwatch


def steps() -> tuple[Callable[[int], object], ...]:
    """Return one durable execution, which is two invocations; the stopwatch runs only inside the handler."""
    logging.disable(logging.CRITICAL)
    os.environ["DURABLE_EXECUTION_TIME_SCALE"] = "0"  # the library's own way not to wait
    calls = Calls()

    @durable_execution  # type: ignore[untyped-decorator]  # its types are in .venv-bench only
    def handler(number: int, context: DurableContext) -> object:
        context.step(lambda _: _first(calls, number), name="save and pass 1")
        context.wait(Duration.from_seconds(60), name="60 s")
        return context.step(lambda _: calls.run_pass(number, 2), name="pass 2")

    def billed(event: Any, context: Any) -> Any:  # noqa: ANN401 - the service's own
        with Stopwatch.running():
            return handler(event, context)

    def run(number: int) -> object:
        with DurableFunctionTestRunner(handler=billed, poll_interval=0.001) as runner:
            result = runner.run(input=json.dumps(number), execution_name=f"execution-{number}")
        if result.status.name != "SUCCEEDED":
            raise RuntimeError(f"the durable execution ended in {result.status}: {result.error}")
        return result

    return (run,)


def _first(calls: Calls, number: int) -> str:
    # No claim and no state of its own: the service keeps what is done.
    calls.mark(number)
    calls.save(number, notification(number)["body"])
    outcome = calls.run_pass(number, 1)
    calls.respond(number)
    return outcome
