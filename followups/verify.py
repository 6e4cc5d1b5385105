"""`followups verify`: does this notification's checksum hold?"""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from callback.checksum import Verdict, read_keys, verify
from callback.errors import InvalidNotification
from callback.notification import Notification, parse_notification
from followups.cli import READ, Operator, manual
from followups.output import STYLES, Output, printable
from followups.tables import find, whole

_CODES = {"valid": 0, "invalid": 1, "missing": 1, "unverifiable": 2}


@manual("verify", (*READ, "secretsmanager:GetSecretValue"), "followups verify - < body.json")
@click.argument("what", metavar="FILE|-|ORDER")
def verify_command(operator: Operator, what: str) -> int:
    """Say whether the checksum of a notification holds, and under which of the merchant's keys.

    FILE is what Notify passed on (an API Gateway proxy event), or the bank's bare JSON; `-` is standard input. For an
    order, a charge or a notification's id it verifies the body that was kept. The keys are those of the stack's secret.
    A checksum does not cover the order id: a valid one does not prove which order was paid.

    Exit code 1: it is not valid; 2: it could not be checked.
    """
    if what == "-" or Path(what).is_file():
        with click.open_file(what, "rb") as file:
            notifications = [(_notification(file.read()), "")]
    elif not (notifications := list(_stored(operator, what))):
        operator.output.note(f"{what}: neither a file, nor a notification whose body is kept.")
        return 1
    secret = operator.stack.value("KBankSecretId")
    try:
        keys = read_keys(operator.stack.secrets, secret)
    except ValueError as error:
        raise click.ClickException(f"{secret} holds no merchant key as JSON") from error
    return max(_print(operator.output, one, verify(one, keys), stored) for one, stored in notifications)


def _stored(operator: Operator, word: str) -> Iterator[tuple[Notification, str]]:
    for one in find(operator.stack, word).rows:
        for item in whole(operator.stack, one):
            event = {"body": item.get("body"), "requestContext": {"requestId": one.ids["notificationId"]}}
            try:
                yield parse_notification(event), one.checksum
            except InvalidNotification:
                text = f"{one.checksum} when it came; nothing is kept that could be verified"
                operator.output.note(f"{one.ids['notificationId']}: {text}")


def _print(output: Output, n: Notification, verdict: Verdict, stored: str) -> int:
    fields = {"chargeId": n.charge_id, "amount": None if n.amount is None else f"{n.amount:.4f}"}
    fields |= {"currency": n.currency, "status": n.status, "transactionState": n.transaction_state}
    covered = {name: None if value is None else printable(value) for name, value in fields.items()}
    is_valid = verdict.status == "valid"
    how = f"with the {verdict.key} key, {verdict.form} form" if is_valid else str(verdict.error)
    if output.as_json:
        about = {"checksumStatus": verdict.status, "stored": stored or None, "reason": verdict.error}
        about |= {"key": verdict.key, "checksumForm": verdict.form, "notificationId": n.notification_id}
        output.document({**about, "covered": covered, "notCovered": ["orderId", "source", "description"]})
    else:
        output.line(f"{verdict.status}: {how}", style=STYLES["ok" if is_valid else "bad"])
        texts = (f"{name}={value or '-'}" for name, value in covered.items())
        output.line("covered:" if is_valid else "it would cover:", " ".join(texts))
        order = printable(f"orderId={n.order_id}") if n.order_id else "the order id"
        output.line("not covered:", f"{order}, source, description")
        if stored:
            output.line("when it came:", stored)
    return _CODES[verdict.status]


def _notification(content: bytes) -> Notification:
    try:
        text = content.decode(json.detect_encoding(content))
        event = json.loads(text)
        is_event = isinstance(event, dict) and "body" in event
        # As text, so that an amount keeps its digits.
        return parse_notification(event if is_event else {"body": text})
    except (InvalidNotification, ValueError, RecursionError) as error:
        raise click.ClickException(f"no notification: {printable(str(error))}") from error
