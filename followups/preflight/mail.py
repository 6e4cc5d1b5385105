"""SES: may the error mails be sent, and will they arrive?"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from followups.preflight.finding import Finding, each
from followups.preflight.plan import Plan
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_sesv2 import SESV2Client


def mail(target: Target, plan: Plan) -> Iterator[Finding]:
    """The sender's identity is verified; in SES's sandbox the recipients' must be, too."""
    yield from each(_sender(target, plan), _account(target, plan))


def _sender(target: Target, plan: Plan) -> Iterator[Finding]:
    sender = plan.parameters["ErrorMailFrom"]
    identity = plan.parameters["ErrorMailIdentity"] or sender
    subject = f"SES identity {identity}"
    if identity != sender and not _covers(identity, sender):
        text = f"it does not cover the sender {sender}"
        yield Finding("stop", subject, text, "ErrorMailIdentity is the sender's address or its domain")
    elif (about := _identity(target, subject, identity)).get("VerifiedForSendingStatus"):
        # The functions may use any configuration set of the account's.
        by = f", by its configuration set {name}" if (name := about.get("ConfigurationSetName")) else ""
        yield Finding("ok", subject, f"verified for sending{by}")
    else:
        domain = sender.rpartition("@")[2]
        wider = identity == sender and _identity(target, subject, domain).get("VerifiedForSendingStatus")
        todo = f"its domain is: ErrorMailIdentity={domain}" if wider else "verify it in SES, in this region"
        yield Finding("stop", subject, "not verified for sending", todo)


def _account(target: Target, plan: Plan) -> Iterator[Finding]:
    client: SESV2Client = target.client("sesv2")
    about: Mapping[str, Any] = ask("SES", "ses:GetAccount", client.get_account) or {}
    if about.get("SendingEnabled") is False:
        yield Finding(
            "warn", "SES", "sending is paused in this account and region", "enable it: no error mail goes out"
        )
    if about.get("ProductionAccessEnabled"):
        yield Finding("ok", "SES", "out of the sandbox: mails go to everybody")
        return
    recipients = [one.strip() for one in plan.parameters["ErrorMailTo"].split(",")]
    unverified = [one for one in recipients if not _reaches(target, one)]
    if len(recipients) > 1:  # IAM asks for each recipient's identity there, and the template can name one
        text = f"in the sandbox one recipient can be allowed, and ErrorMailTo has {len(recipients)}"
        yield Finding("warn", "SES", text, "name one address, such as a list's, or ask for production access")
    text = "in the sandbox: only verified recipients get mails"
    if unverified:
        todo = f"verify {', '.join(unverified)}, or ask for production access"
        yield Finding("warn", "SES", f"{text}, and {len(unverified)} of {len(recipients)} are not", todo)
    else:
        yield Finding("ok", "SES", f"{text}, and all {len(recipients)} are")


def _reaches(target: Target, recipient: str) -> bool:
    places = (recipient, recipient.rpartition("@")[2])
    return any(_identity(target, f"SES identity {place}", place).get("VerifiedForSendingStatus") for place in places)


def _identity(target: Target, subject: str, identity: str) -> Mapping[str, Any]:
    client: SESV2Client = target.client("sesv2")
    return ask(subject, "ses:GetEmailIdentity", client.get_email_identity, EmailIdentity=identity) or {}


def _covers(identity: str, sender: str) -> bool:
    domain = sender.rpartition("@")[2].lower()
    return domain == identity.lower() or domain.endswith(f".{identity.lower()}")
