"""Known vulnerabilities of what is locked: what pip-audit says, and plainly how much of it is an answer.

pip-audit alone ends with "No known vulnerabilities found" and exit code 0 where it could look nothing up.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

SERVICES = ("pypi", "osv")
_OPTIONS = ("--require-hashes", "--disable-pip", "--format=json", "--progress-spinner=off", "--timeout=15")

Package = dict[str, Any]


class Unanswered(Exception):
    """No vulnerability service said anything about a file; the message says why."""


def main(files: Sequence[str]) -> int:
    """Exit code 1 for a known vulnerability; what no service answers for is printed, and no failure."""
    found = False
    for number, file in enumerate(files):
        try:
            found = _reported(file, *_asked(file)) or found
        except Unanswered as why:
            # Who does not answer for one file does not answer for the longer ones after it.
            print(f"NOT AUDITED for known vulnerabilities: {', '.join(files[number:])}\n{why}")
            break
    return int(found)


def _asked(file: str) -> tuple[str, list[Package]]:
    reasons = []
    for service in SERVICES:
        try:
            return service, _pip_audit(service, file)
        except Unanswered as why:
            reasons.append(f"  {service}: {why}")
    raise Unanswered("\n".join(reasons))


def _pip_audit(service: str, file: str) -> list[Package]:
    command = [sys.executable, "-m", "pip_audit", f"--vulnerability-service={service}", f"--requirement={file}"]
    try:
        done = subprocess.run([*command, *_OPTIONS], capture_output=True, text=True, check=False, timeout=300)
        packages: list[Package] = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired as error:
        raise Unanswered("no answer in 5 minutes") from error
    except ValueError as error:
        raise Unanswered(done.stderr.strip().rpartition("\n")[2]) from error
    if not any("vulns" in package for package in packages):
        raise Unanswered(f"knows none of {len(packages)} packages")
    return packages


def _reported(file: str, service: str, packages: list[Package]) -> bool:
    known = [(package, flaw) for package in packages for flaw in package.get("vulns", ())]
    unknown = [package["name"] for package in packages if "vulns" not in package]
    print(f"{file}: {len(packages) - len(unknown)} packages looked up ({service}), {len(known)} known vulnerabilities")
    for package, flaw in known:
        mended = ", ".join(flaw["fix_versions"]) or "no version"
        print(f"  {package['name']} {package['version']}: {flaw['id']}, mended in {mended}")
    if unknown:
        print(f"  NOT AUDITED, since unknown there: {', '.join(unknown)}")
    return bool(known)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
