"""Every world of a test is closed with it: its sandbox children go."""

from collections.abc import AsyncIterator

import pytest
from tests.unit.query.worlds import WORLDS


@pytest.fixture(autouse=True)
async def _worlds_are_closed() -> AsyncIterator[None]:
    yield
    while WORLDS:
        await WORLDS.pop().service.close()
