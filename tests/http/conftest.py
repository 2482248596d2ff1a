"""A fresh world for each test; every answer of its api is held against the OpenAPI document."""

from collections.abc import AsyncIterator

import httpx
import pytest

from .world import World, a_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """The api and its compactor over memory."""
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the world's api in the local workspace."""
    async with world.client() as client:
        yield client
