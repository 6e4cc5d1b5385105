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


def play(monkeypatch: pytest.MonkeyPatch, **answers: list[dict[str, Any]] | str) -> list[str]:
    """Have each service answer with packages, or with an error; returns the commands that are run."""
    commands: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(" ".join(command))
        [service] = [name for name in answers if f"--vulnerability-service={name}" in command]
        answer = answers[service]
        if answer == "timeout":
            raise subprocess.TimeoutExpired(command, 300)
        if isinstance(answer, str):
            return subprocess.CompletedProcess(command, 1, "", f"Traceback\n{answer}\n")
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": answer}), "")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_clean_answer_is_exit_0(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Each file is looked up, and it is said where and how many packages were."""
    play(monkeypatch, pypi=[CLEAN, CLEAN])
    assert audit.main(["a.txt", "b.txt"]) == 0
    assert capsys.readouterr().out == "".join(
        f"{file}: 2 packages looked up (pypi), 0 known vulnerabilities\n" for file in ("a.txt", "b.txt")
    )


def test_vulnerability_is_exit_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A known vulnerability fails the audit, with the package, the advisory and what mends it."""
    play(monkeypatch, pypi=[CLEAN, FLAWED, UNMENDED])
    assert audit.main(["a.txt"]) == 1
    printed = capsys.readouterr().out
    assert "pydantic 2.0: CVE-1, mended in 2.1" in printed
    assert "jmespath 1.0: CVE-2, mended in no version" in printed


def test_second_service_answers_for_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the registry's own advisories cannot be had, the open database is asked."""
    play(monkeypatch, pypi=[SKIPPED], osv=[FLAWED])
    assert audit.main(["a.txt"]) == 1
    assert "(osv)" in capsys.readouterr().out


def test_silence_is_no_clean_bill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No service reached: exit 0, but NOT AUDITED with each file and each reason, and nobody is asked again."""
    play(monkeypatch, pypi="timeout", osv="timeout")
    assert audit.main(["a.txt"]) == 0
    assert "pypi: no answer in 5 minutes" in capsys.readouterr().out
    commands = play(monkeypatch, pypi=[SKIPPED], osv="ConnectionError: no such host")
    assert audit.main(["a.txt", "b.txt"]) == 0
    printed = capsys.readouterr().out
    assert "NOT AUDITED for known vulnerabilities: a.txt, b.txt" in printed
    assert "pypi: knows none of 1 packages" in printed
    assert "osv: ConnectionError: no such host" in printed
    assert "0 known" not in printed
    assert not any("b.txt" in command for command in commands)


def test_package_that_nobody_knows_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An answer for some packages is none for the others."""
    play(monkeypatch, pypi=[CLEAN, SKIPPED])
    assert audit.main(["a.txt"]) == 0
    printed = capsys.readouterr().out
    assert "1 packages looked up" in printed
    assert "NOT AUDITED, since unknown there: rich" in printed


def test_vulnerability_counts_whatever_fails_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later file that nobody answers for does not turn exit 1 into 0."""

    def answer(_service: str, file: str) -> list[dict[str, Any]]:
        if file == "a.txt":
            return [FLAWED]
        raise audit.Unanswered("the line went dead")

    monkeypatch.setattr(audit, "_pip_audit", answer)
    assert audit.main(["a.txt", "b.txt"]) == 1
