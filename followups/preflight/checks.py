"""All of preflight, in the order in which it is printed."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from followups.preflight.finding import Finding, each
from followups.preflight.keys import own_key
from followups.preflight.mail import mail
from followups.preflight.names import names
from followups.preflight.parameters import Environment, effective, parameter_findings
from followups.preflight.plan import Plan
from followups.preflight.quotas import quotas
from followups.preflight.stack_state import stack_state
from followups.preflight.surroundings import alarm_topic, process_paid_order, secret
from followups.preflight.tables import existing_tables
from followups.preflight.target import Target
from followups.preflight.template import read_template


def preflight(
    target: Target, environment: Environment, template: Path, overrides: Mapping[str, str]
) -> Iterator[Finding]:
    """Check what a deployment of the environment needs; nothing is changed.

    Raises botocore's errors where nobody tells who asks, and `TemplateError`.
    """
    content = read_template(template)
    where = target.where()
    text = f"account {where.account}, {where.region}, stack {environment.stack}, as {where.caller}"
    yield Finding("ok", "where", text)
    state = stack_state(target, environment.stack)
    yield from state.findings
    given = {**environment.given, **overrides}
    values = effective(content["Parameters"], given, state.parameters)
    yield from parameter_findings(content["Parameters"], given, values)
    plan = Plan(where, environment.stack, values, content)
    yield from _rules(plan)
    yield from each(
        existing_tables(target, plan),
        names(target, plan, state.owned),
        process_paid_order(target, plan),
        secret(target, plan),
        mail(target, plan),
        alarm_topic(target, plan),
        own_key(target, plan),
        quotas(target),
    )


def _rules(plan: Plan) -> Iterator[Finding]:
    broken = [text for holds, text in plan.template.rules if not holds]
    for text in broken:
        subject, _, rest = text.partition(" ")
        yield Finding("stop", subject, f"{rest} (a rule of the template)", f"set {subject} in samconfig.toml")
    if not broken:
        yield Finding("ok", "rules", f"the template's rules hold for branch {plan.parameters['Branch']}")
