"""The browser read path over HTTP: catalog.md 6 and 11.5, abuse cases A-18 to A-20."""

import io
import json
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest
from tests.http.world import SCOPE, World, a_table, a_world, on_disk, problem

from arco.core.scope import Scope

OTHER = Scope("local", "other")


@pytest.fixture
async def world():
    async with a_world() as world:
        yield world


@pytest.fixture
async def api(world: World):
    async with world.client() as client:
        await a_table(client)
        await world.quiet()
        yield client


async def readable(api: httpx.AsyncClient, domain: str = "catalog") -> list[str]:
    answer = await api.get(f"/browser/files/{domain}")
    assert answer.status_code == 200, answer.text
    return answer.json()["paths"]


async def minted(api: httpx.AsyncClient, paths: list[str], **fields: object) -> httpx.Response:
    return await api.post("/browser/urls", json={"domain": "catalog", "paths": paths, **fields})


async def test_a18_38_a_minted_url_is_read_without_credentials_and_shows_the_row(world: World, api: httpx.AsyncClient):
    paths = await readable(api)
    answer = await minted(api, paths)
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    assert [one["path"] for one in answer.json()["urls"]] == paths
    names: list[str] = []
    for one in answer.json()["urls"]:
        found = await api.get(one["url"])
        assert found.status_code == 200 and found.headers["content-type"] == "application/vnd.apache.parquet"
        names += pq.read_table(io.BytesIO(found.content)).column("name").to_pylist()
    assert "orders" in names
    assert [record["resource"] for record in world.audit("URL_MINT_ALLOW")] == [f"browser/urls:catalog:{len(paths)}"]


async def test_a18_36_times_are_capped_and_no_bad_path_leaves_a_url(api: httpx.AsyncClient):
    paths = await readable(api)
    assert (await minted(api, paths)).json()["ttl_seconds"] == 900
    assert (await minted(api, paths, ttl_seconds=999_999)).json()["ttl_seconds"] == 3600
    assert (await minted(api, [])).json() == {"urls": [], "ttl_seconds": 900}
    assert problem(await minted(api, paths, ttl_seconds=0))[:2] == (400, "BAD_REQUEST")
    refused = await minted(api, [*paths, "snapshots/catalog/tables/x.parquet"])
    assert problem(refused)[:2] == (403, "FORBIDDEN") and "http" not in refused.text


async def test_a18_37_commits_are_read_in_sql_only_and_an_empty_workspace_has_no_files(api: httpx.AsyncClient):
    refused = await minted(api, ["snapshots/catalog/commits/00000000000000000001-x.parquet"])
    assert problem(refused)[:2] == (403, "PROJECTION_ONLY_ARTIFACT") and "system.catalog.commits" in refused.text
    assert problem(await minted(api, ["snapshots/x/commits.parquet"]))[1] == "PROJECTION_ONLY_ARTIFACT"
    async with a_world() as fresh, fresh.client() as nobody:
        assert (await minted(nobody, [])).status_code == 404
        assert (await nobody.get("/browser/files/catalog")).status_code == 404


@pytest.mark.parametrize("path", ["../x", "/x", "a\\b", "%2e%2e", "a/../b", "a\nb", ""])
async def test_a18_paths_that_could_leave_the_workspace_are_refused(world: World, api: httpx.AsyncClient, path: str):
    refused = await minted(api, [path])
    assert problem(refused)[:2] == (403, "FORBIDDEN")
    assert [record["decisionReason"] for record in world.audit("URL_MINT_DENY")] == ["path_traversal"]


async def test_a18_nothing_but_current_files_of_public_tables_is_signed(world: World, api: httpx.AsyncClient):
    store = world.in_scope()
    every = [str(info.key) for info in await store.list_page("")]
    current = {path for domain in ("catalog", "lineage") for path in await readable(api, domain)}
    await a_table(api, "customers")
    await world.quiet()
    old = current - set(await readable(api))
    assert old, "a change made a new file"
    private = [path for path in every if path not in current]
    assert {path.split("/")[0] for path in private} >= {"ledger", "manifests", "commits"}
    for path in [*private, *old, "locks/catalog.lock.json", "state/x", "_catalog/x", "auth-index/x"]:
        refused = await minted(api, [path])
        assert refused.status_code == 403, path
        assert "signature" not in refused.text
    reasons = {record["decisionReason"] for record in world.audit("URL_MINT_DENY")}
    assert reasons <= {"not_in_allowlist", "internal_artifact"}


async def test_a18_unknown_domains_are_named_and_audited(world: World, api: httpx.AsyncClient):
    refused = await api.post("/browser/urls", json={"domain": "core", "paths": []})
    assert problem(refused) == (400, "BAD_REQUEST", "Unknown domain: core")
    assert world.audit("URL_MINT_DENY")[0]["decisionReason"] == "unknown_domain"
    assert (await api.post("/browser/urls", json={"domain": "LINEAGE", "paths": []})).status_code == 200


async def test_a19_a_url_is_for_reading_one_object_and_nothing_else(world: World, api: httpx.AsyncClient):
    url = (await minted(api, await readable(api))).json()["urls"][0]["url"]
    assert (await api.get(url)).status_code == 200
    for changed in (f"{url}&x=y", f"{url}0", url.replace("expires=", "expires=9"), url.replace("snapshots", "ledger")):
        assert (await api.get(changed)).status_code == 403, changed
    assert (await api.get(url.replace(".parquet?", ".json?"))).status_code == 403
    assert (await api.get(url.partition("?")[0])).status_code == 403
    for method in ("PUT", "POST", "DELETE"):
        assert (await api.request(method, url)).status_code == 405
    world.clock.ahead_ms = 901_000
    assert (await api.get(url)).status_code == 403


async def test_a19_a_url_is_read_in_ranges_as_engines_do(api: httpx.AsyncClient):
    url = (await minted(api, await readable(api))).json()["urls"][0]["url"]
    whole = (await api.get(url)).content
    head = await api.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(whole)), b"")
    for asked, expected in (
        ("bytes=0-3", whole[:4]),
        ("bytes=-8", whole[-8:]),
        (f"bytes={len(whole) - 2}-", whole[-2:]),
    ):
        part = await api.get(url, headers={"Range": asked})
        assert (part.status_code, part.content) == (206, expected)
        assert part.headers["content-range"].endswith(f"/{len(whole)}")
    assert (await api.get(url, headers={"Range": f"bytes={len(whole)}-"})).status_code == 416
    assert (await api.get(url, headers={"Range": "pages=1-2"})).content == whole


async def test_a20_no_url_is_in_any_log_metric_audit_or_error(world: World, api: httpx.AsyncClient):
    answer = await minted(api, await readable(api))
    url = answer.json()["urls"][0]["url"]
    signature = url.rpartition("signature=")[2]
    await api.get(url)
    await api.get(f"{url}x")
    await api.get(url.replace("/browser/objects", "/browser/nothing"))
    texts = [json.dumps(record) for record in world.records]
    texts.append((await api.get("http://localhost/metrics")).text)
    texts.append((await api.get(f"{url}x")).text)
    texts.append((await api.post("/query?format=json", json={"sql": "SELECT * FROM system.access.audit"})).text)
    for text in texts:
        assert signature not in text
        assert "signature=" not in text
    assert "signed_url_minted_total" in texts[-3]


async def test_a19_urls_of_a_server_that_starts_again_stay_good(tmp_path: Path):
    async with a_world(storage=on_disk(tmp_path)) as world, world.client() as api:
        await a_table(api)
        await world.quiet()
        url = (await minted(api, await readable(api))).json()["urls"][0]["url"]
    async with a_world(storage=on_disk(tmp_path)) as again, again.client() as api:
        assert (await api.get(url)).status_code == 200
        assert SCOPE.prefix not in url.partition("?")[0]
