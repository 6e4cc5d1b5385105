"""The fixtures: one world a test."""

import io
import os
from collections.abc import Iterator
from typing import Any

import boto3
import hypothesis
import pytest
from botocore.client import BaseClient
from moto import mock_aws

import delayednotify
import recheck
from callback.log import logger
from local.emulator import REGION
from tests.wire import Answer, Wire
from tests.world import SESSION, World

# No test may find an account of the machine's.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_DEFAULT_REGION"] = REGION

hypothesis.settings.register_profile("ours", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("ours")


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """Every AWS call from here on."""
    wire, real = Wire(), BaseClient._make_api_call  # type: ignore[attr-defined]

    def send(client: BaseClient, operation: str, request: dict[str, Any]) -> Answer:
        return wire.send(real, client, operation, request)

    monkeypatch.setattr(BaseClient, "_make_api_call", send)
    return wire


@pytest.fixture
def world(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A fresh world, with the handlers in it."""
    monkeypatch.setattr(boto3, "Session", lambda: SESSION)
    printed = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", printed)
    with mock_aws():
        world = World(wire, printed)
        for module in (delayednotify, recheck):
            monkeypatch.setattr(module, "application", lambda: world.app)
        yield world
