"""One process's way to the bucket, which goes wrong in every way a network does (reliability.md 5.2).

A request travels, takes effect on its own, and its answer travels back: a process that dies or sleeps meanwhile changes
nothing about what its request does. Keys here are full ones: scopes and roles are the production wrappers above.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from arco.core.paths import Key
from arco.sim.bucket import Held, SimBucket
from arco.sim.faults import FaultStream
from arco.sim.plan import Config
from arco.sim.process import EPOCH_MS, SimProcess
from arco.sim.trace import Trace, step_of
from arco.storage.port import (
    Absent,
    DeleteOutcome,
    Lost,
    Matches,
    ObjectInfo,
    PutOutcome,
    StorageUnavailable,
    Stored,
    StoredObject,
    Unsure,
    WriteRefused,
)

LATE_S: Final = 120.0
"""How long after it was given up a write may still take effect."""

_SLOW_S: Final = 20.0
_PATIENCE_S: Final = 10.0
_SLEEP_GRACES: Final = 2.5
_YOUNG_S: Final = 30.0


class SimStore:
    """Implements `ObjectStore` over full keys for one process."""

    def __init__(
        self, process: SimProcess, bucket: SimBucket, faults: FaultStream, *, config: Config, trace: Trace
    ) -> None:
        loop = process.loop
        latency = config.latency
        self._process = process
        self._sleep_s = config.grace_s * _SLEEP_GRACES
        self._loop = loop
        self._bucket = bucket
        self._faults = faults
        self._latency = latency
        self._trace = trace
        self.actor = faults.actor

    # --- reading ------------------------------------------------------------------------------------------------------

    async def get(self, key: Key) -> StoredObject | None:
        """The object, or None."""
        held: Held | None = await self._read("get", key, self._bucket.objects.get)
        return None if held is None else StoredObject(held.body, held.version)

    async def get_range(self, key: Key, start: int, end: int) -> StoredObject | None:
        """Bytes `[start, end)`, clipped."""
        found = await self.get(key)
        return None if found is None else StoredObject(found.body[start:end], found.version)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object, or None."""
        held: Held | None = await self._read("head", key, self._bucket.objects.get)
        return None if held is None else _info(key, held)

    async def list_page(self, prefix: str, *, after: str = "", limit: int = 1000) -> Sequence[ObjectInfo]:
        """A page of keys: not fresh, not unique, not always in order when faults strike."""
        kind, shade = self._faults.draw("list", "list", step_of(prefix))
        horizon = self._loop.seconds - _YOUNG_S * shade if kind == "stale" else self._loop.seconds + 1

        def page(_key: str) -> list[ObjectInfo]:
            found = sorted(key for key in self._bucket.objects if key.startswith(prefix) and key > after)
            held = [(key, self._bucket.objects[key]) for key in found[:limit]]
            infos = [_info(key, one) for key, one in held if one.created_s <= horizon]
            if kind == "double":
                infos = [info for info in infos for _ in range(2)][:limit]
            if kind == "shuffled" and len(infos) > 1:
                middle = 1 + int(shade * (len(infos) - 1))
                infos = infos[middle:] + infos[:middle]
            return infos

        infos: list[ObjectInfo] = await self._fetched("list", prefix, page, kind=kind, shade=shade)
        return infos

    async def settle(self, key: Key) -> None:
        """Nothing to do on a cloud store."""

    async def _read(self, name: str, key: str, look: Callable[[str], Any]) -> Any:
        kind, shade = self._faults.draw("read", name, step_of(key))
        return await self._fetched(name, key, look, kind=kind, shade=shade)

    async def _fetched(self, name: str, key: str, look: Callable[[str], Any], *, kind: str | None, shade: float) -> Any:
        loop = self._loop
        if kind is not None and kind.startswith(("crash", "sleep")):
            await self._interrupted(kind)
        if kind is None and loop.seconds < self._faults.silent_until:
            kind = "error"
        answer = loop.create_future()
        go, back = self._delays(shade)
        if kind == "slow":
            go += _SLOW_S * shade

        def arrive() -> None:
            found = look(key)
            self._trace.add((loop.seconds, self.actor, name, key, _seen(found) if kind != "error" else "no answer"))
            if kind == "error":
                _answer(answer, StorageUnavailable("reset"))
            elif back:
                loop.network(back, _answer, answer, found)
            else:
                _answer(answer, found)

        loop.network(go, arrive)
        return await answer

    # --- writing ------------------------------------------------------------------------------------------------------

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds."""
        name = "replace" if isinstance(when, Matches) else "create"
        outcome: PutOutcome = await self._written(name, key, lambda: self._bucket.put(self.actor, key, body, when))
        return outcome

    async def delete(self, key: Key, *, when: Matches) -> DeleteOutcome:
        """Remove the object if it still has this version."""
        outcome: DeleteOutcome = await self._written("delete", key, lambda: self._bucket.delete(self.actor, key, when))
        return outcome

    async def _written(self, name: str, key: str, apply: Callable[[], Any]) -> Any:
        loop = self._loop
        kind, shade = self._faults.draw("write", name, step_of(key))
        if kind is not None and kind.startswith(("crash", "sleep")):
            if kind == "crash_after":
                apply()
            await self._interrupted(kind)
            kind = None
        if kind is None and loop.seconds < self._faults.silent_until:
            kind = ("fail", "late", "lost")[int(shade * 3)]
        if kind == "refused":
            await asyncio.sleep(self._delays(shade)[0])
            self._trace.add((loop.seconds, self.actor, name, key, "refused"))
            raise WriteRefused("no space left")
        answer = loop.create_future()
        go, back = self._delays(shade)
        if kind == "slow":
            go += _SLOW_S * shade
            back += _SLOW_S * (1 - shade)

        def arrive(how: str | None) -> None:
            outcome = apply()
            self._trace.add((loop.seconds, self.actor, name, key, f"{type(outcome).__name__} {how or ''}"))
            if how is None or how == "slow":
                if back:
                    loop.network(back, _answer, answer, outcome)
                else:
                    _answer(answer, outcome)
            elif how == "conflict":
                # The library sent it again and now sees what it wrote itself.
                told = Lost(outcome.version) if isinstance(outcome, Stored) else outcome
                loop.network(back, _answer, answer, told)

        if kind in ("fail", "race", "late", "lost"):
            # The answer never comes; the caller gives up after a while, before or after the write takes effect.
            loop.network(_PATIENCE_S * shade * shade, _answer, answer, Unsure(kind))
            if kind == "lost":
                loop.network(go, arrive, kind)
            elif kind == "late":
                loop.network(LATE_S * shade * shade * shade, arrive, kind)
            else:
                self._trace.add((loop.seconds, self.actor, name, key, kind))
            return await answer
        if kind == "twice":
            loop.network(go + LATE_S * shade * shade, arrive, kind)
        loop.network(go, arrive, None if kind == "twice" else kind)
        return await answer

    async def _interrupted(self, kind: str) -> None:
        """The process dies, or sleeps, between two operations."""
        self._trace.add((self._loop.seconds, self.actor, kind, "", ""))
        if kind.startswith("crash"):
            self._process.crash()
        else:
            self._process.pause(float(kind.partition("@")[2] or self._sleep_s))
        await asyncio.sleep(0)

    def _delays(self, shade: float) -> tuple[float, float]:
        latency = self._latency
        scaled = shade * len(latency)
        first = int(scaled)
        return latency[first], latency[int((scaled - first) * len(latency))]


class InstantStore:
    """A bucket's scope as it is and was, at once and without faults: for judges, deleted things included."""

    def __init__(self, bucket: SimBucket, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    async def get(self, key: Key) -> StoredObject | None:
        """The object, also when it was deleted. That anything is collected is not seen here."""
        if "retention/" in key:
            return None
        held = self._bucket.ever(self._prefix + key)
        return None if held is None else StoredObject(held.body, held.version)

    async def head(self, key: Key) -> ObjectInfo | None:
        """What is known of the object."""
        held = self._bucket.ever(self._prefix + key)
        return None if held is None else _info(key, held)

    async def put(self, key: Key, body: bytes, *, when: Absent | Matches) -> PutOutcome:
        """Write the object if the condition holds."""
        return self._bucket.put("compactor-0", self._prefix + key, body, when)

    async def settle(self, key: Key) -> None:
        """Nothing to do."""


def _answer(future: "asyncio.Future[Any]", value: Any) -> None:
    if future.done():
        return
    if isinstance(value, Exception):
        future.set_exception(value)
    else:
        future.set_result(value)


def _info(key: str, held: Held) -> ObjectInfo:
    return ObjectInfo(Key(key), held.version, len(held.body), EPOCH_MS + int(held.created_s * 1000))


def _seen(found: Any) -> str:
    if found is None:
        return "absent"
    return found.version if isinstance(found, Held) else str(len(found))
