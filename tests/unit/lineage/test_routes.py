"""`/lineage` over HTTP: the contract's shapes, and what we added to them."""

from typing import Any

import httpx
import pytest
from tests.unit.lineage.fakes import NOW_MS, FoldingDesk, MemoryReader, MemorySnapshot, StillClock, edge

from arco.core.entropy import MintedIds, SystemEntropy
from arco.core.log import SilentLog
from arco.core.metrics import Registry
from arco.core.offload import Inline
from arco.domains.lineage.index_cache import IndexCache
from arco.domains.lineage.queries import EDGES_MAX
from arco.domains.lineage.rows import LINEAGE_EDGES, EdgeRow
from arco.domains.lineage.rules import NewEdge, minted
from arco.edge.app import AppParts, build_app
from arco.edge.auth import DevelopmentScope
from arco.edge.context import ApiServices
from arco.edge.lifecycle import Lifecycle
from arco.edge.openapi import ApiInfo, openapi_document
from arco.edge.pages import CursorCodec
from arco.routes.public.lineage import routes
from arco.storage.memory import MemoryStore

SRC_TGT = "ecd2ff1f12200c67859969f53117192017a902d4c311f478e14d1ac20c7651eb"
MOUNTED = [("/api/v1", endpoint) for endpoint in routes]


class World:
    """An app over a desk and a snapshot of what the test put there."""

    def __init__(self, *edges: NewEdge, empty: bool = False) -> None:
        clock = StillClock()
        ids = MintedIds(clock, SystemEntropy())
        self.desk = FoldingDesk()
        reader = MemoryReader(None if empty else MemorySnapshot(minted(edges, NOW_MS)))
        services = ApiServices(
            clock=clock,
            ids=ids,
            reader_for=lambda _scope: reader,
            desk_for=lambda _scope: self.desk,
            store_for=lambda _scope: MemoryStore(clock),
            cursors=CursorCodec(b"secret"),
            lineage=IndexCache(clock, Inline(), SilentLog()),
        )
        parts = AppParts(
            role="api",
            clock=clock,
            ids=ids,
            log=SilentLog(),
            registry=Registry(),
            lifecycle=Lifecycle(),
            authenticator=DevelopmentScope(),
        )
        transport = httpx.ASGITransport(app=build_app(MOUNTED, services, parts))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1")

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.client.get(path, params=params)

    async def post(self, body: Any) -> httpx.Response:
        return await self.client.post("/lineage/edges", json=body)


async def test_one_hop_has_exactly_the_shape_of_the_contract() -> None:
    response = await World(edge("src", "tgt")).get("/lineage/tgt")
    assert response.status_code == 200
    assert response.json() == {
        "table_id": "tgt",
        "upstream": [
            {
                "id": SRC_TGT,
                "source_id": "src",
                "target_id": "tgt",
                "edge_type": "derives_from",
                "created_at": "2026-01-01T00:00:05.123+00:00",
            }
        ],
        "downstream": [],
    }


async def test_a_run_is_shown_where_one_was_named() -> None:
    found = (await World(edge("src", "tgt", run="r1")).get("/lineage/src")).json()
    assert [shown["run_id"] for shown in found["downstream"]] == ["r1"]


@pytest.mark.parametrize("empty", [True, False])
async def test_unknown_ids_and_empty_workspaces_have_empty_lists(empty: bool) -> None:
    response = await World(empty=empty).get("/lineage/nothing")
    assert (response.status_code, response.json()) == (
        200,
        {"table_id": "nothing", "upstream": [], "downstream": []},
    )


async def test_depth_adds_nodes_edges_and_truncated() -> None:
    found = (await World(edge("a", "b"), edge("b", "c"), edge("c", "a")).get("/lineage/a", depth="2")).json()
    assert found["nodes"] == [
        {"id": "c", "distance": 1, "direction": "upstream"},
        {"id": "b", "distance": 2, "direction": "upstream"},
        {"id": "b", "distance": 1, "direction": "downstream"},
        {"id": "c", "distance": 2, "direction": "downstream"},
    ]
    assert [len(found[name]) for name in ("upstream", "downstream", "edges")] == [2, 2, 3]
    assert found["truncated"] is False


@pytest.mark.parametrize("depth", ["0", "all"])
async def test_depth_all_follows_edges_to_their_end(depth: str) -> None:
    chain = [edge(f"n{number}", f"n{number + 1}") for number in range(100)]
    found = (await World(*chain).get("/lineage/n0", depth=depth, direction="downstream")).json()
    assert found["nodes"][-1] == {"id": "n100", "distance": 100, "direction": "downstream"}
    assert found["upstream"] == []


async def test_a_limit_that_cuts_is_said_out_loud() -> None:
    found = (await World(edge("a", "b"), edge("a", "c")).get("/lineage/a", limit=1)).json()
    assert (len(found["downstream"]), found["truncated"]) == (1, True)


async def test_the_short_form_says_that_it_was_cut() -> None:
    found = (await World(*(edge("a", f"b{number}") for number in range(EDGES_MAX + 1))).get("/lineage/a")).json()
    assert (len(found["downstream"]), found["truncated"]) == (EDGES_MAX, True)
    assert "nodes" not in found


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"depth": "65"}, "depth must be a number from 1 to 64, or all"),
        ({"depth": "-1"}, "depth must be a number from 1 to 64, or all"),
        ({"depth": "٣"}, "depth must be a number from 1 to 64, or all"),
        ({"depth": "many"}, "depth must be a number from 1 to 64, or all"),
        ({"direction": "sideways"}, "direction must be upstream, downstream or both"),
        ({"limit": "0"}, "limit must be greater than 0"),
        ({"limit": "10001"}, "limit must be less than or equal to 10000"),
    ],
)
async def test_parameters_out_of_range_are_refused_with_the_fix(params: dict[str, str], message: str) -> None:
    response = await World().get("/lineage/a", **params)
    assert response.status_code == 400
    assert (response.json()["code"], response.json()["message"]) == ("BAD_REQUEST", message)


async def test_posted_edges_are_counted_and_recorded_with_their_actor() -> None:
    world = World()
    edges = [{"source_id": "src", "target_id": "tgt", "edge_type": None}, {"source_id": "a", "target_id": "b"}]
    response = await world.post({"edges": edges})
    assert (response.status_code, response.json()) == (201, {"added": 2})
    kept = {row.id: row for row in world.desk.view.rows(LINEAGE_EDGES)}
    assert isinstance(kept[SRC_TGT], EdgeRow)
    assert all(source.startswith("api:") for source in world.desk.sources)


async def test_edges_against_the_rules_are_400_with_the_contracts_words() -> None:
    response = await World().post({"edges": [{"source_id": "a\0", "target_id": "b"}]})
    assert response.status_code == 400
    assert response.json()["message"] == "edges[0].source_id must not contain control characters (found U+0000)"


async def test_edges_is_no_id() -> None:
    response = await World().get("/lineage/edges")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


async def test_ids_with_slashes_and_spaces_are_found_percent_encoded() -> None:
    found = (await World(edge("s3://lake/raw data", "b")).get("/lineage/s3:%2F%2Flake%2Fraw%20data")).json()
    assert found["table_id"] == "s3://lake/raw data"
    assert [shown["target_id"] for shown in found["downstream"]] == ["b"]


def test_the_openapi_document_describes_both_paths() -> None:
    document = openapi_document(MOUNTED, ApiInfo(title="arco", version="0"))
    shown = document["paths"]["/api/v1/lineage/{table_id}"]["get"]
    names = [parameter["name"] for parameter in shown["parameters"]]
    assert names == ["table_id", "depth", "direction", "limit"]
    assert "201" in document["paths"]["/api/v1/lineage/edges"]["post"]["responses"]
