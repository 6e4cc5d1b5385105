"""What each AWS call is for, in the failure table's words, and what it depends on, in the outage table's."""

from tests.support.recorded_calls import Call

_PURPOSES = {
    "secretsmanager.GetSecretValue": "read the merchant key",
    "dynamodb.PutItem": "save the notification",
    "dynamodb.Query": "read a shard",
    "scheduler.CreateSchedule": "create the timer",
    "ses.SendEmail": "send the mail",
    "sqs.SendMessage": "keep the refused event",
}
_DEPENDENCIES = {
    "scheduler": "Scheduler",
    "secretsmanager": "Secrets Manager",
    "ses": "SES",
    "sqs": "SQS",
    "payment-record": "CardPaymentRecordTable",
    "error-log": "CallbackErrorLogTable",
    "credit-card-notify": "CreditCardNotifyTable",
    "order": "order table",
}
# By what an update sets; the first that is found names it.
_UPDATES = {
    "payment-record": {"#checksumStatus": "mark the payment record"},
    "error-log": {"#mailedAt": "remember the mail", "#occurrences": "log the error", "#sent": "count the mail"},
    "credit-card-notify": {
        "#passes": "record the pass",
        "#attempts :one": "claim the pass",
        "#failedAt = ": "end in FAILED",
        "#lastError": "record the failed pass",
        "#sweepAt": "move back in line",
    },
}


def purpose(call: Call) -> str:
    """Name a call by its purpose; one without a name fails the suite."""
    if call.name == "lambda.Invoke":
        return "hand over to Recheck" if call.request.get("InvocationType") == "Event" else "run the pass"
    if call.name == "dynamodb.GetItem":
        return "read the order" if dependency(call) == "order table" else "read the payment record"
    if call.name == "dynamodb.UpdateItem":
        table = next(part for part in _UPDATES if part in call.request["TableName"])
        update = call.request["UpdateExpression"]
        found = [words for attribute, words in _UPDATES[table].items() if attribute in update]
        assert found, f"{update} of {table} is in no row of the failure table"
        return found[0]
    assert call.name in _PURPOSES, f"{call.name} is in no row of the failure table"
    return _PURPOSES[call.name]


def dependency(call: Call) -> str:
    if call.name == "lambda.Invoke":
        return "Recheck" if call.request.get("InvocationType") == "Event" else "ProcessPaidOrder"
    asked = call.request["TableName"] if call.service == "dynamodb" else call.service
    return next(name for part, name in _DEPENDENCIES.items() if part in asked)
