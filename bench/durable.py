"""Lambda's durable execution: two steps and a wait of 60 s, by AWS's SDK, in its own testing library.

The library replaces the service: it invokes the function, keeps the checkpoints, skips the wait and invokes the
function again. Only what runs inside the handler is billed, and measured: ProcessPaidOrder is a sleep.
"""

import logging
import os
import time
from typing import Any

import aws_durable_execution_sdk_python as durable
from aws_durable_execution_sdk_python.config import Duration
from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner

from bench.worker import Spent, timed


def measure(latency_ms: int, count: int) -> list[float]:
    """Return the billed milliseconds of so many executions after a first one."""
    logging.disable(logging.CRITICAL)
    os.environ["DURABLE_EXECUTION_TIME_SCALE"] = "0"  # the library's own way not to wait
    return [_execute(latency_ms / 1000, number) for number in range(count + 1)][1:]


def _execute(seconds: float, number: int) -> float:
    billed = Spent()

    @durable.durable_execution  # type: ignore[untyped-decorator]  # its types are in .venv-bench only
    def handler(_event: Any, context: durable.DurableContext) -> None:  # noqa: ANN401 - the service's own
        context.step(lambda _: time.sleep(seconds), name="save and pass 1")  # ProcessPaidOrder's run time
        context.wait(Duration.from_seconds(60), name="60 s")
        context.step(lambda _: time.sleep(seconds), name="pass 2")  # again

    with DurableFunctionTestRunner(handler=timed(handler, billed), poll_interval=0.001) as runner:
        result = runner.run(input="null", execution_name=f"execution-{number}")
    if result.status.name != "SUCCEEDED":
        raise RuntimeError(f"the durable execution ended in {result.status}: {result.error}")
    return sum(ms for ms, _ in billed)
