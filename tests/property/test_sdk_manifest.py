"""Whatever project somebody writes: the server accepts its manifest, and both read partition keys alike."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fakes import FrozenClock, SeededEntropy

from arco import AssetIn, asset, daily, hourly, monthly, static, tenant, yearly
from arco.core.entropy import MintedIds
from arco.domains.orchestration.plan.graph import Graph, selected
from arco.domains.orchestration.plan.manifest import Manifest, problems_of
from arco.domains.orchestration.plan.request import checked_key, dimensions_of, key_of_texts
from arco.sdk.assets import Asset
from arco.sdk.loading import AssetSet
from arco.sdk.manifest import Deployment, manifest_of
from arco.sdk.partitions import Dimension, holding, partition_of

ZONES = available_timezones()
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=6)
TIMES = {"hour": hourly, "day": daily, "month": monthly, "year": yearly}
MOMENTS = st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(9998, 12, 31), timezones=st.just(dt.UTC))  # noqa: DTZ001  # its bounds have none
DEPLOYMENT = Deployment(tenant_id="t", workspace_id="w", code_version_id="c", deployed_at="2025-01-15T09:00:00Z")


@st.composite
def dimensions(draw: st.DrawFn) -> Dimension:
    name = draw(NAMES)
    kind = draw(st.sampled_from([*TIMES, "static", "tenant"]))
    if kind == "static":
        return static(name, draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True)))
    return tenant(name) if kind == "tenant" else TIMES[kind](name)


def _window(key: str) -> AssetIn:
    return AssetIn(key, mapping="window", window=3)


def _latest(key: str) -> AssetIn:
    return AssetIn(key, mapping="latest")


MAPPINGS: list[Callable[[str], AssetIn]] = [AssetIn, _window, _latest]


@st.composite
def projects(draw: st.DrawFn) -> list[Asset]:
    """Assets that read only what came before them."""
    keys = draw(st.lists(st.tuples(NAMES, NAMES).map(".".join), min_size=1, max_size=5, unique=True))
    made: list[Asset] = []
    for key in keys:
        reads = {f"input_{index}": one.key for index, one in enumerate(made) if draw(st.booleans())}
        mapping = draw(st.sampled_from(MAPPINGS))
        function = _function(list(reads))
        one = asset(
            key=key,
            partitions=draw(st.lists(dimensions(), max_size=2, unique_by=lambda found: found.name)),
            inputs={name: mapping(upstream) for name, upstream in reads.items()},
            retries=draw(st.integers(0, 99)),
            description=draw(TEXTS),
            tags={draw(TEXTS): draw(TEXTS)},
        )(function)
        made.append(one)
    return made


def _function(parameters: list[str]) -> Any:
    space: dict[str, Any] = {}
    exec(f"def made({', '.join(parameters)}): ...", space)
    return space["made"]


@given(projects(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_the_server_accepts_every_manifest_and_sees_the_same_graph(project: list[Asset], order: Any) -> None:
    ids = MintedIds(FrozenClock(0), SeededEntropy(1))
    by_key = {one.key: ids.uuid7() for one in project}
    built = manifest_of(AssetSet(project), by_key, DEPLOYMENT, project=Path())
    manifest = msgspec.json.decode(built.body, type=Manifest)
    assert problems_of(manifest, ZONES) == []
    graph = Graph(manifest)
    assert {key: set(reads) for key, reads in graph.reads.items()} == {one.key: set(one.upstreams) for one in project}
    everything = selected(graph, list(by_key), include_upstream=True, include_downstream=True)
    assert list(everything) == sorted(by_key)
    order.shuffle(project)
    assert manifest_of(AssetSet(project), by_key, DEPLOYMENT, project=Path()) == built


@given(st.lists(dimensions(), max_size=3, unique_by=lambda one: one.name), st.data())
@settings(max_examples=150, deadline=None)
def test_a_partition_has_one_key_on_both_sides(cut: list[Dimension], data: st.DataObject) -> None:
    made = asset(key="a.b", partitions=cut)(_function([]))
    built = manifest_of(AssetSet([made]), {"a.b": "x"}, DEPLOYMENT, project=Path())
    graph = Graph(msgspec.json.decode(built.body, type=Manifest))
    values = {}
    for one in cut:
        if one.kind == "time":
            values[one.name] = holding(one, data.draw(MOMENTS))
        else:
            values[one.name] = data.draw(st.sampled_from(one.values) if one.values else TEXTS)
    ours = partition_of(cut, values)
    theirs = dimensions_of(graph, ["a.b"])
    assert checked_key(theirs, ours.key) == (ours.key or None)
    assert partition_of(cut, ours.key) == ours
    texts = {name: value.isoformat() if isinstance(value, dt.date) else str(value) for name, value in values.items()}
    if not any(text[1:2] == ":" for text in texts.values()):  # a text that looks tagged is read as such by the server
        assert key_of_texts(theirs, texts) == (ours.key or None)
