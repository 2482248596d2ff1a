"""What the S3 adapter makes of lost answers, conflicts, refusals and parts."""

from collections.abc import AsyncIterator

import pytest
from tests.emulators.processes import BUCKET, Emulator

from arco.core.paths import Key
from arco.storage.port import (
    Absent,
    Lost,
    Matches,
    ReadRefused,
    Stored,
    StoredObject,
    Unsure,
    WriteRefused,
)
from arco.storage.retries import Patience
from arco.storage.s3 import S3Store
from arco.storage.s3_upload import SINGLE_BYTES_MAX

KEY = Key("dir/object")
PATIENT = Patience(operation_ms=20_000, attempt_ms=20_000, first_pause_ms=2, pause_ms_max=4)
LARGE = bytes(range(256)) * (SINGLE_BYTES_MAX // 256) + b"tail"


@pytest.fixture
async def store(s3: Emulator, request: pytest.FixtureRequest, aws_credentials: None) -> AsyncIterator[S3Store]:
    s3.control("reset")
    made = S3Store(BUCKET, f"{request.node.name}/", endpoint=s3.endpoint, patience=PATIENT)
    yield made
    await made.close()
    s3.control("reset")


async def test_a_write_whose_answer_is_lost_is_found_to_be_ours(store: S3Store, s3: Emulator):
    for fault in ("drop", "twice"):
        s3.fault(fault, "PUT /lake")
        outcome = await store.put(Key(fault), b"first", when=Absent())
        assert isinstance(outcome, Stored)
        assert await store.get(Key(fault)) == StoredObject(b"first", outcome.version)


async def test_a_conflict_decides_nothing_and_is_tried_again(store: S3Store, s3: Emulator):
    """409 ConditionalRequestConflict: another request on the key is under way."""
    s3.fault("status", "PUT", status=409, code="ConditionalRequestConflict", times=2)
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Stored)


async def test_a_request_that_was_too_slow_is_sent_again(store: S3Store, s3: Emulator):
    """400 RequestTimeout: the body did not come in time. It is no refusal of what was asked."""
    s3.fault("status", "PUT", status=400, code="RequestTimeout", times=1)
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Stored)


async def test_refusals_are_told_and_not_unsure(store: S3Store, s3: Emulator):
    s3.fault("status", "", status=403, code="AccessDenied", times=1000)
    with pytest.raises(WriteRefused, match="AccessDenied"):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(WriteRefused, match="AccessDenied"):
        await store.delete(KEY, when=Matches("5"))
    with pytest.raises(ReadRefused, match="AccessDenied"):
        await store.get(KEY)
    s3.control("reset")
    s3.fault("drop", "PUT")
    s3.fault("status", "", status=403, code="AccessDenied")
    assert isinstance(await store.put(KEY, b"x", when=Absent()), Unsure)


async def test_a_bucket_that_does_not_exist_is_no_empty_bucket(s3: Emulator, aws_credentials: None):
    store = S3Store("nowhere", endpoint=s3.endpoint)
    with pytest.raises(WriteRefused, match="NoSuchBucket"):
        await store.put(KEY, b"x", when=Absent())
    with pytest.raises(ReadRefused, match="NoSuchBucket"):
        await store.get(KEY)
    with pytest.raises(ReadRefused, match="NoSuchBucket"):
        await store.list_page("")
    await store.close()


async def test_an_object_of_many_parts_is_written_if_its_condition_holds_at_the_end(store: S3Store, s3: Emulator):
    outcome = await store.put(KEY, LARGE, when=Absent())
    assert isinstance(outcome, Stored)
    assert await store.get(KEY) == StoredObject(LARGE, outcome.version)
    assert await store.put(KEY, LARGE[1:], when=Absent()) == Lost(outcome.version)
    assert await store.put(KEY, LARGE[1:], when=Matches("5")) == Lost(outcome.version)
    s3.fault("drop", "POST .*uploadId")
    replaced = await store.put(KEY, LARGE[1:], when=Matches(outcome.version))
    assert isinstance(replaced, Stored) and replaced != outcome
    s3.fault("lose", "PUT .*partNumber=2")
    again = await store.put(KEY, LARGE[2:], when=Matches(replaced.version))
    assert isinstance(again, Stored)
    assert await store.get(KEY) == StoredObject(LARGE[2:], again.version)


async def test_each_operation_is_one_request(store: S3Store, s3: Emulator):
    s3.requests()
    outcome = await store.put(KEY, b"12345", when=Absent())
    assert isinstance(outcome, Stored)
    await store.get(KEY)
    await store.get_range(KEY, 1, 3)
    await store.head(KEY)
    await store.list_page("dir/")
    await store.settle(KEY)
    await store.delete(KEY, when=Matches(outcome.version))
    assert [method for method, _, _ in s3.requests()] == ["PUT", "GET", "GET", "HEAD", "GET", "DELETE"]
