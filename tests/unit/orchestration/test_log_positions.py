"""Where a follower of logs is, as text: every position comes back, and nothing else is taken for one."""

from hypothesis import example, given
from hypothesis import strategies as st

from arco.domains.orchestration.log_positions import LogPosition, packed, unpacked

_NUMBERS = st.integers(0, 2**32 - 2)
_POSITIONS = st.builds(LogPosition, _NUMBERS.map(lambda number: number + 1), _NUMBERS, _NUMBERS)


@given(st.lists(_POSITIONS, max_size=60))
def test_positions_come_back(positions: list[LogPosition]) -> None:
    assert unpacked(packed(positions), len(positions)) == positions
    assert unpacked(packed(positions), len(positions) + 1) is None


@given(st.text(max_size=80), st.integers(0, 50))
@example("eJw", 0)
@example("=", 1)
def test_other_texts_are_no_positions(text: str, count: int) -> None:
    found = unpacked(text, count)
    assert found is None or len(found) == count


def test_a_bomb_is_not_opened() -> None:
    assert unpacked(packed([LogPosition()] * 100_000), 10) is None


def test_a_thousand_tasks_are_a_short_text() -> None:
    told = [LogPosition(2) if number * 7919 % 3 else LogPosition() for number in range(1_000)]
    assert len(packed(told)) < 600
