"""Calls between simulated processes: dropped, muted, doubled, delayed beyond the caller's patience, reset."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from arco.sim.faults import FaultStream
from arco.sim.loop import SimLoop
from arco.sim.process import SimProcess
from arco.sim.trace import Trace

T = TypeVar("T")

_DELAY_MAX_S: Final = 90.0


class Network:
    """Carries calls to processes; what a call runs, it runs as a task of the one called."""

    def __init__(self, loop: SimLoop, trace: Trace) -> None:
        self._loop = loop
        self._trace = trace

    async def call(
        self,
        faults: FaultStream,
        target: SimProcess,
        work: Callable[[], Coroutine[Any, Any, T]],
        *,
        patience_s: float,
        repeatable: bool = True,
    ) -> T:
        """The result of `work` in `target`. Raises `ConnectionError`, `TimeoutError`, or what the work raises.

        What is not `repeatable` is never executed twice: nothing between a client and its server repeats a request that
        says nothing about being the same.
        """
        loop = self._loop
        kind, shade = faults.draw("rpc", "call", "rpc")
        if kind == "twice" and not repeatable:
            kind = None
        answer = loop.create_future()
        timer = loop.network(patience_s, _give_up, answer)
        if kind is not None:
            self._trace.add((loop.seconds, faults.actor, "call", target.name, kind))
        go = 0.001 if shade < 0.8 else shade * 0.1
        if kind != "drop":
            loop.network(go, self._deliver, target, work, answer, (kind, shade))
        if kind == "twice":
            loop.network(go + shade * shade * _DELAY_MAX_S, self._deliver, target, work, None, (kind, 0.0))
        if kind == "reset":
            loop.network(go + shade, _break, answer)
        try:
            result: T = await answer
            return result
        finally:
            timer.cancel()

    def _deliver(
        self,
        target: SimProcess,
        work: Callable[[], Coroutine[Any, Any, Any]],
        answer: "asyncio.Future[Any] | None",
        fault: tuple[str | None, float],
    ) -> None:
        if not target.alive:
            _break(answer)
            return
        if answer is not None:
            target.connections.append(answer)
        kind, shade = fault
        back = shade * _DELAY_MAX_S if kind == "delay" else 0.0

        async def served() -> None:
            try:
                value: Any = await work()
            except Exception as error:  # noqa: BLE001  # it is the caller's to hear
                value = error
            if kind != "mute":
                self._loop.network(back, _answer, answer, value)

        target.begin(served())


def _answer(answer: "asyncio.Future[Any] | None", value: Any) -> None:
    if answer is None or answer.done():
        return
    if isinstance(value, Exception):
        answer.set_exception(value)
    else:
        answer.set_result(value)


def _break(answer: "asyncio.Future[Any] | None") -> None:
    _answer(answer, ConnectionResetError("connection reset"))


def _give_up(answer: "asyncio.Future[Any]") -> None:
    _answer(answer, TimeoutError("no answer in time"))
