"""A stack in which much has happened, made soon: what is looked at is under test, not how it came about."""

import pytest

from local.scene import Scene
from tests.direct import asked_directly
from tests.world import World


def make_busy(world: World) -> None:
    """Three done, two failed, one late, seven waiting and one under way."""
    world.cold_start(MAX_ATTEMPTS="2")
    with asked_directly(world.wire), world.wire:
        Scene(world.app.settings, world.now).play(done=3)
    world.wire.calls.clear()


def use_few_shards(patch: pytest.MonkeyPatch) -> None:
    """Spread the indexes over two: a look asks for each shard of each part, and moto takes its time for each."""
    for module in ("callback.record", "followups.notifications"):
        patch.setattr(f"{module}.SWEEP_SHARDS", 2)
