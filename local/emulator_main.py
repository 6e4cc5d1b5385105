"""What runs in the emulator's process: ministack, behind a guard that turns browsers away."""

import os
import sys
from typing import Any

from ministack import app as ministack
from ministack.core import lambda_runtime
from ministack.services import eventbridge, scheduler
from ministack.services.cloudformation import provisioners

# This machine's names, and those that containers have for it.
_HOSTS = {b"127.0.0.1", b"localhost", b"host.docker.internal", b"host.containers.internal"}
# A browser sends at least one of them across origins, and no AWS tool sends any.
_BROWSERS = (b"origin", b"referer", b"sec-fetch-")


def guarded(app: Any) -> Any:  # noqa: ANN401 - ASGI's own
    """Refuse what a web page can send: anyone who can create a function here runs code as the developer."""

    async def guard(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own
        if scope["type"] == "lifespan" or _is_from_a_tool(scope["headers"]):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})  # a 403, before it is accepted
        else:
            await send({"type": "http.response.start", "status": 403})
            await send({"type": "http.response.body", "body": b"neither browsers nor other hosts are answered\n"})

    return guard


def _is_from_a_tool(headers: list[tuple[bytes, bytes]]) -> bool:
    names = [name.lower() for name, _ in headers]
    # A page whose own name resolves to this machine (DNS rebinding) sends no `Origin`, but its name as `Host`.
    hosts = [value.lower() for name, value in headers if name.lower() == b"host"]
    here = len(hosts) == 1 and hosts[0].partition(b":")[0] in _HOSTS
    return here and not any(name.startswith(_BROWSERS) for name in names)


if __name__ == "__main__":
    # It checks only every 10 s which schedules are due.
    scheduler._SCHEDULE_TICK_INTERVAL = eventbridge._SCHEDULER_TICK_INTERVAL = 0.2
    eventbridge._parse_rate_seconds = lambda _: float(os.environ["SWEEP_EVERY"])
    # It waits 50 ms for a function's log line, and on a busy machine misses it.
    lambda_runtime.Worker._drain_stderr_bounded.__defaults__ = (2.0, 0.02, 3.0)
    # It refuses a template with saved queries: here they are created, and do nothing.
    saved = {"create": lambda name, *_: (name, {}), "delete": lambda *_: None}
    provisioners._RESOURCE_HANDLERS["AWS::Logs::QueryDefinition"] = saved
    del sys.argv[1:]  # they are for the list of processes only
    ministack.app = guarded(ministack.app)
    ministack.main()
