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
TIMEOUT, NO_HOST = subprocess.TimeoutExpired("pip-audit", 300), "ConnectionError: no such host"


@pytest.mark.parametrize(
    ("answers", "code", "lines"),
    [
        ([[CLEAN, CLEAN]], 0, ["a.txt: 2 packages looked up (pypi), 0 known vulnerabilities"]),
        ([[CLEAN, FLAWED]], 1, ["2 packages looked up", "pydantic 2.0: CVE-1, mended in 2.1"]),
        ([[UNMENDED]], 1, ["jmespath 1.0: CVE-2, mended in no version"]),
        ([[SKIPPED], [FLAWED]], 1, ["(osv), 1 known"]),
        ([[CLEAN, SKIPPED]], 0, ["1 packages looked up", "NOT AUDITED, since unknown there: rich"]),
        (
            [TIMEOUT, TIMEOUT],
            0,
            ["NOT AUDITED for known vulnerabilities: a.txt, b.txt", "pypi: no answer in 5 minutes"],
        ),
        ([[SKIPPED], NO_HOST], 0, ["NOT AUDITED", "pypi: knows none of 1 packages", f"osv: {NO_HOST}"]),
        ([[FLAWED], NO_HOST, NO_HOST], 1, ["1 known", "NOT AUDITED for known vulnerabilities: b.txt"]),
    ],
    ids="clean flawed unmended second-service partly-unknown no-answer unknown later-file-unknown".split(),
)
def test_answer_is_reported_as_it_is(
    answers: list[Any], code: int, lines: list[str], monkeypatch: Any, capsys: Any
) -> None:
    """Exit 1 for a known vulnerability, whichever service knows it; what was looked up is counted, the rest named.

    Where nobody answers the audit says so, with each file and reason, and asks no more: that is no clean bill.
    """

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        answer = answers.pop(0) if answers else [CLEAN]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return subprocess.CompletedProcess(command, 1, "", f"Traceback\n{answer}\n")
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": answer}), "")

    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main(["a.txt", "b.txt"]) == code
    printed = capsys.readouterr().out
    assert [line for line in lines if line not in printed] == []
    assert ("b.txt: 1 packages looked up (pypi), 0 known" in printed) == ("NOT AUDITED for" not in printed)
