"""The one logger: JSON lines that carry orderId, chargeId and notificationId wherever they are known."""

from aws_lambda_powertools import Logger

logger = Logger(service="payment3-follow-up")
