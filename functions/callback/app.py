"""The one place that reads the environment and makes AWS clients; everything else is handed what it works with."""

import os
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from callback.clock import Clock, utc_now
from callback.passes import PaidOrders, Passes
from callback.record import SWEEP_SHARDS, Records
from callback.report import Reporter
from callback.settings import Settings, read_settings
from callback.table import Table
from callback.timer import Timer

if TYPE_CHECKING:
    from callback.processor import CreditCardCallbackProcessor
    from callback.retries import Retries
    from callback.sweep import ShardMap, Sweep

# A call that is stuck costs 7 s. At most three come before a pass and one records it: they fit into the margin of the
# function's timeout, so that a pass that fails is always recorded.
_TWICE: Any = {"mode": "standard", "total_max_attempts": 2}
_QUICK = Config(connect_timeout=1, read_timeout=2, retries=_TWICE, max_pool_connections=SWEEP_SHARDS)
# ProcessPaidOrder's client waits for a whole pass, and never tries twice.
_ONCE: Any = {"total_max_attempts": 1}
_PATIENT = Config(connect_timeout=1, retries=_ONCE, tcp_keepalive=True)


class Application:
    """Composes the functions; each part is made when it is first needed."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, shard_map: "ShardMap | None" = None) -> None:
        self.settings, self._clock, self._shard_map = settings, clock, shard_map
        self._session, self._clients, self._lock = boto3.Session(), dict[str, Any](), Lock()

    @cached_property
    def passes(self) -> Passes:
        """What Recheck does."""
        return Passes(**self._for_passes())

    @cached_property
    def processor(self) -> "CreditCardCallbackProcessor":
        """What DelayedNotify does."""
        from callback.checksum import Secret  # noqa: PLC0415 - Recheck and the sweep start without these
        from callback.processor import CreditCardCallbackProcessor, Payments  # noqa: PLC0415

        secret = Secret(self._client("secretsmanager"), self.settings.kbank_secret_id, self._clock)
        payments = Payments(self._table(self.settings.card_payment_record_table), self._clock)
        return CreditCardCallbackProcessor(secret=secret, payments=payments, **self._for_passes())

    @cached_property
    def retries(self) -> "Retries":
        """What Retry does beside a delivery."""
        from callback.retries import Retries  # noqa: PLC0415 - the others start without it

        return Retries(self._client("sqs"), self.settings, self._clock, self.reporter)

    @cached_property
    def sweep(self) -> "Sweep":
        """What the sweep does."""
        from callback.sweep import Sweep, all_at_once  # noqa: PLC0415 - the others start without threads

        client, recheck = self._client("lambda"), self.settings.recheck_function_arn
        return Sweep(self.records, client, recheck, self.reporter, self._clock, self._shard_map or all_at_once)

    @cached_property
    def records(self) -> Records:
        """CreditCardNotifyTable."""
        return Records(self._table(self.settings.credit_card_notify_table), self.settings, self._clock)

    @cached_property
    def reporter(self) -> Reporter:
        """The error log and the mails."""
        table = self._table(self.settings.callback_error_log_table)
        return Reporter(self.settings, self._clock, table, lambda: self._client("ses"))

    def _for_passes(self) -> dict[str, Any]:
        settings, clock = self.settings, self._clock
        patient = _PATIENT.merge(Config(read_timeout=settings.pass_timeout_seconds))
        paid_orders = PaidOrders(self._session.client("lambda", config=patient), settings.process_paid_order_function)
        about = {"settings": settings, "clock": clock, "records": self.records, "reporter": self.reporter}
        timer = Timer(lambda: self._client("scheduler"), settings, clock)
        return about | {"paid_orders": paid_orders, "timer": timer, "orders": self._table(settings.order_table)}

    def _table(self, name: str) -> Table:
        return Table(self._client("dynamodb"), name)

    def _client(self, service: str) -> Any:  # noqa: ANN401 - each service's client has a type of its own
        with self._lock:  # a session is not safe to share between the sweep's threads
            if service not in self._clients:
                make: Any = self._session.client
                self._clients[service] = make(service, config=_QUICK)
            return self._clients[service]


@cache
def application() -> Application:
    """Compose the application from the environment, once per cold start."""
    return Application(read_settings(os.environ))
