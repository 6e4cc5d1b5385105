"""The command line itself: options, help, errors, completion, and which stack it acts on."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import click
import pytest
from botocore.exceptions import ClientError

from followups import stack as stacks
from followups.cli import DEFAULT, Operator, cli, main
from followups.stack import Stack, local_session
from local.emulator import REGION, ROOT
from tests.followups.conftest import Followups, Patch, Print
from tests.support.aws import ORDER
from tests.support.deployed import STACK, Deployed
from tests.support.documents import blocks
from tests.support.programs import run_python
from tests.support.recorded_calls import Call, refuse

COMMANDS = "show list watch board replay resolve forget verify preflight".split()
DEAD_LETTERS = "list show export redrive discard".split()
# Runs a command as if calls of AWS cost nothing and found nothing; prints its CPU time in ms, and what was imported.
PROGRAM = """
import sys, time
from followups.cli import main
if "show" in {words}:
    import boto3
    names = "CreditCardNotifyTable CallbackErrorLogTable RetryQueue RefusedQueue FailureQueue".split()
    stack = dict(Outputs=[dict(OutputKey=name, OutputValue="x") for name in names])
    counts = dict.fromkeys(["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"], 0)
    answer = dict(Stacks=[stack], Items=[], Responses={{}}, UnprocessedKeys={{}}, Attributes=counts)
    class Client:
        __getattr__ = lambda self, name: lambda *_, **__: dict(get_paginator=self, paginate=[answer]).get(name, answer)
    boto3.Session.client = lambda *_, **__: Client()
try:
    main({words})
finally:
    print(round(time.process_time() * 1000), *sys.modules)
"""
IDS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "ap-southeast-1"}


@pytest.mark.parametrize("command", [*COMMANDS, *(f"dead-letters {name}" for name in DEAD_LETTERS)])
def test_help_is_a_manual(capsys: Print, monkeypatch: Patch, command: str) -> None:
    """Examples, exit codes, permissions and the common options; no line but a command is wider than 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*command.split(), "--help"]) == 0
    printed = capsys.readouterr().out
    text = " ".join(printed.split())
    parts = ("Examples:", "Exit codes:", "Permissions:", "--stack NAME", "--local", "--json", "130 stopped")
    assert all(part in text for part in (*parts, "cloudformation:DescribeStacks"))
    assert f"followups {command}" in text.split("Examples:")[1]
    assert [line for line in printed.splitlines() if len(line) > 80 and "followups" not in line] == []


def test_help_names_the_commands_and_what_their_ends_mean(capsys: Print) -> None:
    """`followups --help` names the commands, the exit codes and the command for completion."""
    assert main(["--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(f" {name} " in text for name in [*COMMANDS, "dead-letters"])
    assert re.search(r"0 done; nothing is missing 1 something .* 2 it could not be tried.* 130 stopped", text)
    assert "_FOLLOWUPS_COMPLETE=bash_source" in text


def test_documented_policy_allows_what_the_commands_need() -> None:
    """The operators' policy of docs/operations.md has each permission that a manual names, and no other."""
    [policy] = map(json.loads, blocks(ROOT / "docs" / "operations.md", "json"))
    actions = [statement["Action"] for statement in policy["Statement"]]
    allowed = {name for action in actions for name in ([action] if isinstance(action, str) else action)}
    names = cli.commands.keys() - {"preflight"}
    manuals: list[Any] = [cli.resolve_command(click.Context(cli), [name])[1] for name in names]
    manuals += [command for manual in manuals for command in getattr(manual, "commands", {}).values()]
    assert allowed == {name for manual in manuals for name in manual.permissions}


@pytest.mark.parametrize("words", [["--help"], ["--version"], [], ["show", "ORDER-9"]])
def test_few_modules_are_imported(figure: Callable[[str], None], words: list[str]) -> None:
    """Help, version and completion import nothing of AWS's, and no command in a pipe what draws tables or pages."""
    heavy, most = (set[str](), 500) if "show" in words else ({"boto3", "botocore", "callback.record", "pydantic"}, 200)
    # The first run makes bytecode.
    _, (spent, *imported) = (run_python("-c", PROGRAM.format(words=words)).splitlines()[-1].split() for _ in range(2))
    assert not set(imported) & (heavy | {"rich", "flask", "yaml"})
    # Not counted is what botocore imports of the development's other tools.
    other = {"awscrt", "_awscrt", "OpenSSL", "cryptography", "_cffi_backend"}
    count = sum(name.split(".")[0] not in other for name in imported)
    figure(f"followups {' '.join(words)} imports {count} modules and takes {spent} ms of CPU, without its calls")
    assert count < most


@pytest.mark.parametrize(
    ("variables", "advice"),
    [
        ({"AWS_ENDPOINT_URL": "localhost:4566"}, "which begins with http:// or https://"),
        ({"AWS_DEFAULT_REGION": "no region"}, "Check AWS_DEFAULT_REGION"),
        ({"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"} | IDS, "which may not be empty"),
        ({}, "Sign in again"),
        ({"AWS_PROFILE": "unknown"}, "Set AWS_PROFILE"),
        ({"AWS_CONFIG_FILE": "fails"}, "Sign in again"),
    ],
)
def test_wrong_environment_comes_with_advice(
    capsys: Print, monkeypatch: Patch, tmp_path: Path, variables: dict[str, str], advice: str
) -> None:
    """A wrong endpoint, region or credential is exit 2, with the error and the advice on a line each, or as JSON."""
    (tmp_path / "fails").write_text("[default]\ncredential_process = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in ({"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none"} | variables).items():
        monkeypatch.setenv(name, value)
    assert main(["list"]) == 2
    assert advice in capsys.readouterr().err.splitlines()[1]
    assert main(["list", "--json"]) == 2
    assert advice in json.loads(capsys.readouterr().err)["todo"]


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("AccessDeniedException", "Ask for dynamodb:Query: docs/operations.md"),
        ("ExpiredTokenException", "Sign in again"),
        ("ThrottlingException", "AWS asks for patience"),
        ("ValidationException", "Deploy the stack anew"),
        ("Strange", "Check profile, region and permissions"),
    ],
)
def test_error_of_aws_comes_with_advice(deployed: Deployed, followups: Followups, code: str, advice: str) -> None:
    """What happened and what helps are one line each; a denied call comes with its permission."""
    error: Any = {"Code": code, "Message": "is not authorized to perform: dynamodb:Query\non"}

    def fail(_call: Call) -> None:
        raise ClientError({"Error": error}, "Query")

    deployed.put_failed("n")
    for call in ("cloudformation.DescribeStacks", "dynamodb.Query", "dynamodb.UpdateItem"):
        deployed.world.wire.before = {call: fail}
        what, todo = followups("resolve", ORDER, "--reason", "x", code=2).err.splitlines()
        assert f"({code})" in what
        assert todo.startswith(advice)


def test_output_may_know_only_ascii_or_be_closed_early(deployed: Deployed, monkeypatch: Patch) -> None:
    """A Thai letter is printed as a question mark there, and `followups list | head -1` ends without an error."""
    reading, writing = os.pipe()
    deployed.put_failed("1", orderId="ORDER-ก1")
    with os.fdopen(writing, "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert deployed.run("list") == 0
        assert b"orderId=ORDER-?1" in os.read(reading, 400)
        os.close(reading)
        assert deployed.run("list") == 0
        os.dup2(os.open(os.devnull, os.O_WRONLY), writing)


def test_bug_is_not_hidden(deployed: Deployed, monkeypatch: Patch) -> None:
    """An unexpected error keeps its traceback."""
    monkeypatch.setattr("followups.listing.chosen", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deployed.run("list")


def test_wrong_stack_is_an_error_with_its_advice(deployed: Deployed, followups: Followups) -> None:
    """Exit 2: no stack has that name, or it is another application's. The stacks that would do are named."""
    todo = "name it (--stack), or set AWS_PROFILE and AWS_DEFAULT_REGION"
    for times, others in ((1, f"; there are {STACK}"), (2, "")):
        deployed.world.wire.before["cloudformation.DescribeStacks"] = refuse("ValidationError", times)
        printed = followups("list", "--stack", "payment4", code=2).err
        assert printed == f"Error: no stack payment4 in {REGION}: {todo}{others}\n"
    deployed.world.wire.answers["cloudformation.DescribeStacks"] = lambda _call: {"Stacks": [{}]}
    printed = followups("dead-letters", "redrive", "--yes", code=2).err
    assert printed == f"Error: stack {STACK} has no RefusedQueue; name another (--stack), or deploy it anew\n"


def test_options_or_environment_name_the_stack(deployed: Deployed, followups: Followups, monkeypatch: Patch) -> None:
    """Options may come before or after the command; without one, the environment's variable counts."""
    monkeypatch.setenv("FOLLOWUPS_STACK", "payment5")
    session: Any = boto3.Session
    session.asked.clear()
    for given, name in (("list", 5), ("--stack payment6 list", 6), ("list --stack payment6", 6)):
        deployed.world.wire.before["cloudformation.DescribeStacks"] = refuse("ValidationError")
        assert followups(*given.split(), code=2).err.startswith(f"Error: no stack payment{name} in ")
    followups("--profile", "operators", "list", "--region", "eu-west-1", "--stack", STACK)
    assert session.asked == [{}, {}, {}, {"profile_name": "operators", "region_name": "eu-west-1"}]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("lsit", "list"),
        ("dead-letters redirve", "redrive"),
        ("list --state faild", "failed"),
        ("show", ""),
        ("list --since tomorrow", ""),
    ],
)
def test_wrong_use_leads_to_the_help_and_a_suggestion(capsys: Print, given: str, meant: str) -> None:
    """A misspelt command or value gets a suggestion: exit 2, and nothing on stdout; with --json an object."""
    assert main(given.split()) == 2
    printed = capsys.readouterr()
    assert ("Error: " in printed.err, "--help" in printed.err, printed.out) == (True, True, "")
    assert f"Did you mean {meant}?" in printed.err if meant else "mean" not in printed.err
    assert main([*given.split(), "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["error"] in " ".join(printed.err.split())


@pytest.mark.parametrize(
    ("words", "completes"),
    [
        ("followups --local list --sin", {"--since"}),
        ("followups dead-letters list --queue Re", {"RetryQueue", "RefusedQueue"}),
    ],
)
def test_shell_completes(capsys: Print, monkeypatch: Patch, words: str, completes: set[str]) -> None:
    """Commands, options and their values are completed without a call to AWS."""
    monkeypatch.setenv("_FOLLOWUPS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    with pytest.raises(SystemExit):
        main([])
    assert {line.split(",")[1] for line in capsys.readouterr().out.splitlines()} == completes


@pytest.fixture
def up(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The file that `make up` writes in the program's checkout; the user is in another folder."""
    (tmp_path / ".local").mkdir()
    monkeypatch.setattr(stacks, "_CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path / ".local")
    return tmp_path / ".local" / "up.json"


def test_local_stack_is_reached_by_what_make_up_wrote(up: Path) -> None:
    """--local takes the keys, the region and the endpoint of that file, and no HTTP_PROXY."""
    url = "http://127.0.0.1:4566"
    up.write_text(json.dumps({"emulator": {}, "session": KEYS | {"endpoint_url": url}}))
    assert local_session() == KEYS | {"endpoint_url": url}
    stack = Operator(given={"local": True}).stack
    for client in (stack.dynamodb, stack.functions):
        assert (client.meta.endpoint_url, client.meta.config.proxies) == (url, {})
    assert (stack.name, stack.dynamodb.meta.region_name) == (DEFAULT, "ap-southeast-1")


@pytest.mark.enable_socket
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "no local stack is up"),
        ('{"session": {}}', "was not written by `make up`"),
        (json.dumps({"session": KEYS | {"endpoint_url": "http://127.0.0.1:1"}}), "Could not connect to the endpoint"),
    ],
)
def test_local_stack_that_is_not_up_is_an_error(capsys: Print, up: Path, text: str, error: str) -> None:
    """Exit 2, and the command that starts one; --local with --profile or --region is refused first."""
    if text:
        up.write_text(text)
    assert main(["list", "--local"]) == 2
    printed = capsys.readouterr().err
    assert error in printed
    assert "`make up`" in printed
    for option in ("--profile", "--region"):
        assert main(["list", "--local", option, "x"]) == 2
        assert "leave out --profile and --region" in capsys.readouterr().err


def test_printed_command_leads_to_the_same_stack(followups: Followups) -> None:
    """It names the same stack and account; no shell, terminal or clipboard acts on a character of an id."""
    local = {"endpoint_url": "http://127.0.0.1:1"}
    words = ["replay", "--yes", "--stack", "a b", "--local", "--", "O'1; x"]
    assert shlex.split(Stack("a b", local).command("replay", "--yes", ids=("O'1; x",))) == ["followups", *words]
    pasted = Stack().command("show", ids=("a'\\\x1b[31m\n\u202eb",))
    assert pasted.isprintable()
    done = subprocess.run(["bash", "-c", f"printf %s {pasted.split(' -- ')[1]}"], capture_output=True, check=True)  # noqa: S607
    assert done.stdout.decode() == "a'\\\x1b[31m\n\u202eb"
    expected = f"followups dead-letters list --stack {STACK} --profile operators\n"
    assert followups("show", "ORDER-9", "--profile", "operators", code=1).out.endswith(expected)
