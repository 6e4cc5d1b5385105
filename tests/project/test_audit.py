"""`make audit`: what it says of pip-audit's answers, and that silence is not taken for an answer."""

import json
import subprocess
from typing import Any

import pytest

from requirements import audit

CLEAN = {"name": "boto3", "version": "1.0", "vulns": []}
FLAWED = {"name": "pydantic", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
UNMENDED = {"name": "jmespath", "version": "1.0", "vulns": [{"id": "CVE-2", "fix_versions": []}]}
SKIPPED = {"name": "rich", "skip_reason": "not found"}
Answer = list[dict[str, Any]] | str


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Audit files while each service answers with packages or with an error; returns exit code, text and commands."""

    def audited(*files: str, **answers: Answer) -> tuple[int, str, str]:
        commands: list[str] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
            commands.append(" ".join(command))
            [answer] = [answers[name] for name in answers if f"--vulnerability-service={name}" in command]
            if answer == "timeout":
                raise subprocess.TimeoutExpired(command, 300)
            if isinstance(answer, str):
                return subprocess.CompletedProcess(command, 1, "", f"Traceback\n{answer}\n")
            return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": answer}), "")

        monkeypatch.setattr(subprocess, "run", run)
        return audit.main(files), capsys.readouterr().out, "\n".join(commands)

    return audited


@pytest.mark.parametrize(
    ("answers", "code", "lines"),
    [
        ({"pypi": [CLEAN, CLEAN]}, 0, ["a.txt: 2 packages looked up (pypi), 0 known vulnerabilities"]),
        ({"pypi": [CLEAN, FLAWED]}, 1, ["2 packages looked up", "pydantic 2.0: CVE-1, mended in 2.1"]),
        ({"pypi": [UNMENDED]}, 1, ["jmespath 1.0: CVE-2, mended in no version"]),
        ({"pypi": [SKIPPED], "osv": [FLAWED]}, 1, ["(osv), 1 known"]),
        ({"pypi": [CLEAN, SKIPPED]}, 0, ["1 packages looked up", "NOT AUDITED, since unknown there: rich"]),
    ],
    ids=["clean", "flawed", "unmended", "second service", "partly unknown"],
)
def test_answer_is_reported_as_it_is(play: Any, answers: dict[str, Answer], code: int, lines: list[str]) -> None:
    """Exit 1 for a known vulnerability, whichever service knows it; what was looked up is counted, the rest named."""
    exit_code, printed, _ = play("a.txt", **answers)
    assert exit_code == code
    assert all(line in printed for line in lines)


def test_silence_is_no_clean_bill(play: Any) -> None:
    """No service reached: exit 0, but NOT AUDITED with each file and each reason, and nobody is asked again."""
    code, printed, _ = play("a.txt", pypi="timeout", osv="timeout")
    assert (code, "pypi: no answer in 5 minutes" in printed) == (0, True)
    code, printed, commands = play("a.txt", "b.txt", pypi=[SKIPPED], osv="ConnectionError: no such host")
    assert code == 0
    for line in ("a.txt, b.txt", "pypi: knows none of 1 packages", "osv: ConnectionError: no such host"):
        assert line in printed
    assert "0 known" not in printed
    assert "b.txt" not in commands


def test_vulnerability_counts_whatever_fails_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later file that nobody answers for does not turn exit 1 into 0."""

    def answer(_service: str, file: str) -> list[dict[str, Any]]:
        if file == "a.txt":
            return [FLAWED]
        raise audit.Unanswered("the line went dead")

    monkeypatch.setattr(audit, "_pip_audit", answer)
    assert audit.main(["a.txt", "b.txt"]) == 1
