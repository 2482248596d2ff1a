"""Facts that nobody waits for: gathered, written together, never in the way."""

import asyncio
from collections.abc import Sequence
from typing import Any

from arco.core.errors import OutcomeUnknown, Unavailable
from arco.core.limits import FACTS_HELD_MAX, FACTS_PER_EVENT, FACTS_SHARE
from arco.core.log import SilentLog
from arco.core.metrics import Registry
from arco.core.scope import Scope
from arco.kernel.desk import EventDraft, FactKind, UnitDraft
from arco.kernel.facts import TRIES_MAX, LazyFacts
from arco.kernel.fold import Outcome

SCOPE = Scope("acme", "prod")
KIND = FactKind("notes", "access", lambda facts, _now: EventDraft(event_type="notes", event_version=1, payload=facts))


class SteppedClock:
    """Sleepers wait until a second is let pass."""

    def __init__(self) -> None:
        self.ms = 1_767_225_600_000
        self._sleepers: list[asyncio.Future[None]] = []

    def now_ms(self) -> int:
        return self.ms

    def steady_ms(self) -> int:
        return self.ms

    async def sleep_ms(self, _duration_ms: int) -> None:
        future = asyncio.get_running_loop().create_future()
        self._sleepers.append(future)
        await future

    async def a_second(self) -> None:
        """Let a second pass, and whoever slept do its work."""
        await asyncio.sleep(0)
        self.ms += 1_000
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def waited_on(self) -> int:
        return len([one for one in self._sleepers if not one.done()])


class Desk:
    """Keeps what is handed in, or answers with what a test has prepared."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []
        self.drafts: list[UnitDraft] = []
        self.troubles: list[Exception] = []
        self.hold: asyncio.Event | None = None

    async def submit(self, units: Sequence[UnitDraft], *, source: str) -> list[Outcome]:
        assert source.startswith("api:")
        self.calls.append([fact for unit in units for fact in unit.events[0].payload])
        if self.hold is not None:
            await self.hold.wait()
        if self.troubles:
            raise self.troubles.pop(0)
        self.drafts.extend(units)
        return [Outcome(unit_id="", status="accepted") for _ in units]


class World:
    def __init__(self, *, exists: bool = True) -> None:
        self.clock, self.desk, self.registry = SteppedClock(), Desk(), Registry()
        self.asked = 0

        async def there(_scope: Scope) -> bool:
            self.asked += 1
            return exists

        self.facts = LazyFacts(
            lambda _scope: self.desk, there, clock=self.clock, log=SilentLog(), registry=self.registry
        )

    def add(self, *facts: Any) -> list[bool]:
        return [self.facts.add(SCOPE, KIND, fact) for fact in facts]

    def count(self, result: str) -> float:
        return self.registry.counter("arco_facts_total", "", ("kind", "result")).series("notes", result).value


async def test_facts_of_a_second_become_one_writing_and_nothing_happens_afterwards():
    world = World()
    world.add(1, 2, 3)
    assert world.desk.calls == []
    await world.clock.a_second()
    assert world.desk.calls == [[1, 2, 3]]
    assert world.facts.held == 0
    assert world.clock.waited_on == 0
    assert world.count("written") == 3


async def test_facts_do_not_expire_and_are_cut_into_events_of_bounded_size():
    world = World()
    world.add(*range(FACTS_PER_EVENT + 1))
    await world.clock.a_second()
    assert [len(unit.events[0].payload) for unit in world.desk.drafts] == [FACTS_PER_EVENT, 1]
    assert all(unit.lasting for unit in world.desk.drafts)


async def test_large_facts_make_events_of_their_own():
    world = World()
    for fact in range(3):
        world.facts.add(SCOPE, KIND, fact, size_bytes=200_000)
    await world.clock.a_second()
    assert [list(unit.events[0].payload) for unit in world.desk.drafts] == [[0], [1], [2]]


async def test_leaving_a_fact_never_waits_and_beyond_the_bound_it_is_dropped_and_counted():
    world = World()
    assert all(world.add(*range(FACTS_HELD_MAX // FACTS_SHARE)))
    assert world.add("one too many") == [False]
    assert world.count("dropped") == 1
    await world.clock.a_second()
    assert world.add("room again") == [True]


async def test_noisy_workspaces_push_out_their_own_facts_and_nobody_else_s():
    world = World()
    quiet = [Scope("quiet", f"w{number}") for number in range(3)]
    for scope in quiet[:2]:
        assert world.facts.add(scope, KIND, "before")
    for number in range(FACTS_HELD_MAX):
        for noisy in ("a", "b"):
            world.facts.add(Scope("noisy", noisy), KIND, number)
    assert world.facts.held == FACTS_HELD_MAX
    assert world.facts.add(quiet[2], KIND, "after") and world.facts.add(quiet[0], KIND, "after")
    assert world.facts.held == FACTS_HELD_MAX
    assert world.count("dropped") == 2 * FACTS_HELD_MAX - (FACTS_HELD_MAX - 2) + 2
    await world.facts.flush()
    assert sum(call.count("before") + call.count("after") for call in world.desk.calls) == 4
    assert world.facts.held == 0


async def test_large_facts_of_one_workspace_leave_room_for_another():
    world = World()
    while world.facts.add(SCOPE, KIND, "large", size_bytes=1_000_000):
        pass
    assert world.facts.add(Scope("acme", "other"), KIND, "small")


async def test_a_workspace_whose_writing_takes_long_holds_up_no_other():
    world = World()
    stuck, fine = Scope("acme", "stuck"), Scope("acme", "fine")
    desks = {stuck: Desk(), fine: Desk()}
    going_on = desks[stuck].hold = asyncio.Event()

    async def there(_scope: Scope) -> bool:
        return True

    facts = LazyFacts(desks.__getitem__, there, clock=world.clock, log=SilentLog(), registry=world.registry)
    facts.add(stuck, KIND, 1)
    for second in range(4):
        facts.add(fine, KIND, second)
        await world.clock.a_second()
        await world.clock.a_second()
    assert sorted(fact for call in desks[fine].calls for fact in call) == [0, 1, 2, 3]
    assert desks[stuck].calls == [[1]]
    going_on.set()
    await facts.close()
    assert facts.held == 0


async def test_what_could_not_be_shown_to_be_written_is_written_again_with_what_came_meanwhile():
    world = World()
    world.desk.troubles = [OutcomeUnknown("no answer")]
    world.add(1)
    await world.clock.a_second()
    world.add(2)
    for _ in range(4):
        await world.clock.a_second()
    assert world.desk.calls == [[1], [1, 2]]
    assert world.facts.held == 0


async def test_trouble_makes_the_pauses_longer_and_ends_in_a_counted_loss():
    world = World()
    world.desk.troubles = [Unavailable("down") for _ in range(100)]
    world.add(1)
    for _ in range(30):
        await world.clock.a_second()
    assert 3 <= len(world.desk.calls) <= 6
    for _ in range(60 * TRIES_MAX):
        await world.clock.a_second()
    assert world.count("lost") == 1
    assert world.facts.held == 0
    assert world.clock.waited_on == 0


async def test_a_mistake_in_one_kind_of_fact_does_not_end_the_writing_of_others():
    world = World()
    bad = FactKind("notes", "access", lambda _facts, _now: EventDraft(event_type="bad", event_version=1, payload=1 / 0))
    world.facts.add(SCOPE, bad, "bad")
    await world.clock.a_second()
    assert world.count("lost") == 1
    world.add("good")
    await world.clock.a_second()
    assert world.desk.calls == [["good"]]


async def test_facts_of_a_workspace_that_does_not_exist_bring_none_into_being():
    world = World(exists=False)
    world.add(1)
    await world.clock.a_second()
    assert (world.desk.calls, world.count("no_workspace"), world.facts.held) == ([], 1, 0)


async def test_an_orderly_end_writes_what_is_held_and_takes_nothing_more():
    world = World()
    world.add(1, 2)
    await world.facts.close()
    assert world.desk.calls == [[1, 2]]
    assert world.add(3) == [False]


async def test_an_end_in_the_middle_of_a_writing_writes_the_same_facts_again_rather_than_losing_them():
    world = World()
    world.desk.hold = asyncio.Event()
    world.add(1)
    await world.clock.a_second()
    assert world.desk.calls == [[1]]
    closing = asyncio.ensure_future(world.facts.close())
    await asyncio.sleep(0)
    world.desk.hold.set()
    await closing
    assert world.desk.calls == [[1], [1]]
    assert world.count("lost") == 0
