"""Tables that are there already: is their key ours, have they our indexes, does what they hold expire?"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from followups.preflight.finding import Finding, Level, each
from followups.preflight.keys import customer_key
from followups.preflight.plan import Plan, Table
from followups.preflight.target import Target, ask

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_INDEXES = "docs/adopting.md, Add the indexes"
Described = Mapping[str, Any]


def existing_tables(target: Target, plan: Plan) -> Iterator[Finding]:
    """Look at each table that a parameter names."""
    yield from each(*(_existing(target, plan, table) for table in plan.tables if table.exists))


def _existing(target: Target, plan: Plan, table: Table) -> Iterator[Finding]:
    client: DynamoDBClient = target.client("dynamodb")
    subject = f"{table.logical} {table.name}"
    answer = ask(subject, "dynamodb:DescribeTable", client.describe_table, TableName=table.name)
    if answer is None:
        yield Finding("stop", subject, "there is no such table", f"correct Existing{table.logical}, or leave it empty")
        return
    described: Described = answer["Table"]
    yield _status(subject, described)
    yield _key(subject, table.properties, described)
    for index in table.properties.get("GlobalSecondaryIndexes", []):
        yield _index(subject, index, table.properties, described)
    asked = table.properties.get("TimeToLiveSpecification")
    yield from each(
        _expiry(subject, client, table.name, asked["AttributeName"]) if asked else (),
        _recovery(subject, client, table.name),
        customer_key(
            target, plan, subject, described.get("SSEDescription", {}).get("KMSMasterKeyArn"), "the functions' roles"
        ),
    )


def _status(subject: str, described: Described) -> Finding:
    status = described["TableStatus"]
    if status == "ACTIVE":
        return Finding("ok", subject, "ACTIVE")
    level: Level = "warn" if status == "UPDATING" else "stop"
    return Finding(level, subject, f"{status}, not ACTIVE", "wait until it is ACTIVE")


def _key(subject: str, ours: Mapping[str, Any], described: Described) -> Finding:
    expected, found = key_text(ours, ours), key_text(described, described)
    if found == expected:
        return Finding("ok", subject, f"its key is {found}")
    todo = "a table's key cannot be changed: name another table, or none, and one is made"
    return Finding("stop", subject, f"its key is {found}; expected {expected}", todo)


def _index(subject: str, ours: Mapping[str, Any], table: Mapping[str, Any], described: Described) -> Finding:
    name, expected = ours["IndexName"], key_text(ours, table)
    there = {index["IndexName"]: index for index in described.get("GlobalSecondaryIndexes", [])}
    if name not in there:
        return Finding("stop", subject, f"it has no index {name}; expected one on {expected}", _INDEXES)
    found = key_text(there[name], described)
    if found != expected:
        text = f"its index {name} is on {found}; expected {expected}"
        return Finding("stop", subject, text, f"delete that index, then: {_INDEXES}")
    status = there[name].get("IndexStatus", "ACTIVE")
    if status != "ACTIVE":
        return Finding("warn", subject, f"its index {name} is {status}", "wait until it is ACTIVE")
    return Finding("ok", subject, f"its index {name} is on {found}")


def key_text(keyed: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """Return a key as people write it, `chargeId (S) + notificationId (S)`, by the table's attribute types."""
    types = {one["AttributeName"]: one["AttributeType"] for one in table["AttributeDefinitions"]}
    # HASH comes before RANGE, in whatever order they are listed.
    names = [one["AttributeName"] for one in sorted(keyed["KeySchema"], key=lambda one: str(one["KeyType"]))]
    return " + ".join(f"{name} ({types[name]})" for name in names)


def _expiry(subject: str, client: "DynamoDBClient", name: str, expected: str) -> Iterator[Finding]:
    call = client.describe_time_to_live
    answer: Described = ask(subject, "dynamodb:DescribeTimeToLive", call, TableName=name) or {}
    about = answer.get("TimeToLiveDescription", {})
    if about.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        todo = f"enable it on {expected}, or what we write stays for ever"
        yield Finding("warn", subject, "it has no time to live", todo)
    elif about.get("AttributeName") != expected:
        text = f"its time to live is on {about.get('AttributeName')}; ours is {expected}"
        yield Finding("warn", subject, text, "what we write stays for ever: a table has one such attribute")
    else:
        yield Finding("ok", subject, f"what has expired by {expected} is deleted")


def _recovery(subject: str, client: "DynamoDBClient", name: str) -> Iterator[Finding]:
    call = client.describe_continuous_backups
    answer: Described = ask(subject, "dynamodb:DescribeContinuousBackups", call, TableName=name) or {}
    about = answer.get("ContinuousBackupsDescription", {})
    status = about.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    if status == "ENABLED":
        yield Finding("ok", subject, "it can be restored to a point in time")
    else:
        yield Finding("warn", subject, "it cannot be restored to a point in time", "enable point-in-time recovery")
