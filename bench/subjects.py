"""What is measured: this project, the function with the sleep that it replaces, and bare alternatives.

A subject is its invocations for one notification, in turn; each takes the notification's number.
"""

import io
import json
import logging
import os
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

from bench.notifications import WARMING, checksum, notification, timer
from bench.replay import Replay, find, save

TITLES = {
    "sleeping": "sleeping function",
    "durable": "durable functions, bare",
    "ours": "this project",
    "floor": "floor: bare boto3, the same calls",
}
SLEEP_SECONDS = 60
# What a function without claims and a sweep saves.
_PLAIN = "chargeId notificationId orderId note body"
Steps = list[Callable[[int], object]]
# The milliseconds of each handler's run, and those of CPU.
_taken: list[tuple[float, float]] = []


def measure(subject: str, first: int, count: int, warm: int) -> dict[str, Any]:
    """Warm a subject up, run it for so many notifications, and return what each took."""
    printed, each = io.StringIO(), []
    with redirect_stdout(printed):
        steps = steps_of(subject)
        for number in [*range(WARMING + first, WARMING + first + warm), *range(first, first + count)]:
            if number == first:
                printed.seek(0)
                printed.truncate()
            _taken.clear()
            for step in steps:
                step(number)
            each.append([sum(times) for times in zip(*_taken, strict=True)])
    ms, cpu_ms = zip(*each[warm:], strict=True)
    return {"ms": ms, "cpu_ms": sum(cpu_ms) / count, "log_bytes": len(printed.getvalue().encode()) / count}


def timed(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Measure what a handler takes, as Lambda bills it."""

    def invoke(*given: object) -> Any:  # noqa: ANN401 - what the handler returns
        began, cpu = time.perf_counter(), time.process_time()
        try:
            return handler(*given)
        finally:
            _taken.append(((time.perf_counter() - began) * 1000, (time.process_time() - cpu) * 1000))

    return invoke


def steps_of(subject: str) -> Steps:
    """Return a subject's invocations."""
    made = {"sleeping": _sleeping, "durable": _durable, "ours": _ours, "floor": _floor}
    return made[subject]()


def _floor() -> Steps:
    calls = Replay()
    return [timed(calls.deliver), timed(calls.recheck)]


def _ours() -> Steps:
    from bench.handlers import use  # noqa: PLC0415 - the other subjects run without this project's modules

    ahead_s = [0]
    handlers = use(lambda: datetime.now(UTC) + timedelta(seconds=ahead_s[0]))
    deliver, recheck = timed(handlers["DelayedNotify"]), timed(handlers["Recheck"])

    def first(number: int) -> object:
        ahead_s[0] = 0
        return deliver(notification(number), None)

    def second(number: int) -> object:
        ahead_s[0] = 62  # the 60 s are counted, not slept
        return recheck(timer(number), None)

    return [first, second]


def _durable() -> Steps:
    """Lambda's durable execution: two steps and a wait of 60 s, by AWS's SDK, in its own testing library.

    The library stands for the service: it invokes the function, keeps the checkpoints, skips the wait and invokes the
    function again. Only what runs inside the handler is billed, and measured.
    """
    import aws_durable_execution_sdk_python as durable  # noqa: PLC0415 - the other subjects run without it
    from aws_durable_execution_sdk_python.config import Duration  # noqa: PLC0415
    from aws_durable_execution_sdk_python_testing import DurableFunctionTestRunner  # noqa: PLC0415

    logging.disable(logging.CRITICAL)
    os.environ["DURABLE_EXECUTION_TIME_SCALE"] = "0"  # the library's own way not to wait
    calls = Replay()

    def save_and_run(number: int) -> object:
        # No claim and no state of its own: the service keeps what is done.
        calls.send(find("update_item", os.environ["CARD_PAYMENT_RECORD_TABLE"]), number)
        calls.send(save(_PLAIN), number)
        outcome = calls.send(find("invoke"), number)
        calls.send(find("get_item", os.environ["ORDER_TABLE"]), number)
        return outcome

    @durable.durable_execution  # type: ignore[untyped-decorator]  # its types are in .venv-bench only
    def handler(number: int, context: durable.DurableContext) -> object:
        context.step(lambda _: save_and_run(number), name="save and pass 1")
        context.wait(Duration.from_seconds(SLEEP_SECONDS), name="60 s")
        return context.step(lambda _: calls.send(find("invoke"), number), name="pass 2")

    def run(number: int) -> None:
        with DurableFunctionTestRunner(handler=timed(handler), poll_interval=0.001) as runner:
            result = runner.run(input=json.dumps(number), execution_name=f"execution-{number}")
        if result.status.name != "SUCCEEDED":
            raise RuntimeError(f"the durable execution ended in {result.status}: {result.error}")

    return [run]


def _sleeping() -> Steps:
    """The function that this project replaces, as its description has it; the sleep is counted, not slept."""
    calls = Replay()

    def lambda_handler(number: int) -> object:
        body = json.loads(notification(number)["body"])
        if checksum(body) != body["checksum"]:
            print("[WARNING] Checksum verification failed. Continuing with processing.")
        calls.send(find("get_secret_value"), number)
        calls.send(find("update_item", os.environ["CARD_PAYMENT_RECORD_TABLE"]), number)
        print("start saving")
        calls.send(save(_PLAIN), number)
        print("start processing paid order")
        print("process paid order response", calls.send(find("invoke"), number))
        print("start sleeping")
        print("stop sleeping")
        print("start processing paid order again")
        print("process paid order response 2", calls.send(find("invoke"), number))
        print("stop processing paid order")
        url = calls.send(find("get_item", os.environ["ORDER_TABLE"]), number)["Item"]["returnUrl"]["S"]
        return {"statusCode": 200, "headers": {"Content-Type": "text/html"}, "body": f'<a href="{url}">continue</a>'}

    return [timed(lambda_handler)]
