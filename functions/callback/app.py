"""The one place that reads the environment and makes AWS clients; everything else is given what it needs."""

import os
from collections.abc import Callable
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

# A call that hangs takes 7 s. At most three come before a pass and one records it: they fit into the margin of the
# function's timeout, so a failed pass is always recorded.
_TWICE: Any = {"mode": "standard", "total_max_attempts": 2}
_QUICK = Config(connect_timeout=1, read_timeout=2, retries=_TWICE, max_pool_connections=SWEEP_SHARDS)
# ProcessPaidOrder's client waits for a whole pass, and never retries.
_PATIENT = Config(connect_timeout=1, retries={"total_max_attempts": 1}, tcp_keepalive=True)


class Application:
    """Composes the functions; each part is made when it is first needed."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, shard_map: Callable[..., Any] | None = None) -> None:
        self.settings, self.clock, self.shard_map = settings, clock, shard_map
        self._session, self._clients, self._lock = boto3.Session(), dict[str, Any](), Lock()

    @cached_property
    def passes(self) -> Passes:
        """What Recheck does."""
        return Passes(**self._for_passes())

    @cached_property
    def processor(self) -> "CreditCardCallbackProcessor":
        """What DelayedNotify does."""
        from callback.checksum import Secret  # noqa: PLC0415 - Recheck and the sweep start without these
        from callback.processor import CreditCardCallbackProcessor  # noqa: PLC0415

        secret = Secret(self.client("secretsmanager"), self.settings.kbank_secret_id, self.clock)
        payments = self._table(self.settings.card_payment_record_table)
        return CreditCardCallbackProcessor(secret=secret, payments=payments, **self._for_passes())

    @cached_property
    def records(self) -> Records:
        """CreditCardNotifyTable."""
        return Records(self._table(self.settings.credit_card_notify_table), self.settings, self.clock)

    @cached_property
    def reporter(self) -> Reporter:
        """The error log and the mails."""
        table = self._table(self.settings.callback_error_log_table)
        return Reporter(self.settings, self.clock, table, lambda: self.client("ses"))

    def _for_passes(self) -> dict[str, Any]:
        patient = _PATIENT.merge(Config(read_timeout=self.settings.pass_timeout_seconds))
        client, function = self._session.client("lambda", config=patient), self.settings.process_paid_order_function
        timer, orders = Timer(lambda: self.client("scheduler"), self.settings, self.clock), self.settings.order_table
        parts = {"paid_orders": PaidOrders(client, function), "timer": timer, "orders": self._table(orders)}
        return parts | {n: getattr(self, n) for n in ("settings", "clock", "records", "reporter")}

    def _table(self, name: str) -> Table:
        return Table(self.client("dynamodb"), name)

    def client(self, service: str) -> Any:  # noqa: ANN401 - each service's client has a type of its own
        """Return the one client for short calls to a service."""
        with self._lock:  # a session is not safe to share between the sweep's threads
            if service not in self._clients:
                make: Any = self._session.client
                self._clients[service] = make(service, config=_QUICK)
            return self._clients[service]


@cache
def application() -> Application:
    """Compose the application from the environment, once per cold start."""
    return Application(read_settings(os.environ))
