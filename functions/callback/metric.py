"""Metrics, as part of log lines that are written anyway: CloudWatch reads them there, and no API is called.

The form is CloudWatch's embedded metric format. Powertools' Metrics writes it on lines of its own, without the ids.
Alarms and dashboard of template.yaml name these metrics.
"""

import time

NAMESPACE = "payment3/follow-up"


def counted(branch: str, name: str, value: int, unit: str, **dimensions: str) -> dict[str, object]:
    """Return what makes a log line (as its `extra`) carry a value of a metric of this branch.

    Units are CloudWatch's: Count, Seconds. Each value of a dimension is a metric of its own, and is paid for.
    """
    about = {
        "Namespace": NAMESPACE,
        "Dimensions": [["Branch", *dimensions]],
        "Metrics": [{"Name": name, "Unit": unit}],
    }
    # CloudWatch's own time, of when the line was written.
    told = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [about]}
    return {"_aws": told, "Branch": branch, name: value, **dimensions}
