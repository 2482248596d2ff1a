"""Clients of root transactions: each asks for one thing under one key, until it is told yes or no, or leaves."""

import asyncio
from typing import Any, Final, Protocol

import msgspec

from arco.core.entropy import MintedIds
from arco.core.errors import AlreadyExists, Conflict, InvalidInput, NotFound
from arco.domains.transactions.batch_commands import commit_batch
from arco.domains.transactions.commands import apply_catalog_ddl
from arco.domains.transactions.root_commands import Wanted, commit_root
from arco.sim.clients import UNCLEAR
from arco.sim.faults import FaultStream
from arco.sim.loop import SimLoop
from arco.sim.network import Network
from arco.sim.plan import ClientPlan, Wish
from arco.sim.process import SeededEntropy, SimClock
from arco.sim.root_machines import RootApi, wanted_of

_NO: Final = (AlreadyExists, Conflict, InvalidInput, NotFound)
_PAUSES_S: Final = (0.05, 0.5, 2.0, 10.0)


class Asked(msgspec.Struct):
    """A wish as it was asked: `answer` is None until it is known, then the transaction's id, or "" for a no.

    Whoever is `gone` did not wait for it, and never comes back.
    """

    kind: str
    name: str
    token: str
    run_id: str
    wanted: Wanted
    answer: str | None = None
    gone: bool = False


class Place(Protocol):
    """The world as a client knows it."""

    loop: SimLoop
    network: Network
    asked: list[Asked]

    def api(self, caller: str) -> RootApi | None:
        """An api this client's next request ends up at."""
        ...


class RootClient:
    """One client."""

    def __init__(self, plan: ClientPlan, place: Place, faults: FaultStream) -> None:
        self.plan = plan
        self._place = place
        self._faults = faults
        self._clock = SimClock(place.loop)
        self._ids = MintedIds(self._clock, SeededEntropy(plan.name))
        self.pending: list[tuple[Wish, Asked]] = []

    async def run(self) -> None:
        """Wish everything."""
        for step, wish in enumerate(self.plan.wishes):
            await asyncio.sleep(wish.pause_s)
            token, run_id = f"{self.plan.name}.{step}", self._ids.ulid()
            wanted = wanted_of(wish, token, run_id, self._clock)
            asked = Asked(wish.kind, wish.name, token, run_id, wanted)
            self._place.asked.append(asked)
            await self._ask(wish, asked)

    async def finish(self) -> None:
        """Ask for everything that is still not known."""
        pending, self.pending = self.pending, []
        for wish, asked in pending:
            await self._ask(msgspec.structs.replace(wish, patience_s=60.0, tries=12), asked)

    async def _ask(self, wish: Wish, asked: Asked) -> None:
        for attempt in range(wish.tries):
            try:
                asked.answer = await self._called(wish, asked)
                return
            except _NO as no:
                # What is only held, or under way, may be free in a moment.
                if "retry_after_s" not in no.details:
                    asked.answer = ""
                    return
            except UNCLEAR:
                if not wish.key:
                    asked.gone = True
                    return
            await asyncio.sleep(_PAUSES_S[min(attempt, 3)])
        self.pending.append((wish, asked))

    async def _called(self, wish: Wish, asked: Asked) -> str:
        api = self._place.api(self.plan.name)
        if api is None:
            raise ConnectionRefusedError("nobody listens")

        async def served() -> str:
            clerks, wanted, key = api.clerks, asked.wanted, asked.token
            if asked.kind == "root":
                return (await commit_root(clerks, wanted, key)).record.tx_id
            if asked.kind == "ddl":
                return (await apply_catalog_ddl(clerks.home, wanted.operations, key)).tx_id
            assert wanted.batch is not None
            return (await commit_batch(clerks.runs, wanted.batch, key)).handle_id

        answer: Any = await self._place.network.call(
            self._faults, api.machine.process, served, patience_s=wish.patience_s, repeatable=False
        )
        return str(answer)
