"""What the Cloud Storage adapter makes of lost answers, double deliveries, refusals and outages."""

from collections.abc import AsyncIterator

import pytest
from tests.emulators.processes import BUCKET, Emulator

from arco.core.clock import SystemClock
from arco.core.paths import Key
from arco.storage.gcs import GcsStore
from arco.storage.gcs_upload import CHUNK_BYTES
from arco.storage.port import (
    Absent,
    Deleted,
    Lost,
    Matches,
    ReadRefused,
    StorageUnavailable,
    Stored,
    StoredObject,
    Unsure,
    WriteRefused,
)
from arco.storage.retries import Patience

KEY = Key("dir/object")
HURRIED = Patience(operation_ms=400, attempt_ms=150, connect_ms=150, first_pause_ms=4, pause_ms_max=8)
"""Where time is what a test is about."""

PATIENT = Patience(operation_ms=60_000, attempt_ms=1_000, connect_ms=1_000, first_pause_ms=2, pause_ms_max=4)
"""Elsewhere a busy machine may take its time: the budget of retries ends what never succeeds."""

UPLOADS = "POST /upload"


@pytest.fixture
async def store(gcs: Emulator, request: pytest.FixtureRequest) -> AsyncIterator[GcsStore]:
    gcs.control("reset")
    made = GcsStore(BUCKET, f"{request.node.name}/", endpoint=gcs.endpoint, patience=PATIENT)
    yield made
    await made.close()
    gcs.control("reset")


async def stored(store: GcsStore, body: bytes = b"first") -> str:
    outcome = await store.put(KEY, body, when=Absent())
    assert isinstance(outcome, Stored)
    return outcome.version


@pytest.mark.parametrize("fault", ["drop", "stall", "cut", "twice"])
async def test_a_write_whose_answer_is_lost_is_found_to_be_ours(store: GcsStore, gcs: Emulator, fault: str):
    gcs.fault(fault, UPLOADS)
    version = await stored(store)
    assert await store.get(KEY) == StoredObject(b"first", version)
    gcs.fault(fault, UPLOADS)
    outcome = await store.put(KEY, b"second", when=Matches(version))
    assert isinstance(outcome, Stored)
    assert await store.get(KEY) == StoredObject(b"second", outcome.version)


async def test_a_write_that_never_arrived_is_sent_again(store: GcsStore, gcs: Emulator):
    gcs.fault("lose", UPLOADS, times=2)
    assert await store.get(KEY) is None
    version = await stored(store)
    assert await store.get(KEY) == StoredObject(b"first", version)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_a_transient_refusal_is_tried_again(store: GcsStore, gcs: Emulator, status: int):
    gcs.fault("status", "", status=status, times=2)
    version = await stored(store)
    gcs.fault("status", "", status=status, times=2)
    assert await store.get(KEY) == StoredObject(b"first", version)


@pytest.mark.parametrize("fault", ["lose", "drop"])
async def test_a_write_without_any_answer_is_unsure(store: GcsStore, gcs: Emulator, fault: str):
    gcs.fault(fault, "", times=1000)
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Unsure)
    assert isinstance(await store.delete(KEY, when=Matches("5")), Unsure)


async def test_a_late_write_of_ours_does_not_make_a_loser_of_its_own_repetition(store: GcsStore, gcs: Emulator):
    """The first request is answered by nobody and applied later: the repetition wins, and the late one loses."""
    gcs.fault("later", UPLOADS)
    version = await stored(store)
    assert gcs.control("release")["statuses"] == [412]
    assert await store.get(KEY) == StoredObject(b"first", version)


async def test_ours_that_may_have_been_replaced_is_not_called_lost(store: GcsStore, gcs: Emulator):
    """Our answer is lost, somebody replaces what we wrote, and then our repetition is told 412."""
    gcs.fault("drop", UPLOADS)
    gcs.fault("status", UPLOADS, status=412, reason="conditionNotMet")
    other = GcsStore(BUCKET, store.prefix, endpoint=gcs.endpoint)
    gcs.fault("status", "GET .*fields", status=503, times=1000)
    assert isinstance(await store.put(KEY, b"ours", when=Absent()), Unsure)
    gcs.control("reset")
    found = await store.get(KEY)
    assert found is not None and found.body == b"ours"
    await other.close()


async def test_identical_bytes_of_another_attempt_are_still_lost(store: GcsStore):
    version = await stored(store, b"same")
    assert await store.put(KEY, b"same", when=Absent()) == Lost(version)
    assert await store.put(KEY, b"same", when=Matches("1")) == Lost(version)


@pytest.mark.parametrize("version", ["0", "00", "", "-1", "1.5", "x", "٣", "1&ifGenerationMatch=0"])
async def test_a_version_that_no_object_has_matches_nothing(store: GcsStore, version: str):
    """Zero means absent to the provider: as a version it would turn a swap into a creation."""
    assert await store.put(KEY, b"x", when=Matches(version)) == Lost(None)
    assert await store.delete(KEY, when=Matches(version)) == Lost(None)
    current = await stored(store)
    assert await store.put(KEY, b"x", when=Matches(version)) == Lost(current)


@pytest.mark.parametrize("fault", ["drop", "twice"])
async def test_a_delete_whose_answer_is_lost_is_known_to_have_happened(store: GcsStore, gcs: Emulator, fault: str):
    version = await stored(store)
    gcs.fault(fault, "DELETE")
    outcome = await store.delete(KEY, when=Matches(version))
    assert outcome == (Deleted() if fault == "drop" else Lost(None))
    assert await store.head(KEY) is None


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_refusal_is_told_at_once_and_nothing_is_unsure(store: GcsStore, gcs: Emulator, status: int):
    gcs.fault("status", "", status=status, times=1000)
    with pytest.raises(WriteRefused, match=f"HTTP {status}"):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(WriteRefused, match=f"HTTP {status}"):
        await store.delete(KEY, when=Matches("5"))
    for ask in (store.get, store.head, store.list_page):
        with pytest.raises(ReadRefused, match=f"HTTP {status}"):
            await ask(KEY)
    assert len(gcs.requests()) <= 10


async def test_a_refusal_after_a_lost_answer_is_unsure(store: GcsStore, gcs: Emulator):
    gcs.fault("drop", UPLOADS)
    gcs.fault("status", UPLOADS, status=403)
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Unsure)


async def test_a_bucket_that_does_not_exist_is_no_empty_bucket(gcs: Emulator):
    store = GcsStore("nowhere", endpoint=gcs.endpoint)
    with pytest.raises(WriteRefused, match="bucket does not exist"):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(WriteRefused, match="bucket does not exist"):
        await store.delete(KEY, when=Matches("5"))
    with pytest.raises(ReadRefused, match="bucket does not exist"):
        await store.head(KEY)
    with pytest.raises(ReadRefused, match="bucket does not exist"):
        await store.list_page("")
    await store.close()


async def test_a_write_that_nobody_listened_to_is_refused_and_not_unsure():
    store = GcsStore(BUCKET, endpoint="http://127.0.0.1:1", patience=HURRIED)
    with pytest.raises(WriteRefused):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(StorageUnavailable):
        await store.get(KEY)
    await store.close()


async def test_an_operation_ends_in_its_time(gcs: Emulator):
    gcs.control("reset")
    store = GcsStore(BUCKET, "in-time/", endpoint=gcs.endpoint, patience=HURRIED)
    gcs.fault("stall", "", times=1000)
    clock, patience = SystemClock(), HURRIED
    began = clock.steady_ms()
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Unsure)
    with pytest.raises(StorageUnavailable):
        await store.get(KEY)
    # What it waits for, and generously for a busy machine: an unbounded one would wait for an hour.
    assert clock.steady_ms() - began < 2 * (patience.operation_ms + patience.attempt_ms) + 10_000
    await store.close()
    gcs.control("reset")


async def test_retries_end_with_their_budget(gcs: Emulator):
    """When everything fails, most operations are sent once: the provider is not asked more often because it is ill."""
    store = GcsStore(BUCKET, endpoint=gcs.endpoint, patience=HURRIED)
    gcs.fault("status", "", status=503, times=100_000)
    gcs.requests()
    for _ in range(150):
        with pytest.raises(StorageUnavailable):
            await store.get(KEY)
    assert len(gcs.requests()) <= 150 + 100 + 15 + 1
    gcs.control("reset")
    await store.close()


LARGE = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"tail"
SESSION = "PUT /upload"


@pytest.mark.parametrize("fault", ["drop", "lose", "twice"])
@pytest.mark.parametrize("skip", [0, 1, 2])
async def test_a_large_upload_goes_on_where_it_was_broken(store: GcsStore, gcs: Emulator, fault: str, skip: int):
    gcs.fault(fault, SESSION, skip=skip)
    version = await stored(store, LARGE)
    assert await store.get(KEY) == StoredObject(LARGE, version)
    resent = sum(1 for method, path, _ in gcs.requests() if method == "POST" and path.startswith("/upload"))
    assert resent == 1


async def test_a_large_upload_that_lost_its_session_begins_again(store: GcsStore, gcs: Emulator):
    gcs.fault("status", SESSION, status=410, skip=1)
    version = await stored(store, LARGE)
    assert await store.get(KEY) == StoredObject(LARGE, version)


async def test_a_large_upload_to_a_taken_name_is_lost(store: GcsStore, gcs: Emulator):
    version = await stored(store, b"somebody else's")
    assert await store.put(KEY, LARGE, when=Absent()) == Lost(version)
    gcs.fault("status", UPLOADS, status=412, reason="conditionNotMet")
    assert await store.put(KEY, LARGE, when=Absent()) == Lost(version)


async def test_a_large_upload_whose_end_is_never_told_is_unsure(store: GcsStore, gcs: Emulator):
    gcs.fault("drop", SESSION, skip=2)
    gcs.fault("lose", "", skip=3, times=1000)
    assert isinstance(await store.put(KEY, LARGE, when=Absent()), Unsure)
    gcs.control("reset")
    found = await store.get(KEY)
    assert found is not None and found.body == LARGE


async def test_each_operation_is_one_request(store: GcsStore, gcs: Emulator):
    """Latency is the number of sequential operations, so an operation must not hide several."""
    gcs.requests()
    version = await stored(store)
    await store.get(KEY)
    await store.get_range(KEY, 1, 3)
    await store.head(KEY)
    await store.list_page("dir/")
    await store.settle(KEY)
    await store.delete(KEY, when=Matches(version))
    assert [method for method, _, _ in gcs.requests()] == ["POST", "GET", "GET", "GET", "GET", "DELETE"]
