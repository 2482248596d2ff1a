"""What may be given up, told exhaustively over small worlds and by properties: pure, no store."""

from itertools import combinations, pairwise, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arco.core.retention import PRESETS, Horizons, InvalidPolicy, checked_policy, parse_policy
from arco.kernel.retention import plan
from arco.kernel.retention.record import Kept, Pin, RetentionRecord, Sample

GRACE = 100
HORIZONS = Horizons(
    keep_newest=1,
    grace_ms=GRACE,
    fine_ms=1_000,
    coarse_ms=10_000,
    ledger_ms=GRACE,
    fine_period_ms=50,
    coarse_period_ms=500,
)


def test_no_small_world_gives_up_what_is_young_pointed_at_or_the_heads_parent() -> None:
    """Every combination of head, parent, pointer, samples, times and earlier floor below seven manifests."""
    looks = [(), *combinations(range(7), 1), *combinations(range(7), 2)]
    checked = 0
    for head, pointer, keep, now in product(range(7), range(7), (1, 3), (99, 100, 150, 250)):
        for parent, numbers in product({max(head - 1, 0), max(head - 3, 0)}, looks):
            samples = tuple(Sample(number, 1 + 100 * at) for at, number in enumerate(sorted(numbers)))
            sight = plan.Sight(head, parent, min(pointer, head))
            horizons = msgspec.structs.replace(HORIZONS, keep_newest=keep)
            floor = plan.floor_to(RetentionRecord(samples=samples), sight, horizons, now_ms=now)
            for given_up in range(floor):
                assert given_up < min(pointer, head), "a pointer names it"
                assert given_up not in (head, parent), "the head or its parent"
                assert given_up <= head - keep, "one of the newest"
                assert any(one.number > given_up and now - one.seen_ms >= GRACE for one in samples), "young"
            checked += 1
    assert checked > 10_000


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 400)), max_size=12),
    st.integers(0, 30),
    st.integers(0, 60),
    st.integers(0, 500),
)
def test_the_floor_never_falls_and_what_is_not_timed_never_counts(
    looks: list[tuple[int, int]], floor: int, pointer: int, now: int
) -> None:
    samples = tuple(Sample(number, seen) for number, seen in looks)
    sight = plan.Sight(60, 59, pointer)
    found = plan.floor_to(RetentionRecord(floor=floor, samples=samples), sight, HORIZONS, now_ms=now)
    assert found >= floor
    untimed = tuple(Sample(number) for number, _ in looks)
    assert plan.floor_to(RetentionRecord(floor=floor, samples=untimed), sight, HORIZONS, now_ms=now) == floor


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=60))
def test_looks_are_thinned_to_later_ones_only(steps: list[tuple[int, int]]) -> None:
    """Forgetting a look may make a thing older than it is thought to be, never younger; and there are never many."""
    samples: tuple[Sample, ...] = ()
    passed_at: dict[int, int] = {}
    bound = now = 0
    for more, later in steps:
        now += later
        bound += more
        samples = plan.with_look(plan.timed(samples, now), bound, 1_280)
        for number in range(bound):
            passed_at.setdefault(number, now)
        now += 1
        for number, truly in passed_at.items():
            told = [one.seen_ms for one in plan.timed(samples, now) if one.number > number]
            assert told and min(told) >= truly
    times = [one.seen_ms for one in samples if one.seen_ms]
    assert all(second - first >= 10 for first, second in pairwise(times[:-1]))


versions = st.lists(st.integers(1, 400), min_size=1, max_size=40).map(
    lambda gaps: [Kept(number, sum(gaps[:number]), sum(gaps[: number + 1])) for number in range(len(gaps))]
)


@given(versions, st.integers(0, 3_000), st.frozensets(st.integers(0, 40)))
def test_the_history_keeps_the_version_of_every_moment_it_promises(
    spans: list[Kept], later: int, pinned: frozenset[int]
) -> None:
    now = spans[-1].until_ms + later
    kept = {one.number for one in plan.history(spans, now_ms=now, horizons=HORIZONS, pinned=pinned)}
    assert {one.number for one in spans if one.number in pinned} <= kept
    for one in spans:
        age = now - one.until_ms
        fine = any(one.since_ms < moment <= one.until_ms for moment in range(0, now + 1, 50))
        coarse = any(one.since_ms < moment <= one.until_ms for moment in range(0, now + 1, 500))
        wanted = fine if age <= 1_000 else coarse and age <= 10_000
        assert (one.number in kept) == (wanted or one.number in pinned)


@given(versions, st.integers(0, 12_000), st.integers(0, 40), st.one_of(st.none(), st.integers(0, 20_000)))
def test_a_pinned_copy_is_never_released_while_its_pin_holds(
    spans: list[Kept], later: int, number: int, expires: int | None
) -> None:
    now = spans[-1].until_ms + later
    pin = Pin(pin_id="p", number=number, created_ms=0, expires_ms=expires)
    record = RetentionRecord(kept=tuple(spans), pins=(pin,))
    goes = plan.released(record, now_ms=now, horizons=HORIZONS)
    assert number not in goes or (expires is not None and expires <= now)
    if later > 10_000:
        assert set(goes) >= {one.number for one in spans} - {number}


def test_the_contracts_presets_keep_their_own_rules_and_no_grace_is_shorter_than_what_readers_rely_on() -> None:
    for policy in PRESETS.values():
        checked_policy(policy)
        assert policy.horizons().grace_ms >= 75 * 60_000
    wire = msgspec.json.decode(msgspec.json.encode(PRESETS["default"]))
    assert wire == {"keepSnapshots": 10, "delayHours": 24, "ledgerRetentionHours": 48, "maxAgeDays": 90}
    assert parse_policy('{"delayHours":2}').delay_hours == 2


@pytest.mark.parametrize(
    "text",
    [
        "nothing",
        '{"delayHours":0}',
        '{"ledgerRetentionHours":49,"maxAgeDays":2}',
        '{"keep":1}',
        "{",
        '{"delayHours":"x"}',
    ],
)
def test_a_policy_that_breaks_a_rule_is_refused(text: str) -> None:
    with pytest.raises(InvalidPolicy):
        parse_policy(text)
