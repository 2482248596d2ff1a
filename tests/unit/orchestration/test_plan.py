"""From definitions and a request to the tasks of a run: orchestration.md 9 and the conformance list, 54, 55, 59."""

from typing import Any

import msgspec
import pytest

from arco.core.errors import InvalidInput
from arco.domains.orchestration.events import TaskDef
from arco.domains.orchestration.plan.compiler import Plan, compiled
from arco.domains.orchestration.plan.graph import Graph, Reason, selected
from arco.domains.orchestration.plan.manifest import Manifest, problems_of
from arco.domains.orchestration.plan.request import checked_key, dimensions_of, key_of_texts

DAY: dict[str, Any] = {"isPartitioned": True, "dimensions": [{"name": "date", "kind": "time", "granularity": "day"}]}
DIAMOND = {"a.a": [], "b.b": ["a.a"], "c.c": ["a.a"], "d.d": ["b.b", "c.c"]}


def asset(key: str, reads: Any = (), **fields: Any) -> dict[str, Any]:
    namespace, name = key.split(".", 1)
    upstreams = [one.split(".", 1) for one in reads]
    dependencies = [{"upstreamKey": {"namespace": space, "name": rest}} for space, rest in upstreams]
    return {"key": {"namespace": namespace, "name": name}, "id": f"id-{key}", "dependencies": dependencies, **fields}


def manifest(*assets: dict[str, Any], **fields: Any) -> Manifest:
    body = {"manifestVersion": "1.0", "codeVersionId": "01J", "assets": list(assets), **fields}
    return msgspec.convert(body, Manifest)


def graph_of(plan: Any, **fields: Any) -> Graph:
    return Graph(manifest(*(asset(key, reads, **fields) for key, reads in plan.items())))


def plan_of(graph: Graph, *roots: str, up: bool = False, down: bool = False, key: str | None = None) -> Plan:
    return compiled(graph, selected(graph, roots, include_upstream=up, include_downstream=down), key)


def test_a_selection_is_its_roots_and_what_was_asked_for_besides() -> None:
    graph = graph_of(DIAMOND)
    assert list(plan_of(graph, "b.b").reasons) == ["b.b"]
    assert list(plan_of(graph, "b.b", up=True).reasons) == ["a.a", "b.b"]
    assert list(plan_of(graph, "b.b", down=True).reasons) == ["b.b", "d.d"]
    # c.c is upstream of d.d, which is downstream of b.b: it is taken as it is.
    assert list(plan_of(graph, "b.b", up=True, down=True).reasons) == ["a.a", "b.b", "d.d"]


def test_55_a_task_waits_for_what_is_selected_and_for_nothing_else() -> None:
    tasks = {task.key: task.depends_on for task in plan_of(graph_of(DIAMOND), "b.b", down=True).tasks}
    assert tasks == {"b.b": [], "d.d": ["b.b"]}


def test_everything_selected_has_a_reason() -> None:
    assert plan_of(graph_of(DIAMOND), "d.d", up=True).reasons == {
        "a.a": Reason("upstream", "b.b"),
        "b.b": Reason("upstream", "d.d"),
        "c.c": Reason("upstream", "d.d"),
        "d.d": Reason("root"),
    }


def test_the_same_request_is_the_same_plan() -> None:
    one = plan_of(graph_of(DIAMOND), "b.b", "c.c", up=True)
    other = plan_of(graph_of(dict(reversed(DIAMOND.items()))), "c.c", "b.b", "c.c", up=True)
    assert one == other
    assert one.fingerprint != plan_of(graph_of(DIAMOND), "b.b", up=True).fingerprint


def test_without_settings_a_task_is_the_contracts() -> None:
    (task,) = plan_of(graph_of({"a.a": []}), "a.a").tasks
    assert (task.max_attempts, task.heartbeat_timeout_sec, task.requires_visible_output) == (3, 300, True)
    assert task == TaskDef(key="a.a", asset_key="a.a", requires_visible_output=True, planned_as="root")


def test_execution_settings_are_honoured() -> None:
    settings = {
        "maxRetries": 5,
        "retryDelaySeconds": 1,
        "timeoutSeconds": 60,
        "heartbeatTimeoutSeconds": 30,
        "queue": "gpu",
        "priority": 7,
        "concurrencyKey": "warehouse",
    }
    (task,) = plan_of(graph_of({"a.a": []}, execution=settings), "a.a").tasks
    assert (task.max_attempts, task.retry_delay_sec, task.timeout_sec, task.heartbeat_timeout_sec) == (6, 1, 60, 30)
    assert (task.worker_queue, task.priority, task.concurrency_key) == ("gpu", 7, "warehouse")


def test_unknown_assets_are_named_all_of_them() -> None:
    with pytest.raises(InvalidInput, match=r"unknown asset keys: x\.x, y\.y"):
        plan_of(graph_of(DIAMOND), "a.a", "y.y", "x.x")


def test_of_an_unknown_asset_the_one_that_was_meant_is_named_or_some_that_there_are() -> None:
    graph = graph_of({"raw.orders": [], "marts.spending": ["raw.orders"]})
    with pytest.raises(InvalidInput, match=r"unknown asset keys: raw\.order; did you mean raw\.orders\?"):
        plan_of(graph, "raw.order")
    with pytest.raises(InvalidInput, match=r"unknown asset keys: x\.x; there are marts\.spending, raw\.orders$"):
        plan_of(graph, "x.x")
    many = graph_of({f"n.asset_{number:04}": [] for number in range(2_001)})
    with pytest.raises(InvalidInput, match=r"there are n\.asset_0000, .*n\.asset_0004 and 1,996 more$"):
        plan_of(many, "n.asset_x")


def test_a_circle_of_assets_is_refused() -> None:
    with pytest.raises(InvalidInput, match="in a circle"):
        graph_of({"a.a": ["b.b"], "b.b": ["a.a"]})


def test_each_asset_gets_the_part_of_the_partition_that_it_knows() -> None:
    region = {"name": "region", "kind": "static", "values": ["eu", "us"]}
    both = {"isPartitioned": True, "dimensions": [*DAY["dimensions"], region]}
    graph = Graph(
        manifest(asset("a.a"), asset("b.b", ["a.a"], partitioning=DAY), asset("c.c", ["b.b"], partitioning=both))
    )
    key = key_of_texts(dimensions_of(graph, ["c.c"]), {"date": "2025-01-15", "region": "eu"})
    assert key == "date=d:2025-01-15,region=s:ZXU"
    tasks = {task.key: task.partition_key for task in plan_of(graph, "c.c", up=True, key=key).tasks}
    assert tasks == {"a.a": None, "b.b": "date=d:2025-01-15", "c.c": key}
    with pytest.raises(InvalidInput, match=r"c\.c is partitioned by region"):
        plan_of(graph, "b.b", down=True, key="date=d:2025-01-15")


@pytest.mark.parametrize(
    ("granularity", "text", "key"),
    [
        ("year", "2025", "x=d:2025-01-01"),
        ("month", "2025-02", "x=d:2025-02-01"),
        ("month", "2025-02-01", "x=d:2025-02-01"),
        ("day", "2025-02-03", "x=d:2025-02-03"),
        ("day", "d:2025-02-03", "x=d:2025-02-03"),
        ("hour", "2025-02-03T04", "x=t:2025-02-03T04:00:00.000000Z"),
        ("hour", "2025-02-03T04:00:00Z", "x=t:2025-02-03T04:00:00.000000Z"),
        ("hour", "t:2025-02-03T04:00:00.000000Z", "x=t:2025-02-03T04:00:00.000000Z"),
        ("year", "2025-02-01", None),
        ("month", "2025-02-03", None),
        ("day", "2025-02", None),
        ("day", "soon", None),
        ("hour", "2025-02-03T04:30", None),
        ("hour", "2025-02-03", "x=t:2025-02-03T00:00:00.000000Z"),
        ("hour", "2025-02-03T06:00:00+02:00", "x=t:2025-02-03T04:00:00.000000Z"),
        ("hour", "0001-01-01T00:00+10:00", None),
        ("hour", "9999-12-31T23:00-10:00", None),
        ("day", "2025-W01-1", None),
        ("hour", "2025-W01-1T10", None),
        ("day", "2025-02-03\n", None),
        ("day", "s:2025-02-03", None),
    ],
)
def test_54_times_are_written_as_people_do_and_aligned(granularity: str, text: str, key: str | None) -> None:
    shape = {"isPartitioned": True, "dimensions": [{"name": "x", "kind": "time", "granularity": granularity}]}
    dimensions = dimensions_of(graph_of({"a.a": []}, partitioning=shape), ["a.a"])
    if key is None:
        with pytest.raises(InvalidInput, match="beginning of a"):
            key_of_texts(dimensions, {"x": text})
    else:
        assert key_of_texts(dimensions, {"x": text}) == key
        assert checked_key(dimensions, key) == key


@pytest.mark.parametrize(
    ("granularity", "key", "canonical"),
    [
        ("day", "x=s:MjAyNS0wMS0xNQ", "x=d:2025-01-15"),
        ("month", "x=s:MjAyNS0wMQ", "x=d:2025-01-01"),
        ("hour", "x=s:MjAyNS0wMS0xNVQxMA", "x=t:2025-01-15T10:00:00.000000Z"),
    ],
)
def test_54_a_time_that_older_clients_write_as_a_text_is_the_time(granularity: str, key: str, canonical: str) -> None:
    shape = {"isPartitioned": True, "dimensions": [{"name": "x", "kind": "time", "granularity": granularity}]}
    dimensions = dimensions_of(graph_of({"a.a": []}, partitioning=shape), ["a.a"])
    assert checked_key(dimensions, key) == canonical
    assert checked_key(dimensions, canonical, time_texts=False) == canonical
    with pytest.raises(InvalidInput, match=f"with the tag {canonical[2]}:"):
        checked_key(dimensions, key, time_texts=False)


def test_54_a_partition_must_fit_the_assets() -> None:
    graph = Graph(manifest(asset("a.a"), asset("b.b", partitioning=DAY)))
    dated = dimensions_of(graph, ["b.b"])
    for dimensions, given, because in (
        (dated, {}, "say date"),
        (dated, {"date": "2025-01-15", "hour": "1"}, "leave out hour"),
        ([], {"date": "2025-01-15"}, "not at all"),
    ):
        with pytest.raises(InvalidInput, match=because):
            key_of_texts(dimensions, given)
    assert key_of_texts([], {}) is None
    with pytest.raises(InvalidInput, match="must be the beginning of a day"):
        checked_key(dated, "date=s:MjAyNQ")
    with pytest.raises(InvalidInput, match="partitioned differently"):
        dimensions_of(graph, ["a.a", "b.b"])


def test_59_everything_wrong_with_a_manifest_is_said_at_once() -> None:
    wrong = manifest(
        asset("a.a", ["x.x"]),
        {**asset("a.a"), "id": ""},
        asset("b.B"),
        asset("c.c", execution={"timeoutSeconds": 0, "queue": "", "concurrencyKey": "*"}),
        asset("d.d", partitioning={"isPartitioned": True, "dimensions": [{"name": "t", "kind": "time"}]}),
        manifestVersion="",
        schedules=[
            {"id": "s", "cron": "* *", "assets": ["z.z"], "timezone": "Mars/Base"},
            {"id": "s", "cron": "* * * * *", "assets": []},
        ],
    )
    text = "\n".join(problems_of(wrong, ["UTC"]))
    for part in (
        "manifestVersion is empty",
        "a.a is assets[0] already",
        "assets[1].id is empty",
        "assets[2].key",
        "execution.timeoutSeconds must be 1 to",
        "execution.queue must have",
        "* stands for the whole workspace",
        "say year, month, day or hour",
        "x.x is not among the assets",
        "schedules[0].cron needs 5 fields",
        "Mars/Base is no IANA time zone",
        "z.z is not among the assets",
        "schedules[1].id: s is there twice",
    ):
        assert part in text, part
    assert problems_of(manifest(asset("a.a"), asset("b.b", ["a.a"])), ["UTC"]) == []
    assert problems_of(manifest(), []) == ["assets is empty: deploy at least one"]
