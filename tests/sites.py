"""What each AWS call of ours is for, in the words of the failure table; a call without words fails the suite."""

from tests.wire import Call

_SITES = {
    "secretsmanager.GetSecretValue": "read the merchant key",
    "dynamodb.PutItem": "save the notification",
    "dynamodb.Query": "read a shard",
    "scheduler.CreateSchedule": "arm the schedule",
    "ses.SendEmail": "send the mail",
}


def site(call: Call) -> str:
    """Name a call by its purpose."""
    if call.name == "lambda.Invoke":
        return "hand over to Recheck" if call.request.get("InvocationType") == "Event" else "run the pass"
    if call.name == "dynamodb.GetItem":
        return "look for held mails" if "error-log" in call.request["TableName"] else "read the order"
    if call.name == "dynamodb.UpdateItem":
        return _update(call.request["TableName"], call.request["UpdateExpression"])
    assert call.name in _SITES, f"{call.name} is in no row of the failure table"
    return _SITES[call.name]


def _update(table: str, update: str) -> str:
    by_attribute = {"payment-record": {"checksumStatus": "mark the payment record"}}
    by_attribute["error-log"] = {
        "mailedAt": "remember the mail",
        "occurrences": "log the error",
        "told": "forget the held mails",
        "sent": "count the mail",
        "held": "count the mail",
    }
    by_attribute["credit-card-notify"] = {
        "passes": "record the pass",
        "attempts :one": "claim the pass",
        "sweepShard": "give the notification up",
        "lastError": "give the claim back",
    }
    known = next(words for part, words in by_attribute.items() if part in table)
    found = [words for attribute, words in known.items() if f"#{attribute}" in update]
    assert found, f"{update} of {table} is in no row of the failure table"
    return found[0]
