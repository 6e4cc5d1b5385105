"""The local stack: template.yaml as it is, deployed to the emulator, with what payment3 has around it."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import boto3
import yaml
from botocore.config import Config
from rich.console import Console

from callback.notification import Notification
from local import emulator
from local.emulator import ACCOUNT, PYTHON, REGION, ROOT, STATE, Emulator, StackError, locked
from local.samples import Sample

BUILD = ROOT / ".aws-sam" / "local"
# What `make up` started; `followups --local` reads it, too.
KEPT = STATE / "up.json"
BRANCH = "dev"
FUNCTIONS = ("DelayedNotifyFunction", "RecheckFunction", "SweepFunction", "RetryFunction")
NAME = f"payment3-follow-up-{BRANCH}"
SECRET = {"secretKey": "skey_local_not_a_real_key"}
SHOP = "https://shop.local.example"
_SENDER = "payment3@local.example"
_PASS_TIMEOUT = 30  # seconds, for ProcessPaidOrder, too
_BIN = Path(sys.executable).parent
CALLS = "process-paid-order-calls"
_BUCKET = "artefacts"
# No proxy leads to this machine itself.
_CONFIG = Config(retries={"total_max_attempts": 2}, proxies={})
_BOTO3: Any = boto3  # whose types are by the service's name


@dataclass(frozen=True)
class Options:
    """How the stack behaves."""

    delay: int = 60
    latency_ms: int = 300
    failures: int = 0
    outage: int = 0


@dataclass(frozen=True)
class Stack:
    """A deployed stack, through boto3."""

    emulator: Emulator

    @property
    def reach(self) -> dict[str, str]:
        """What a client needs to reach the emulator. No account has such keys."""
        keys = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key"), ACCOUNT)
        return keys | {"region_name": REGION, "endpoint_url": self.emulator.url}

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead an AWS tool to the emulator."""
        names = {"endpoint_url": "AWS_ENDPOINT_URL", "region_name": "AWS_DEFAULT_REGION"}
        return {names.get(name, name.upper()): value for name, value in self.reach.items()}

    @cache  # noqa: B019 - a stack lives as long as its run
    def client(self, service: str) -> Any:  # noqa: ANN401 - one of many typed clients
        """Return a client of the emulator's."""
        return _BOTO3.client(service, **self.reach, config=_CONFIG)

    def table(self, name: str) -> Any:  # noqa: ANN401 - boto3's resources are made at run time
        """Return a table of the emulator's."""
        return _BOTO3.resource("dynamodb", **self.reach, config=_CONFIG).Table(name)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The outputs of template.yaml: names of functions, tables and queues."""
        [stack] = self.client("cloudformation").describe_stacks(StackName=NAME)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def notify(self, event: dict[str, Any]) -> None:
        """Hand an event to DelayedNotify as Notify does: asynchronously."""
        function = self.outputs["DelayedNotifyFunction"]
        self.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event))

    def variables(self, function: str) -> dict[str, str]:
        """Return the environment of a function of template.yaml."""
        found = self.client("lambda").get_function_configuration(FunctionName=self.outputs[function])
        return dict(found["Environment"]["Variables"])

    def messages(self) -> dict[str, int]:
        """How many messages are in each queue, waiting or hidden."""
        sqs, names = self.client("sqs"), ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        queues = {name: self.outputs[name] for name in ("RetryQueue", "RefusedQueue", "FailureQueue")}
        asked = {q: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names) for q, url in queues.items()}
        return {queue: sum(int(answer["Attributes"][name]) for name in names) for queue, answer in asked.items()}


def build(folder: Path = BUILD, version: str | None = None) -> None:
    """Build the functions with the SAM CLI, for the Python that the emulator runs them with, once for each change."""
    folder.parent.mkdir(exist_ok=True)
    with locked(folder.parent / "local.lock"):
        if not _is_built(folder):
            sam_build(ROOT / "template.yaml", folder, "--parallel", PYTHON_VERSION=version or emulators_python())


def emulators_python() -> str:
    """Return the version of Python that the emulator runs functions with: 3.12, unless the machine has none."""
    about = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([PYTHON, "-c", about], check=True, capture_output=True, text=True).stdout.strip()


def _is_built(folder: Path) -> bool:
    built = folder / "template.yaml"
    # Not the bytecode: the operators' tools import the functions too, and leave theirs there.
    sources = [ROOT / "template.yaml", *(s for s in (ROOT / "functions").rglob("*") if s.suffix != ".pyc")]
    return built.exists() and built.stat().st_mtime > max(s.stat().st_mtime for s in sources if s.is_file())


def sam_build(template: Path, folder: Path, *options: str, **environment: str) -> None:
    """Run `sam build`. Raises `StackError` with its output."""
    environment |= {"PATH": f"{_BIN}{os.pathsep}{os.environ['PATH']}", "SAM_CLI_TELEMETRY": "0"}
    _run(_BIN / "sam", "build", *options, "--build-dir", folder, "--template", template, **environment)


def install_debugger(folder: Path, architecture: str) -> None:
    """Install debugpy, as it is locked, for Lambda's Python on an architecture, into a folder."""
    platform = f"{'aarch64' if architecture == 'arm64' else 'x86_64'}-unknown-linux-gnu"
    options = ("--only-binary", ":all:", "--no-deps", "--python-version", "3.12", "--python-platform", platform)
    lock = ROOT / "requirements" / "dev.txt"
    _run(_BIN / "uv", "pip", "install", *options, "--target", folder, "--constraint", lock, "debugpy")


def _run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(f"{Path(command[0]).name} {command[1]}:\n{(done.stdout + done.stderr)[-3000:]}")


@contextmanager
def running(
    console: Console, options: Options, samples: Iterable[Sample] = (), *, sweep_every: float = 60, keep: bool = False
) -> Iterator[Stack]:
    """Build, start and deploy a stack with what the samples need; end it after use, or keep it if all went well."""
    with console.status("building the functions"):
        build()
    started = emulator.start(sweep_every, kept=keep)
    try:
        with console.status("deploying template.yaml"):
            deployed = deploy(started, options)
        for sample in samples:
            furnish(deployed, sample.notification)
        yield deployed
    except BaseException as error:
        error.add_note(f"What was logged is in {started.log}")
        keep = False
        raise
    finally:
        if not keep:
            started.stop()


def kept() -> Stack | None:
    """Return what `make up` started and completed. Raises `StackError` if it does not answer."""
    if (found := emulator.find_kept()) is None:
        return None
    try:
        found.ask("health")
    except OSError as error:
        raise StackError(f"process {found.pid} does not answer (is it stopped?); `make down` ends it") from error
    complete = Stack(found).client("cloudformation").list_stacks(StackStatusFilter=["CREATE_COMPLETE"])
    # It is incomplete if `make up` was killed.
    return Stack(found) if NAME in {stack["StackName"] for stack in complete["StackSummaries"]} else None


def must_be_kept() -> Stack:
    """Return what `make up` started. Raises `StackError` if there is nothing."""
    if (found := kept()) is None:
        raise StackError("nothing is up; `make up` first")
    return found


def end_kept() -> bool:
    """Stop what `make up` started, whatever state it is in, and return whether there was anything."""
    KEPT.unlink(missing_ok=True)
    if found := emulator.find_kept():
        found.stop()
    return found is not None


def deploy(started: Emulator, options: Options) -> Stack:
    """Deploy template.yaml and what payment3 has around it, and wait until it is complete."""
    stack = Stack(started)
    create_surroundings(stack, options)
    parameters = {
        "Branch": BRANCH,
        "RecheckDelays": str(options.delay),
        "PassTimeoutSeconds": str(_PASS_TIMEOUT),
        "RedirectUrlTemplate": f"{SHOP}/orders/{{orderId}}",
        "RedirectAllowedOrigins": SHOP,
        "ErrorMailFrom": _SENDER,
        "ErrorMailTo": "on-call@local.example",
    }
    stack.client("cloudformation").create_stack(
        StackName=NAME,
        TemplateURL=_packaged(stack),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
    )
    waiter = stack.client("cloudformation").get_waiter("stack_create_complete")
    waiter.wait(StackName=NAME, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    return stack


def create_surroundings(stack: Stack, options: Options) -> None:
    """Create what payment3 has around this project: ProcessPaidOrder with its notes, the secret, the mail identity."""
    key = {"orderId": ("HASH", "S"), "pass": ("RANGE", "N")}
    stack.client("dynamodb").create_table(
        TableName=CALLS,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, (kind, _) in key.items()],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": of} for name, (_, of) in key.items()],
    )
    stack.client("lambda").create_function(
        FunctionName=f"payment3-process-paid-order-{BRANCH}",
        Runtime="python3.12",
        Handler="process_paid_order.handler",
        Timeout=_PASS_TIMEOUT,
        Role=f"arn:aws:iam::{ACCOUNT}:role/process-paid-order",  # the emulator needs none
        Code={"ZipFile": _zipped([ROOT / "local" / "process_paid_order.py"], ROOT / "local")},
        Environment={"Variables": {"LATENCY_MS": str(options.latency_ms), "FAILURES": str(options.failures)}},
    )
    stack.client("secretsmanager").create_secret(Name="payment3/kbank", SecretString=json.dumps(SECRET))
    # The functions use SES's first API, preflight the second: the emulator knows an identity only in one of them.
    stack.client("ses").verify_email_identity(EmailAddress=_SENDER)
    stack.client("sesv2").create_email_identity(EmailIdentity=_SENDER)


def _packaged(stack: Stack) -> str:
    # As `sam deploy` does it, in a fifth of its time. The template goes to a bucket, too: it is too large for a call.
    s3, (template, code) = stack.client("s3"), packaged(f"s3://{_BUCKET}/code")
    s3.create_bucket(Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    s3.put_object(Bucket=_BUCKET, Key="code", Body=code)
    s3.put_object(Bucket=_BUCKET, Key="template.json", Body=template)
    return f"{stack.emulator.url}/{_BUCKET}/template.json"


def packaged(code: str) -> tuple[bytes, bytes]:
    """Return the built template, and the archive that it expects at `code`: all functions have the same files."""
    template, folder = yaml.safe_load((BUILD / "template.yaml").read_text()), BUILD / FUNCTIONS[0]
    for function in FUNCTIONS:
        template["Resources"][function]["Properties"]["CodeUri"] = code
    return json.dumps(template).encode(), _zipped(folder.rglob("*"), folder)


def _zipped(files: Iterable[Path], folder: Path) -> bytes:
    # Not compressed, since the emulator unpacks it for each of its processes.
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as written:
        for file in files:
            written.write(file, file.relative_to(folder))
    return archive.getvalue()


def furnish(stack: Stack, notification: Notification) -> str:
    """Give a notification its payment record and its order, and return the order's id."""
    order_id = notification.order_id or "ORDER-BROWSER-RETURN"  # which only the payment record knows
    amount, currency = notification.amount or Decimal("200.50"), notification.currency or "THB"
    payment = {"chargeId": notification.charge_id, "orderId": order_id, "amount": amount, "currency": currency}
    stack.table(stack.outputs["CardPaymentRecordTable"]).put_item(Item=payment)
    order = {"orderId": order_id, "status": "PAID", "returnUrl": f"{SHOP}/thanks/{order_id}"}
    stack.table(stack.outputs["OrderTable"]).put_item(Item=order)
    return order_id
