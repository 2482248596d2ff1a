"""The executions fold: one row for each materialisation, the larger sequence wins, repeats change nothing."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.http.world import SCOPE, a_world

from arco.core.paths import Key
from arco.domains.executions.fold import ExecutionsDomain
from arco.domains.executions.rows import MATERIALIZATIONS, MaterializationRow
from arco.kernel.envelope import Envelope
from arco.kernel.fold import Accepted, FoldContext, InvalidEvent, UnsupportedEvent
from arco.kernel.manifest import decode_pointer
from arco.storage.port import Absent

CONTEXT = FoldContext(now_ms=1, fold_version=1)
PATH = "ledger/executions/01KDVH8Q3N5P7R9S1T3V5W7X9Y.json"


class Rows:
    """The view a fold of one table needs."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}

    def get(self, _table: Any, key: Any) -> Any:
        return self.rows.get(key)

    def put(self, table: Any, row: Any) -> None:
        self.rows[table.key_of(row)] = row


def an_event(rows: int = 1, *, sequence: int | None = None, key: str = "k", version: int = 1, **more: Any) -> Envelope:
    payload = {"materialization_id": "m", "asset_id": "a", "row_count": rows, "byte_size": 10, **more}
    return Envelope(
        event_type="materialization_completed",
        event_version=version,
        idempotency_key=key,
        occurred_at="2026-01-01T00:00:00Z",
        source="api:acme",
        sequence_position=sequence,
        payload=msgspec.Raw(msgspec.json.encode(payload)),
        event_id="01KDVH8Q3N5P7R9S1T3V5W7X9Y",
    )


def folded(*events: Envelope) -> MaterializationRow:
    view: Any = Rows()
    for event in events:
        assert isinstance(ExecutionsDomain().fold(view, event, CONTEXT), Accepted)
    (row,) = view.rows.values()
    assert isinstance(row, MaterializationRow)
    return row


@given(st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True))
def test_the_largest_sequence_wins_in_whatever_order_events_come(sequences: list[int]) -> None:
    events = [an_event(rows=number, sequence=number, key=str(number)) for number in sequences]
    for order in itertools.islice(itertools.permutations(events), 24):
        assert folded(*order, *order).row_count == max(sequences)


def test_the_same_event_key_again_changes_nothing_even_with_another_body() -> None:
    assert folded(an_event(1, sequence=1), an_event(2, sequence=2)).row_count == 1


def test_an_event_without_a_sequence_is_older_than_any_with_one() -> None:
    assert folded(an_event(1, sequence=0), an_event(2, key="other")).row_count == 1
    assert folded(an_event(1), an_event(2, key="other")).row_count == 2


@pytest.mark.parametrize(
    "change",
    [{"row_count": -1}, {"byte_size": 2**63}, {"materialization_id": ""}, {"asset_id": "x" * 257}, {"row_count": "1"}],
)
def test_what_no_row_can_hold_is_invalid(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidEvent):
        ExecutionsDomain().fold(Rows(), an_event(**change), CONTEXT)  # type: ignore[arg-type]  # a view of one table


def test_a_newer_version_waits_for_a_newer_build() -> None:
    with pytest.raises(UnsupportedEvent):
        ExecutionsDomain().fold(Rows(), an_event(version=2), CONTEXT)  # type: ignore[arg-type]  # a view of one table


async def test_a_notified_execution_is_folded_and_its_manifest_is_a_hint_at_the_chain() -> None:
    async with a_world() as world:
        event = msgspec.json.encode(an_event(7, sequence=3))
        await world.in_scope().put(Key(PATH), event, when=Absent())
        async with world.client(role="compactor") as compactor:
            refused = await compactor.post(
                "/internal/sync-compact", json={"domain": "execution", "event_paths": [PATH]}
            )
            assert (refused.status_code, refused.json()["error"]) == (400, "unsupported_domain")
            answer = await compactor.post("/internal/notify", json={"eventPaths": [PATH], "flush": True})
        assert answer.json()["domain_results"]["executions"]["events_processed"] == 1
        snapshot = await world.process.reader(SCOPE, "api").head()
        assert snapshot is not None
        row = await snapshot.get(MATERIALIZATIONS, ("m",))
        assert row is not None and (row.asset_id, row.row_count) == ("a", 7)
        await world.quiet()
        await world.close()
        hint = await world.in_scope().get(Key("manifests/executions.manifest.json"))
        assert hint is not None
        body = msgspec.json.decode(hint.body)
        assert body["watermarkEventId"] == PATH.rsplit("/", 1)[1] and body["snapshotPath"] is None
        assert await world.in_scope().head(Key(decode_pointer(hint.body).manifest_path)) is not None
