import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from tests.unit.edge.kit import an_endpoint, served

from arco.core.errors import InvalidInput
from arco.edge.codec import reply
from arco.edge.endpoint import TEMPLATE_KEY, resources, starlette_routes
from arco.edge.router import Router

TEMPLATES = (
    "/catalogs",
    "/catalogs/{catalog}",
    "/catalogs/{catalog}/schemas",
    "/catalogs/{c}/schemas/{s}/tables/{t}",
    "/lineage/{table_id}",
    "/lineage/edges",
    "/lineage/{id}/graph",
    "/catalogs/inventory",
)


def _router():
    return Router(resources([("/api", an_endpoint(template)) for template in TEMPLATES]))


def _find(path):
    scope = {"raw_path": path.encode(), "path": path}
    found = _router().find(scope)
    return (found.template, scope["path_params"]) if found else None


@pytest.mark.parametrize(
    ("path", "template", "params"),
    [
        ("/api/catalogs", "/api/catalogs", {}),
        ("/api/catalogs/a", "/api/catalogs/{catalog}", {"catalog": "a"}),
        ("/api/catalogs/inventory", "/api/catalogs/inventory", {}),
        ("/api/catalogs/inventory/schemas", "/api/catalogs/{catalog}/schemas", {"catalog": "inventory"}),
        (
            "/api/catalogs/a/schemas/b/tables/c",
            "/api/catalogs/{c}/schemas/{s}/tables/{t}",
            {"c": "a", "s": "b", "t": "c"},
        ),
        ("/api/lineage/edges", "/api/lineage/edges", {}),
        ("/api/lineage/edges/graph", "/api/lineage/{id}/graph", {"id": "edges"}),
        ("/api/catalogs/a%2Fb", "/api/catalogs/{catalog}", {"catalog": "a/b"}),
        ("/api/catalogs/a%252Fb", "/api/catalogs/{catalog}", {"catalog": "a%2Fb"}),
        ("/api/catalogs/%C3%A9t%C3%A9", "/api/catalogs/{catalog}", {"catalog": "été"}),
        ("/api/catalogs/a;x=1", "/api/catalogs/{catalog}", {"catalog": "a;x=1"}),
        ("/api/catalogs/..", "/api/catalogs/{catalog}", {"catalog": ".."}),
    ],
)
def test_a_path_finds_its_resource(path, template, params):
    assert _find(path) == (template, params)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "/api",
        "/api/",
        "/api/catalogs/",
        "/api//catalogs",
        "/API/catalogs",
        "/api/catalogs/a/",
        "/x/../api/catalogs",
    ],
)
def test_a_path_has_one_spelling(path):
    assert _find(path) is None


@pytest.mark.parametrize(
    "path", ["/api/catalogs/%00", "/api/catalogs/a%0Ab", "/api/catalogs/%ff", "http://evil/api", "*"]
)
def test_a_path_that_is_not_text_is_refused(path):
    with pytest.raises(InvalidInput):
        _find(path)


def test_two_templates_of_the_same_shape_are_a_mistake_of_ours():
    with pytest.raises(ValueError, match="same path"):
        Router(resources([("", an_endpoint("/a/{x}")), ("", an_endpoint("/a/{y}"))]))
    with pytest.raises(ValueError, match="declared twice"):
        resources([("", an_endpoint("/a")), ("", an_endpoint("/a"))])


async def _template(request):
    return reply([request.scope[TEMPLATE_KEY], request.method])


async def test_the_contracts_edges_path_is_405_for_get():
    app = served(an_endpoint("/lineage/{table_id}"), an_endpoint("/lineage/edges", method="POST"))
    answer = await app.ask("GET", "/api/v1/lineage/edges")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_head_is_answered_where_get_is():
    app = served(an_endpoint("/t", _template))
    assert (await app.ask("HEAD", "/api/v1/t")).status_code == 200


async def test_the_same_endpoints_work_in_a_plain_starlette_app():
    import httpx

    routes = starlette_routes([an_endpoint("/t/{name}"), an_endpoint("/t/{name}", method="PUT")], "/api")
    assert all(isinstance(route, Route) for route in routes)
    transport = httpx.ASGITransport(Starlette(routes=routes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/api/t/x")).json() == {"hello": "x"}
        assert (await client.put("/api/t/x")).json() == {"hello": "x"}
