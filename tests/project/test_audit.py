"""`make audit`: what it says of pip-audit's answers, and that silence is not taken for an answer."""

import json
import subprocess
from typing import Any
from unittest.mock import Mock

import pytest

from requirements import audit

Answer = subprocess.CompletedProcess[str] | Exception


def found(*packages: Any) -> Answer:
    """An answer about these packages."""
    return subprocess.CompletedProcess([], 0, json.dumps({"dependencies": packages}), "")


CLEAN = {"name": "boto3", "version": "1.0", "vulns": []}
FLAWED = {"name": "pydantic", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"]}]}
SKIPPED = {"name": "rich", "skip_reason": "not found"}
TIMEOUT = subprocess.TimeoutExpired("pip-audit", 300)
NO_HOST = subprocess.CompletedProcess([], 1, "", "Traceback\nConnectionError: no such host\n")


@pytest.mark.parametrize(
    ("answers", "code", "lines"),
    [
        ([found(CLEAN, CLEAN)], 0, ["a.txt: 2 packages looked up (pypi), 0 known vulnerabilities"]),
        ([found(CLEAN, FLAWED)], 1, ["2 packages looked up", "pydantic 2.0: CVE-1, mended in 2.1"]),
        ([found(SKIPPED), found(FLAWED)], 1, ["(osv), 1 known"]),
        ([found(CLEAN, SKIPPED)], 0, ["1 packages looked up", "NOT AUDITED, since unknown there: rich"]),
        ([TIMEOUT, TIMEOUT], 0, ["NOT AUDITED for known vulnerabilities: a.txt, b.txt", "pypi: no answer in 5 min"]),
        ([found(SKIPPED), NO_HOST], 0, ["pypi: knows none of 1 packages", "osv: ConnectionError: no such host"]),
        ([found(FLAWED), NO_HOST, NO_HOST], 1, ["1 known", "NOT AUDITED for known vulnerabilities: b.txt"]),
    ],
    ids="clean flawed second-service partly-unknown no-answer unknown later-file-unknown".split(),
)
def test_answer_is_reported(answers: list[Answer], code: int, lines: list[str], monkeypatch: Any, capsys: Any) -> None:
    """Exit 1 for a vulnerability that any service knows; what none answers about is named, and is no clean bill."""
    monkeypatch.setattr(subprocess, "run", Mock(side_effect=[*answers, found(CLEAN)]))
    assert audit.main(["a.txt", "b.txt"]) == code
    printed = capsys.readouterr().out
    assert [line for line in lines if line not in printed] == []
    assert ("b.txt: 1 packages looked up (pypi), 0 known" in printed) == ("NOT AUDITED for" not in printed)
