"""Metrics, as log lines that CloudWatch reads: no API call. The alarms of template.yaml name them."""

NAMESPACE = "payment3/follow-up"


def emit(branch: str, name: str, value: int, unit: str) -> None:
    """Print one value of a metric of this branch."""
    # Imported where a value is due: a notification that goes well pays nothing for it.
    from aws_lambda_powertools.metrics import MetricUnit, single_metric  # noqa: PLC0415

    with single_metric(name=name, unit=MetricUnit(unit), value=value, namespace=NAMESPACE) as metric:
        metric.add_dimension(name="Branch", value=branch)
