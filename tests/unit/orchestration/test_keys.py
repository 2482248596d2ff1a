"""Derived identifiers, by the golden vectors of orchestration.md 1 and the conformance list 1 to 6."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.domains.orchestration import keys

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


def test_01_02_derived_ids_are_the_contracts() -> None:
    assert keys.task_id("run-123", "analytics.daily_sales") == "ct1_cnVuLTEyMwBhbmFseXRpY3MuZGFpbHlfc2FsZXM"
    assert keys.attempt_id("dispatch:run1:extract:1") == "att_af5c419a69061299a227e6a9"
    assert keys.queue_task_id("d", "dispatch:run1:extract:1") == "d_cxtoltqhbncw6nevn7hy53kqn6"
    assert keys.queue_task_id("t", "timer:retry:run1:extract:1:1705340400") == "t_hlljqq57362d4n3x2kett7jrqf"
    scope = ("tenant-abc", "workspace-prod")
    run_key = "sched:daily-etl:1736935200"
    assert keys.run_id_of_key(b"test-secret", scope, run_key) == "run_ba6mduulcrdaksbnw2imp3eiwq"
    assert keys.run_id_of_key(b"", scope, run_key) == "run_wtvfx6ydvrke4qoyxbrgd2frbm"


@given(run_id=NAMES, task_key=NAMES)
def test_a_task_id_holds_its_run_and_its_task(run_id: str, task_key: str) -> None:
    assert keys.parse_task_id(keys.task_id(run_id, task_key)) == (run_id, task_key)


def _encoded(text: bytes) -> str:
    return "ct1_" + base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    [
        "cnVuLTEyMwBh",
        "ct2_cnVuLTEyMwBh",
        "ct1_",
        "ct1_!!!!",
        "ct1_cnVuLTEyMwBh=",
        "ct1_a",
        _encoded(b"no separator"),
        _encoded(b"a\0b\0c"),
        _encoded(b"\0b"),
        _encoded(b"a\0"),
        _encoded(b"a\0\xff"),
        "ct1_cnVuLTEyMwBi" + "\n",
    ],
)
def test_01_what_is_no_task_id_is_not_taken_for_one(text: str) -> None:
    assert keys.parse_task_id(text) is None


def test_a_dispatch_id_is_read_back() -> None:
    assert keys.parse_dispatch_id(keys.dispatch_id("run1", "a.b", 3)) == ("run1", "a.b", 3)
    for text in ("", "dispatch:run1:3", "dispatch::a.b:1", "dispatch:r:a.b:x", "other:r:a.b:1"):
        assert keys.parse_dispatch_id(text) is None


def test_a_timer_id_says_its_type_and_time() -> None:
    text = keys.timer_id("retry", "run1:extract:1", 1_705_340_400)
    assert text == "timer:retry:run1:extract:1:1705340400"
    assert keys.parse_timer_id(text) == keys.Timer("RETRY", 1_705_340_400)
    assert keys.parse_timer_id(text + ":retry_reschedule") == keys.Timer("RETRY", 1_705_340_400)
    assert keys.parse_timer_id("timer:heartbeat:r:t:1:5:heartbeat_reschedule") == keys.Timer("HEARTBEAT_CHECK", 5)
    assert keys.parse_timer_id("timer:cron:daily:7") == keys.Timer("CRON", 7)
    for wrong in ("", "timer:retry:x", "timer:other:x:1", "clock:retry:x:1", "timer:retry:run1:extract:1:soon"):
        assert keys.parse_timer_id(wrong) is None


def test_another_delivery_of_an_attempt_has_another_name() -> None:
    first = keys.redelivery_id("dispatch:r:t:1", "01J")
    assert first != keys.redelivery_id("dispatch:r:t:1", "01K")
    assert first != keys.redelivery_id("dispatch:r:t:2", "01J")
    assert first != keys.queue_task_id("d", "dispatch:r:t:1")
