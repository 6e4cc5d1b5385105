"""The one place that reads the environment and makes AWS clients; everything else is handed what it needs."""

import os
from functools import cache, cached_property
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from callback.clock import Clock, utc_now
from callback.mail_limit import MailLimit
from callback.paid_order import PaidOrders
from callback.payment import Payments
from callback.rechecks import Rechecks
from callback.record import Records
from callback.schedule import Schedules
from callback.secret import Secret
from callback.settings import Settings, read_settings
from callback.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_ses import SESClient

_QUICK = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})


class Application:
    """Settings, clock and one object per AWS resource, each made when it is first needed."""

    def __init__(self, settings: Settings, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self._session = boto3.Session()

    @cached_property
    def records(self) -> Records:
        """CreditCardNotifyTable."""
        return Records(self._table(self.settings.credit_card_notify_table), self.settings, self.clock)

    @cached_property
    def payments(self) -> Payments:
        """CardPaymentRecordTable."""
        return Payments(self._table(self.settings.card_payment_record_table), self.clock)

    @cached_property
    def orders(self) -> Table:
        """The order table, read only."""
        return self._table(self.settings.order_table)

    @cached_property
    def error_log(self) -> Table:
        """CallbackErrorLogTable."""
        return self._table(self.settings.callback_error_log_table)

    @cached_property
    def mail_limit(self) -> MailLimit:
        """What is left of this hour's error mails."""
        return MailLimit(self.error_log, self.clock)

    @cached_property
    def ses(self) -> "SESClient":
        """The mail service."""
        return self._session.client("ses", config=_QUICK)

    @cached_property
    def secret(self) -> Secret:
        """The merchant's keys."""
        client = self._session.client("secretsmanager", config=_QUICK)
        return Secret(client, self.settings.kbank_secret_id, self.clock)

    @cached_property
    def schedules(self) -> Schedules:
        """The timers."""
        return Schedules(self._session.client("scheduler", config=_QUICK), self.settings, self.clock)

    @cached_property
    def rechecks(self) -> Rechecks:
        """Recheck, as the sweep invokes it."""
        return Rechecks(self._session.client("lambda", config=_QUICK), self.settings.recheck_function_arn)

    @cached_property
    def paid_orders(self) -> PaidOrders:
        """ProcessPaidOrder, through a client of its own that waits for a whole pass and never tries twice."""
        patient = Config(
            connect_timeout=2,
            read_timeout=self.settings.pass_timeout_seconds,
            retries={"total_max_attempts": 1},
            tcp_keepalive=True,
        )
        client = self._session.client("lambda", config=patient)
        return PaidOrders(client, self.settings.process_paid_order_function)

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        return self._session.client("dynamodb", config=_QUICK)

    def _table(self, name: str) -> Table:
        return Table(self._dynamodb, name)


@cache
def application() -> Application:
    """Compose the application from the environment, once per cold start."""
    return Application(read_settings(os.environ))
