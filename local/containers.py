"""`sam local` against the kept stack: the built functions in containers, as the SAM CLI runs them."""

import asyncio
import contextlib
import os
import platform
import sys
from pathlib import Path

import yaml

from local.emulator import ACCOUNT, HOST, REGION, STATE
from local.stack import BUILD, Stack

TEMPLATE = STATE / "sam-local.yaml"
# What a container calls its host; Docker Desktop knows it by itself, elsewhere --add-host tells.
_HOST_NAME = "host.docker.internal"
_ARCHITECTURE = "arm64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"


def write_template(stack: Stack) -> None:
    """Write the built template with each function's environment as deployed to the stack.

    SAM cannot resolve a table's name by itself, and passes no AWS_ENDPOINT_URL that the template does not declare.
    """
    template = yaml.safe_load((BUILD / "template.yaml").read_text())
    for name, resource in template["Resources"].items():
        if resource["Type"] == "AWS::Serverless::Function":
            deployed = stack.client("lambda").get_function_configuration(FunctionName=stack.outputs[name])
            endpoint = f"http://{_HOST_NAME}:{stack.emulator.port}"
            resource["Properties"] |= {
                "CodeUri": str(BUILD / name),
                "Architectures": [_ARCHITECTURE],
                "Environment": {"Variables": deployed["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": endpoint}},
            }
    TEMPLATE.write_text(yaml.safe_dump(template, sort_keys=False))


async def invoke(stack: Stack, function: str, event: Path, address: str) -> int:
    """Run `sam local invoke` with an event and return its exit code; containers reach this machine at `address`."""
    sam = Path(sys.executable).parent / "sam"
    command = ["local", "invoke", function, "--template", str(TEMPLATE), "--event", str(event)]
    # The shell's endpoint would win over the template's, and 127.0.0.1 is the container itself.
    environment = {name: value for name, value in os.environ.items() if name != "AWS_ENDPOINT_URL"}
    environment |= {"AWS_ACCESS_KEY_ID": ACCOUNT, "AWS_SECRET_ACCESS_KEY": ACCOUNT, "AWS_DEFAULT_REGION": REGION}
    async with contextlib.AsyncExitStack() as running:
        if platform.system() == "Linux":
            command += ["--add-host", f"{_HOST_NAME}:{address}"]
            await running.enter_async_context(await bridge(address, stack.emulator.port))
        process = await asyncio.create_subprocess_exec(sam, *command, env=environment)
        return await process.wait()


async def bridge(address: str, port: int) -> asyncio.Server:
    """Hand connections to `address:port` on to the same port of 127.0.0.1, the only place the emulator listens."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HOST, port)
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))

    return await asyncio.start_server(connected, address, port)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):  # either side may hang up at any time
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
