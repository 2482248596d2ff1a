"""Calling user code: plain functions, async ones, and generators of both kinds."""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any


def called(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """What a function returns: a plain one, an async one, or an async generator with all that it yields."""
    if inspect.isasyncgenfunction(function):
        return iter(_awaited(_collected(function, arguments)))
    value = function(**arguments)
    return _awaited(_finished(value)) if inspect.isawaitable(value) else value


async def _finished(value: Any) -> Any:
    return await value


async def _collected(function: Callable[..., Any], arguments: Mapping[str, Any]) -> list[Any]:
    return [value async for value in function(**arguments)]


def _awaited(work: Any) -> Any:
    """The result of a coroutine, on a loop of its own; in a thread where this one has a loop that runs."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, work).result()
