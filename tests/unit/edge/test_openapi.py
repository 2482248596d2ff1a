import inspect
import json
import re
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from tests.unit.edge.kit import Served, TurnedClock, an_endpoint

import arco.edge
from arco.core.log import SilentLog
from arco.core.metrics import Registry
from arco.edge.codec import reply
from arco.edge.health import Health, version_view
from arco.edge.lifecycle import Lifecycle
from arco.edge.openapi import ApiInfo, openapi_document, openapi_endpoint
from arco.edge.pages import PageQuery
from arco.edge.probes import health_endpoints, metrics_endpoint
from arco.edge.problems import CODES
from arco.edge.reference import reference_endpoints


class ColumnRequest(msgspec.Struct, kw_only=True):
    """One column of a table."""

    name: str
    data_type: Annotated[str, msgspec.Meta(description="Free text, kept as it is.")]
    nullable: bool = True
    description: str | None = None


class CreateTableRequest(msgspec.Struct, kw_only=True):
    """A table to be."""

    name: Annotated[str, msgspec.Meta(min_length=1, description="Unique in its schema.")]
    columns: list[ColumnRequest]
    location: str | None = None


class TableView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A table as it is."""

    id: str
    name: str
    columns: tuple[ColumnRequest, ...]
    properties: dict[str, str]
    comment: str | None = None


class TablesView(msgspec.Struct, omit_defaults=True):
    """A page of tables."""

    tables: list[TableView]
    next_cursor: str | None = None


async def list_tables(_request):
    """List the tables of a schema, by name."""
    return reply([])


async def create_table(_request):
    return reply([])


async def read_table(_request):
    return reply([])


INFO = ApiInfo(title="arco", version="0.1.0", description="A catalog. Use `GET /health`.")
TABLES = "/catalogs/{catalog}/tables"
ENDPOINTS = [
    (
        "/api/v1",
        an_endpoint(
            TABLES,
            list_tables,
            summary="List tables",
            tag="tables",
            query=PageQuery,
            errors=(404,),
            responses={200: TablesView},
        ),
    ),
    (
        "/api/v1",
        an_endpoint(
            TABLES,
            create_table,
            "POST",
            summary="Create a table",
            tag="tables",
            request=CreateTableRequest,
            responses={201: TableView},
            errors=(404, 409),
            headers=("Idempotency-Key",),
            parameters={"catalog": "The catalog's name."},
        ),
    ),
    (
        "/api/v1",
        an_endpoint(TABLES + "/{table}", read_table, responses={200: TableView, 304: None}, headers=("If-None-Match",)),
    ),
    ("/api/v1", an_endpoint(TABLES + "/{table}", read_table, "DELETE", responses={204: None}, headers=("If-Match",))),
    (
        "/api/v1",
        an_endpoint(
            "/query",
            create_table,
            "POST",
            responses={200: list[dict[str, object]]},
            media=("application/json", "application/vnd.apache.arrow.stream"),
        ),
    ),
]


def _everything():
    clock = TurnedClock()
    health = Health([], role="api", version="1", clock=clock, log=SilentLog(), lifecycle=Lifecycle())
    public = [
        *health_endpoints(health, version_view({}, service="arco-api", package_version="1")),
        metrics_endpoint(Registry()),
        *reference_endpoints("0.1.0"),
    ]
    mounted = [*ENDPOINTS, *(("", endpoint) for endpoint in public)]
    return [*mounted, ("", openapi_endpoint(mounted, INFO))]


def _operation(path, method):
    return openapi_document(ENDPOINTS, INFO)["paths"]["/api/v1" + path][method]


def test_the_document_is_valid_openapi():
    document = json.loads(msgspec.json.encode(openapi_document(_everything(), INFO)))
    validate(document, cls=OpenAPIV31SpecValidator)


def test_every_operation_has_a_name_of_its_own():
    document = openapi_document(_everything(), INFO)
    names = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names)) == len(_everything())
    assert "test_openapi_list_tables" in names


def test_parameters_come_from_path_query_and_headers():
    parameters = {each["name"]: each for each in _operation(TABLES, "get")["parameters"]}
    assert parameters["catalog"] == {"name": "catalog", "in": "path", "required": True, "schema": {"type": "string"}}
    limit = parameters["limit"]
    assert (limit["in"], limit["schema"]) == (
        "query",
        {"type": "integer", "minimum": 1, "maximum": 500, "default": 100},
    )
    assert limit["description"] == "Items of a page."
    assert parameters["cursor"]["schema"] == {"type": "string"}
    created = {each["name"]: each for each in _operation(TABLES, "post")["parameters"]}
    assert created["catalog"]["description"] == "The catalog's name."
    assert created["Idempotency-Key"]["in"] == "header"
    assert "UUIDv7" in created["Idempotency-Key"]["description"]


def test_bodies_and_answers_are_named_schemas_with_their_docs():
    document = openapi_document(ENDPOINTS, INFO)
    create = document["paths"]["/api/v1" + TABLES]["post"]
    assert create["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/CreateTableRequest"
    }
    assert create["responses"]["201"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TableView"
    }
    schema = document["components"]["schemas"]["CreateTableRequest"]
    assert schema["description"] == "A table to be."
    assert schema["properties"]["name"]["description"] == "Unique in its schema."
    assert schema["required"] == ["name", "columns"]
    assert document["paths"]["/api/v1" + TABLES]["get"]["description"] == inspect.getdoc(list_tables)


def test_every_error_has_the_one_shape_and_its_codes():
    responses = _operation(TABLES, "post")["responses"]
    at_the_door, of_a_body = {"400", "401", "403", "429", "500", "503"}, {"408", "413", "415", "422"}
    assert set(responses) == {"201", "404", "409"} | at_the_door | of_a_body
    for status in set(responses) - {"201"}:
        assert responses[status]["content"]["application/json"]["schema"] == {
            "$ref": "#/components/schemas/ProblemView"
        }
        assert all(code in responses[status]["description"] for code in CODES[int(status)])
    assert "412" in _operation(TABLES + "/{table}", "delete")["responses"]


def test_every_media_type_of_an_answer_is_told():
    content = _operation("/query", "post")["responses"]["200"]["content"]
    assert content["application/vnd.apache.arrow.stream"]["schema"] == {"type": "string", "format": "binary"}
    assert content["application/json"]["schema"]["type"] == "array"


def test_public_operations_need_no_token_and_a_development_server_needs_none_at_all():
    document = openapi_document(_everything(), INFO)
    assert document["security"] == [{"bearer": []}]
    assert document["paths"]["/health"]["get"]["security"] == []
    assert "401" not in document["paths"]["/health"]["get"]["responses"]
    anonymous = ApiInfo(title="arco", version="1", anonymous=True)
    assert {} in openapi_document(ENDPOINTS, anonymous)["security"]


async def test_the_document_and_the_page_are_served_to_everybody():
    app = Served(_everything())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app), base_url="http://localhost") as client:
        document = (await client.get("/openapi.json")).json()
        page = await client.get("/docs")
        again = await client.get("/docs", headers={"if-none-match": page.headers["etag"]})
        linked = re.findall(r'(?:href|src)="(/[^"#]*)"', page.text)
        files = {path: await client.get(path) for path in linked}
    assert set(document["paths"]) == {prefix + endpoint.path for prefix, endpoint in _everything()} - {"/openapi.json"}
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert again.status_code == 304
    assert set(linked) == {"/", "/docs/reference.css", "/docs/reference.js", "/openapi.json"}
    assert {answer.status_code for answer in files.values()} == {200}


async def test_the_front_page_is_a_page_for_browsers_and_facts_for_programs():
    app = Served(_everything())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.app), base_url="http://localhost") as client:
        page = await client.get("/", headers={"accept": "text/html,*/*;q=0.8"})
        facts = await client.get("/", headers={"accept": "*/*"})
        linked = re.findall(r'(?:href|src)="(/[^"#]*)"', page.text)
        files = {path: await client.get(path) for path in linked}
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert facts.json()["reference"] == "/docs"
    assert page.headers["vary"] == facts.headers["vary"] == "accept"
    assert {path: answer.status_code for path, answer in files.items()} == dict.fromkeys(linked, 200)


def test_the_reference_page_needs_nothing_from_anywhere_else():
    folder = Path(arco.edge.__file__).with_name("static")
    for file in folder.iterdir():
        text = file.read_text("utf-8")
        outside = [url for url in re.findall(r"(?:https?:)?//[a-z][^\s'\")]*", text) if "www.w3.org" not in url]
        assert outside == [], file.name
        assert "innerHTML" not in text
        assert not re.search(r"\son\w+=|<style|<script>|style=", text) or file.suffix == ".js"
