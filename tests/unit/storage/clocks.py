"""Clocks for storage tests."""

import asyncio


class FrozenClock:
    """Time that stands still until it is moved; sleeping moves it."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self.time_ms = now_ms
        self.slept_ms: list[int] = []

    def now_ms(self) -> int:
        return self.time_ms

    def steady_ms(self) -> int:
        return self.time_ms

    async def sleep_ms(self, duration_ms: int) -> None:
        self.slept_ms.append(duration_ms)
        self.time_ms += duration_ms
        await asyncio.sleep(0)
