"""The one logger: JSON lines that carry orderId, chargeId, notificationId and pass wherever they are known."""

from aws_lambda_powertools import Logger

logger = Logger(service="payment3-follow-up")


def about_pass(number: int, **more: int) -> None:
    """Put the pass, and what else is known of it, into every log line from here on."""
    logger.append_keys(**{"pass": number}, **more)
