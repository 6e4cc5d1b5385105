"""The one place that reads the environment and makes AWS clients; everything else is handed what it works with."""

import os
from functools import cache, cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from callback.clock import Clock, utc_now
from callback.paid_order import PaidOrders
from callback.passes import Passes
from callback.record import Records
from callback.report import Reporter
from callback.settings import Settings, read_settings
from callback.table import Table
from callback.timer import RecheckFunction, Timer
from callback.waits import SWEEP_SHARDS

if TYPE_CHECKING:
    from callback.processor import CreditCardCallbackProcessor
    from callback.retries import Retries
    from callback.sweep import ShardMap, Sweep

# A call that is stuck costs 7 s. At most three come before a pass and one records it: they fit into the margin of the
# function's timeout, so that a pass that fails is always recorded.
_QUICK = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=SWEEP_SHARDS,
)


class Application:
    """Composes the functions; each part is made when it is first needed."""

    def __init__(self, settings: Settings, clock: Clock = utc_now, shard_map: "ShardMap | None" = None) -> None:
        self.settings = settings
        self._clock = clock
        self._shard_map = shard_map
        self._session = boto3.Session()
        self._clients: dict[str, Any] = {}
        self._lock = Lock()

    @cached_property
    def passes(self) -> Passes:
        """What Recheck does."""
        return Passes(**self._for_passes())

    @cached_property
    def processor(self) -> "CreditCardCallbackProcessor":
        """What DelayedNotify does."""
        from callback.payment import Payments  # noqa: PLC0415 - Recheck and the sweep start without these
        from callback.processor import CreditCardCallbackProcessor  # noqa: PLC0415
        from callback.secret import Secret  # noqa: PLC0415

        secret = Secret(self._client("secretsmanager"), self.settings.kbank_secret_id, self._clock)
        payments = Payments(self._table(self.settings.card_payment_record_table), self._clock)
        return CreditCardCallbackProcessor(secret, payments, **self._for_passes())

    @cached_property
    def sweep(self) -> "Sweep":
        """What the sweep does."""
        from callback.sweep import Sweep, all_at_once  # noqa: PLC0415 - the others start without threads

        recheck = RecheckFunction(self._client("lambda"), self.settings.recheck_function_arn)
        return Sweep(self.records, recheck, self.reporter, self._clock, self._shard_map or all_at_once)

    @cached_property
    def records(self) -> Records:
        """CreditCardNotifyTable."""
        return Records(self._table(self.settings.credit_card_notify_table), self.settings, self._clock)

    @cached_property
    def reporter(self) -> Reporter:
        """The error log and the mails."""
        table = self._table(self.settings.callback_error_log_table)
        return Reporter(self.settings, self._clock, table, lambda: self._client("ses"))

    @cached_property
    def retries(self) -> "Retries":
        """What Retry does beside a delivery."""
        from callback.retries import Retries  # noqa: PLC0415 - the others start without it

        return Retries(self._client("sqs"), self.settings, self._clock, self.reporter)

    def _for_passes(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "clock": self._clock,
            "records": self.records,
            "paid_orders": PaidOrders(self._patient_client(), self.settings.process_paid_order_function),
            "timer": Timer(lambda: self._client("scheduler"), self.settings, self._clock),
            "orders": self._table(self.settings.order_table),
            "reporter": self.reporter,
        }

    def _table(self, name: str) -> Table:
        return Table(self._client("dynamodb"), name)

    def _client(self, service: str) -> Any:  # noqa: ANN401 - each service's client has a type of its own
        with self._lock:  # a session is not safe to share between the sweep's threads
            if service not in self._clients:
                make: Any = self._session.client
                self._clients[service] = make(service, config=_QUICK)
            return self._clients[service]

    def _patient_client(self) -> Any:  # noqa: ANN401 - as above
        """ProcessPaidOrder's client waits for a whole pass, and never tries twice."""
        timeout = self.settings.pass_timeout_seconds
        retries: Any = {"total_max_attempts": 1}
        return self._session.client(
            "lambda", config=Config(connect_timeout=1, read_timeout=timeout, retries=retries, tcp_keepalive=True)
        )


@cache
def application() -> Application:
    """Compose the application from the environment, once per cold start."""
    return Application(read_settings(os.environ))
