"""What is kept of a task's output, and what its reports hold (orchestration.md 7.6, 10)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.clients.callbacks import LogText
from arco.worker.attempt import heartbeat_period_ms, next_beat_ms
from arco.worker.capture import Capture
from arco.worker.reports import LOGS_BODY_BYTES_MAX, bounded, death, fitting


@given(st.lists(st.binary(max_size=50), max_size=40), st.integers(1, 60), st.integers(1, 60))
def test_output_is_kept_whole_up_to_the_bound_and_beyond_it_at_both_ends(pieces: list[bytes], head: int, tail: int):
    capture = Capture(head, tail)
    for piece in pieces:
        capture.feed(piece)
    whole = b"".join(pieces)
    text = capture.text()
    if len(whole) <= head + tail:
        assert text == whole.decode("utf-8", "replace")
    else:
        missing = len(whole) - head - tail
        first, last = whole[:head].decode("utf-8", "replace"), whole[-tail:].decode("utf-8", "replace")
        assert text == f"{first}\n... {missing} bytes left out ...\n{last}"


@pytest.mark.parametrize("text", ["x" * 3_000_000, "\x01" * 900_000, "☃" * 1_200_000])
def test_logs_always_fit_what_an_api_takes(text: str):
    fit = fitting(LogText(task_key="a.b", attempt=1, stdout=text, stderr=text))
    assert len(msgspec.json.encode(fit)) <= LOGS_BODY_BYTES_MAX
    assert fit.stdout.startswith(text[:1000])


def test_the_end_of_a_trace_is_what_is_kept_of_it():
    error = bounded({"category": "USER_CODE", "message": "m" * 10_000, "stackTrace": "x" * 100_000 + "the last frame"})
    assert len(error["message"]) == 8 * 1024
    assert error["stackTrace"].endswith("the last frame")
    assert len(error["stackTrace"]) == 64 * 1024


@pytest.mark.parametrize(
    ("code", "category", "words"),
    [
        (0, "USER_CODE", "exit code 0"),
        (3, "USER_CODE", "exit code 3"),
        (-9, "INFRASTRUCTURE", "SIGKILL"),
        (-11, "INFRASTRUCTURE", "SIGSEGV"),
        (-99, "INFRASTRUCTURE", "signal 99"),
    ],
)
def test_every_death_has_a_category_and_none_is_success(code: int, category: str, words: str):
    found, message = death(code)
    assert found == category
    assert words in message


@pytest.mark.parametrize(("timeout", "period"), [(300, 60), (60, 12), (30, 6), (None, 60), (10_000, 60)])
def test_68_a_heartbeat_comes_every_fifth_of_its_timeout_within_bounds(timeout: int | None, period: int):
    assert heartbeat_period_ms(timeout) == period * 1000


def test_68_a_timeout_below_the_floor_is_refused():
    with pytest.raises(ValueError, match="at least 30"):
        heartbeat_period_ms(29)


@pytest.mark.parametrize("timeout", [30, 60, 300, None])
@pytest.mark.parametrize("begun", [0, 1, 4_321, 59_999, 86_400_017])
def test_heartbeats_of_tasks_fall_together_after_the_first_and_never_come_late(timeout: int | None, begun: int) -> None:
    period = heartbeat_period_ms(timeout)
    beats = [begun + period]  # the first is a period after the start
    for _ in range(3):
        wait = next_beat_ms(timeout, beats[-1])
        assert 0 < wait <= period
        beats.append(beats[-1] + wait)
    assert [beat % period for beat in beats[1:]] == [0, 0, 0]
