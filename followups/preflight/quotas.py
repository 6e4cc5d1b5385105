"""Quotas: is there room for one more function of each kind to run, and for a timer for each notification?"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from followups.preflight.finding import Finding, each
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_service_quotas import ServiceQuotasClient

# A notification holds two runs, ours and ProcessPaidOrder's, for as long as a pass takes; a new account has ten in all.
FEW_AT_ONCE = 100
# What each notification takes one of; the others of Scheduler's (groups, updates) do not move.
_TAKEN = ("createschedule", "invocation", "number of schedules")


def quotas(target: Target) -> Iterator[Finding]:
    """Lambda's and Scheduler's."""
    yield from each(_concurrency(target), _scheduler(target))


def _concurrency(target: Target) -> Iterator[Finding]:
    client: LambdaClient = target.client("lambda")
    answer: Mapping[str, Any] = ask("Lambda", "lambda:GetAccountSettings", client.get_account_settings) or {}
    free = answer.get("AccountLimit", {}).get("UnreservedConcurrentExecutions")
    if free is None:
        yield Finding("warn", "Lambda", "not readable: no concurrency is named", "look by hand")
    elif free < FEW_AT_ONCE:
        todo = "ask for more concurrent executions, or paid orders wait"
        yield Finding("warn", "Lambda", f"{free} functions at once, for all that reserve none", todo)
    else:
        yield Finding("ok", "Lambda", f"{free} functions at once, for all that reserve none")


def _scheduler(target: Target) -> Iterator[Finding]:
    client: ServiceQuotasClient = target.client("service-quotas")
    call = client.list_service_quotas
    answer: Mapping[str, Any] = ask("Scheduler", "servicequotas:ListServiceQuotas", call, ServiceCode="scheduler") or {}
    ours = [one for one in answer.get("Quotas", []) if any(word in one["QuotaName"].lower() for word in _TAKEN)]
    if ours:
        found = ", ".join(f"{one['QuotaName']}: {one['Value']:g}" for one in ours)
        yield Finding("ok", "Scheduler", found)
    else:
        yield Finding("warn", "Scheduler", "not readable: Service Quotas has none of its quotas", "look by hand")
