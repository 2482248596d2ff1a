"""The index of runs is at every moment what runs and tasks make it, also while that of an older chain is built."""

from typing import Any, cast

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import MemoryView
from tests.property.test_orchestration_fold import told
from tests.unit.orchestration.story import DOMAIN, RUN, START_MS, Story

from arco.core.scope import Scope
from arco.domains.orchestration.rows import RUNS, TASKS
from arco.domains.run_index.fold import RUN_INDEX_EVENT, RunIndexDomain
from arco.domains.run_index.rows import RUN_INDEX, RUN_INDEX_BUILDING, RunIndexRow
from arco.kernel.decide import UnitContext, decide
from arco.kernel.envelope import Envelope, Unit
from arco.kernel.manifest import CommitInputs
from arco.kernel.rooms import Rooms
from arco.kernel.workshop import FOLD_VERSION

INDEX = RunIndexDomain(Scope("acme", "prod"))
ROOMS = Rooms([DOMAIN, INDEX])
INPUTS = CommitInputs(now_ms=START_MS, commit_ulid="0" * 26, fold_version=FOLD_VERSION, epoch=1)
CONTEXT = UnitContext(INPUTS, "0" * 20, 0, 0)
SEEDS = st.integers(0, 2**32)


def fold(view: MemoryView, event: Envelope, rooms: Rooms = ROOMS) -> str:
    outcome, _ = decide(cast("Any", view), Unit((event,)), CONTEXT, rooms)
    return outcome.status


def a_step(rows: int) -> Envelope:
    payload = msgspec.Raw(msgspec.json.encode({"kind": "run_index_extended", "rows": rows}))
    return Envelope(
        event_type=RUN_INDEX_EVENT,
        event_version=1,
        idempotency_key="k",
        occurred_at="2026-01-01T00:00:00Z",
        source="t",
        payload=payload,
        event_id="01JGFJJZ00000000000000000A",
    )


def without_moment(row: RunIndexRow) -> RunIndexRow:
    return msgspec.structs.replace(row, row_version="", updated_at=0)


def check(view: MemoryView) -> None:
    """Every task so far reached has its row, which says what it and its run say, and nothing else has one."""
    place = view.get(RUN_INDEX_BUILDING, ("runs",))
    known = {RUN_INDEX.key_of(row): row for row in view.scan(RUN_INDEX, ())}
    expected: dict[Any, RunIndexRow] = {}
    for task in view.scan(TASKS, ()):
        run = view.get(RUNS, (task.born,))
        if run is None or task.asset_key is None or view.counted(RUN_INDEX_BUILDING) is None:
            continue
        if place is not None and TASKS.key_of(task) > (place.born, place.task_key):
            continue
        expected[TASKS.key_of(task)] = INDEX._row(task, run)
        assert known[TASKS.key_of(task)].row_version >= task.row_version
    assert {key: without_moment(row) for key, row in known.items()} == {
        key: without_moment(row) for key, row in expected.items()
    }


@given(seed=SEEDS)
@settings(max_examples=60)
def test_after_any_news_the_index_is_that_of_the_rows(seed: int) -> None:
    view = MemoryView({RUN_INDEX_BUILDING.name: {}})
    for event in told(seed).told:
        assert fold(view, event) in ("accepted", "rejected")
        check(view)


@given(seed=SEEDS, since=st.integers(0, 12), steps=st.lists(st.integers(1, 3), max_size=8))
@settings(max_examples=60)
def test_an_older_chain_gets_its_index_step_by_step_while_runs_go_on(seed: int, since: int, steps: list[int]) -> None:
    view, news = MemoryView(), told(seed).told
    for event in news[:since]:
        fold(view, event, Rooms([DOMAIN]))
    for index, event in enumerate(news[since:]):
        if index < len(steps):
            view.state.pop("outcomes", None)  # the steps of a test share their id
            assert fold(view, a_step(steps[index])) == "accepted"
            check(view)
        assert fold(view, event) in ("accepted", "rejected")
        check(view)
    for _ in range(10):
        view.state.pop("outcomes", None)
        fold(view, a_step(2))
    assert view.counted(RUN_INDEX_BUILDING) == 0
    assert INDEX.upkeep({RUN_INDEX_BUILDING.name: 0}) is None
    check(view)


def test_a_run_that_is_planned_before_it_is_asked_for_is_indexed_when_it_is() -> None:
    story = Story()
    plan = [{"key": "n.a", "asset_key": "n.a"}, {"key": "n.b"}]
    labels = {"run_kind": "backfill", "referenceId": "r", "source_type": "api"}
    story.tell("PlanCreated", run_id=RUN, plan_id="P", tasks=plan)
    story.tell("RunTriggered", run_id=RUN, plan_id="P", run_key="k", labels=labels)
    view = MemoryView({RUN_INDEX_BUILDING.name: {}})
    first, second = story.told
    fold(view, first)
    assert list(view.scan(RUN_INDEX, ())) == []
    fold(view, second)
    check(view)
    (row,) = view.scan(RUN_INDEX, ())
    assert (row.kind, row.reference_id, row.source_type, row.run_key) == ("backfill", "r", "api", "k")
    assert (row.org_id, row.workspace_id, row.schema_version) == ("acme", "prod", 1)
    assert (row.target_namespace, row.target_table, row.run_status, row.task_status) == ("n", "a", "RUNNING", "READY")


def test_what_a_run_counts_does_not_write_the_rows_of_its_other_tasks() -> None:
    story = Story()
    story.run_of({f"n.t{number}": [] for number in range(20)})
    story.through("n.t0")
    view = MemoryView({RUN_INDEX_BUILDING.name: {}})
    *news, last = story.told
    for event in news:
        fold(view, event)
    mark = view.savepoint()
    fold(view, last)
    written = [key for table, key in view.changed_since(mark) if table == RUN_INDEX.name]
    assert written == [(RUN, "n.t0")]


def test_the_index_has_the_contracts_columns_in_its_order() -> None:
    assert [field.name for field in RUN_INDEX.public_fields] == [
        *("schema_version", "org_id", "workspace_id", "run_id", "task_key", "plan_id", "run_key", "kind"),
        *("reference_id", "source_type", "run_status", "cancel_requested", "task_status", "asset_key"),
        *("target_namespace", "target_table", "partition_key", "attempt", "attempt_id", "requires_visible_output"),
        *("materialization_id", "output_visibility_state", "published_at", "publish_error", "delta_table"),
        *("delta_version", "delta_partition", "execution_lineage_ref", "started_at", "last_heartbeat_at"),
        *("triggered_at", "completed_at", "updated_at", "code_version", "error_message", "row_version"),
    ]
    kinds = {field.name: field.kind for field in RUN_INDEX.public_fields}
    assert {name for name, kind in kinds.items() if kind == "uint32"} == {"schema_version", "attempt"}
    assert {name for name, kind in kinds.items() if kind == "bool"} == {"cancel_requested", "requires_visible_output"}
    assert {name for name, kind in kinds.items() if kind == "int64"} == {
        *("published_at", "delta_version", "started_at", "last_heartbeat_at", "triggered_at", "completed_at"),
        "updated_at",
    }
    required = {field.name for field in RUN_INDEX.public_fields if not field.nullable}
    assert required == {
        *("schema_version", "org_id", "workspace_id", "run_id", "task_key", "plan_id", "run_status"),
        *("cancel_requested", "task_status", "attempt", "requires_visible_output", "triggered_at", "updated_at"),
        "row_version",
    }
