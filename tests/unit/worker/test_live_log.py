"""What of a task's output is sent on while it runs: all of it in order, once, within bounds."""

import asyncio
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import FrozenClock

from arco.clients.callbacks import Answer, NoAnswer
from arco.core.limits import LOG_PIECE_BYTES_MAX
from arco.core.log import SilentLog
from arco.worker.live import INTERVAL_MS, LINGER_MS, PENDING_BYTES_MAX, SENT_BYTES_MAX, LiveLog


class Api:
    """Keeps pieces as the real one does: each number once; `faults` are what becomes of the next calls."""

    def __init__(self, *faults: str, taken: int = 0) -> None:
        self.clock = FrozenClock()
        self.faults = list(faults)
        self.kept: dict[int, Mapping[str, Any]] = {number: {} for number in range(1, taken + 1)}
        self.calls: list[int] = []
        self.log = LiveLog(self.take, self.clock, SilentLog(), "w-1/1")

    async def take(self, piece: Mapping[str, Any]) -> Answer:
        self.calls.append(self.clock.ms)
        fault = self.faults.pop(0) if self.faults else "ok"
        number = piece["piece"]
        await asyncio.sleep(0)
        if fault == "lose":
            raise NoAnswer("lost")
        if fault.isdigit():
            return Answer(int(fault), {})
        if number in self.kept and self.kept[number] != piece:
            return Answer(409, {"error": "piece_taken", "nextPiece": max(self.kept) + 1})
        self.kept[number] = piece
        if fault == "drop":
            raise NoAnswer("dropped")
        return Answer(200, {})

    @property
    def pieces(self) -> list[Mapping[str, Any]]:
        return [self.kept[number] for number in sorted(self.kept) if self.kept[number]]

    def text(self, *streams: str) -> str:
        parts = [part for piece in self.pieces for part in piece["parts"]]
        return "".join(part["text"] for part in parts if part["stream"] in streams)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def ended(api: Api, running: "asyncio.Task[None]") -> None:
    api.log.end()
    async with asyncio.timeout(10):
        await running


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=40)), max_size=12),
    st.lists(st.sampled_from(["ok", "drop", "lose", "503"]), max_size=8),
)
def test_everything_arrives_once_and_in_order_whatever_is_lost_on_the_way(
    writes: list[tuple[str, bytes]], faults: list[str]
):
    async def story() -> None:
        api = Api(*faults)
        running = asyncio.ensure_future(api.log.run())
        for stream, data in writes:
            api.log.hear(stream, data)
            await settle()
        await ended(api, running)
        for name in ("stdout", "stderr"):
            whole = b"".join(data for stream, data in writes if stream == name).decode("utf-8", "replace")
            if api.pieces:
                assert api.text(name) == whole
        assert [piece["last"] for piece in api.pieces] == [False] * (len(api.pieces) - 1) + [True] * bool(api.pieces)
        assert list(api.kept) == list(range(1, len(api.kept) + 1))

    asyncio.run(story())


async def test_a_task_that_ends_at_once_sends_no_piece():
    api = Api()
    running = asyncio.ensure_future(api.log.run())
    api.log.hear("stdout", b"hello")
    await ended(api, running)
    assert api.calls == []


async def test_a_silent_task_sends_nothing_however_long_it_takes():
    api = Api()
    running = asyncio.ensure_future(api.log.run())
    await settle()
    await ended(api, running)
    assert (api.calls, api.clock.ms) == ([], FrozenClock().ms)


async def test_the_first_piece_comes_soon_and_the_next_not_before_a_second():
    api = Api()
    begun = api.clock.ms
    running = asyncio.ensure_future(api.log.run())
    for _ in range(3):
        api.log.hear("stdout", b"x")
        await settle()
    assert [at - begun for at in api.calls] == [
        LINGER_MS,
        LINGER_MS + INTERVAL_MS + 5,
        LINGER_MS + 2 * INTERVAL_MS + 15,
    ]
    await ended(api, running)


async def test_a_flood_is_cut_and_what_is_missing_is_said():
    api = Api()
    running = asyncio.ensure_future(api.log.run())
    api.log.hear("stdout", b"y" * (PENDING_BYTES_MAX + 1_000))
    await settle()
    await ended(api, running)
    sent = len(api.text("stdout"))
    assert PENDING_BYTES_MAX - 4_096 <= sent <= PENDING_BYTES_MAX
    assert api.text("worker") == f"... {PENDING_BYTES_MAX + 1_000 - sent} bytes left out of the live log ...\n"
    for piece in api.pieces:
        assert sum(len(part["text"]) for part in piece["parts"]) <= LOG_PIECE_BYTES_MAX


async def test_a_task_that_never_stops_talking_is_sent_up_to_a_bound():
    api = Api()
    running = asyncio.ensure_future(api.log.run())
    for _ in range(2 * SENT_BYTES_MAX // 60_000):
        api.log.hear("stdout", b"z" * 60_000)
        await settle()
    await ended(api, running)
    assert SENT_BYTES_MAX <= len(api.text("stdout")) <= SENT_BYTES_MAX + PENDING_BYTES_MAX
    assert "bytes left out" in api.text("worker")


async def test_who_takes_an_attempt_over_goes_on_behind_the_last_piece():
    api = Api(taken=700)
    running = asyncio.ensure_future(api.log.run())
    api.log.hear("stdout", b"again")
    await settle()
    await ended(api, running)
    assert (sorted(api.kept)[-2:], api.text("stdout")) == ([701, 702], "again")
    assert len(api.calls) == 3


async def test_an_api_that_takes_no_pieces_is_asked_once():
    api = Api("404")
    running = asyncio.ensure_future(api.log.run())
    for _ in range(3):
        api.log.hear("stdout", b"x")
        await settle()
    await ended(api, running)
    assert len(api.calls) == 1


async def test_a_character_that_comes_in_two_parts_is_one():
    api = Api()
    running = asyncio.ensure_future(api.log.run())
    for byte in "☃".encode():
        api.log.hear("stdout", bytes([byte]))
        await settle()
    await ended(api, running)
    assert api.text("stdout") == "☃"
