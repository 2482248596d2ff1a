"""The emulated Cloud Storage behaves as Google documents it, asked without our adapter.

Each test names the page of https://cloud.google.com/storage/docs it holds the emulator against.
"""

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from tests.emulators.processes import BUCKET, Emulator

KIB_256 = 256 * 1024


@pytest.fixture
def api(gcs: Emulator, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    gcs.control("buckets", name=request.node.name)
    with httpx.Client(base_url=gcs.endpoint) as client:
        client.headers["x-test-bucket"] = request.node.name
        yield client


def upload(api: httpx.Client, name: str, body: bytes, **query: str) -> httpx.Response:
    bucket = api.headers["x-test-bucket"]
    return api.post(
        f"/upload/storage/v1/b/{bucket}/o", params={"uploadType": "media", "name": name, **query}, content=body
    )


def object_url(api: httpx.Client, name: str) -> str:
    return f"/storage/v1/b/{api.headers['x-test-bucket']}/o/{quote(name, safe='')}"


def session(api: httpx.Client, name: str, **query: str) -> str:
    begun = api.post(
        f"/upload/storage/v1/b/{api.headers['x-test-bucket']}/o",
        params={"uploadType": "resumable", **query},
        json={"name": name, "metadata": {"who": "me"}},
    )
    assert begun.status_code == 200
    return begun.headers["Location"]


def reason(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["error"]["errors"][0]["reason"]


def test_generations_grow_with_every_write_also_after_a_delete(api: httpx.Client):
    """object-versioning: a generation identifies one version of an object's data, and later ones are larger."""
    seen = []
    for _ in range(3):
        seen += [int(upload(api, "o", b"same").json()["generation"]) for _ in range(2)]
        assert api.delete(object_url(api, "o")).status_code == 204
    assert seen == sorted(set(seen))


def test_if_generation_match_guards_writes_and_zero_means_absent(api: httpx.Client):
    """request-preconditions: 412 when it does not hold; 0 succeeds only if there is no live version."""
    first = upload(api, "o", b"1", ifGenerationMatch="0")
    assert first.status_code == 200
    assert reason(upload(api, "o", b"2", ifGenerationMatch="0")) == (412, "conditionNotMet")
    assert reason(upload(api, "o", b"2", ifGenerationMatch="1")) == (412, "conditionNotMet")
    assert upload(api, "o", b"2", ifGenerationMatch=first.json()["generation"]).status_code == 200
    assert reason(upload(api, "absent", b"x", ifGenerationMatch="1")) == (412, "conditionNotMet")


def test_if_generation_match_guards_deletes(api: httpx.Client):
    """json_api/v1/objects/delete: makes the operation conditional on the current generation."""
    generation = upload(api, "o", b"1").json()["generation"]
    url = object_url(api, "o")
    assert reason(api.delete(url, params={"ifGenerationMatch": "1"})) == (412, "conditionNotMet")
    assert api.delete(url, params={"ifGenerationMatch": generation}).status_code == 204
    assert reason(api.delete(url, params={"ifGenerationMatch": generation})) == (404, "notFound")


def test_reads_are_told_that_nothing_changed_and_that_something_did(api: httpx.Client):
    """request-preconditions: 304 for ifGenerationNotMatch, 412 for ifGenerationMatch."""
    generation = upload(api, "o", b"1").json()["generation"]
    unchanged = api.get(object_url(api, "o"), params={"ifGenerationNotMatch": generation})
    assert unchanged.status_code == 304 and unchanged.content == b""
    assert api.get(object_url(api, "o"), params={"ifGenerationNotMatch": "1"}).status_code == 200
    assert reason(api.get(object_url(api, "o"), params={"ifGenerationMatch": "1"})) == (412, "conditionNotMet")


def test_a_read_of_bytes_tells_their_generation_and_metadata(api: httpx.Client):
    """xml-api/reference-headers: x-goog-generation and x-goog-meta-* come with the object's data."""
    generation = upload(api, "a/b c%", b"body").json()["generation"]
    for url in (object_url(api, "a/b c%"), "/download" + object_url(api, "a/b c%")):
        found = api.get(url, params={"alt": "media"})
        assert (found.content, found.headers["x-goog-generation"]) == (b"body", generation)


def test_ranges_are_inclusive_and_beyond_the_end_416(api: httpx.Client):
    """xml-api/reference-headers, Range: bytes=first-last; 416 when nothing of it is there."""
    upload(api, "o", b"0123456789")
    url = object_url(api, "o")
    found = api.get(url, params={"alt": "media"}, headers={"Range": "bytes=2-4"})
    assert (found.status_code, found.content, found.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert api.get(url, params={"alt": "media"}, headers={"Range": "bytes=8-99"}).content == b"89"
    assert api.get(url, params={"alt": "media"}, headers={"Range": "bytes=10-"}).status_code == 416


def test_what_is_not_there_is_404_in_three_ways(api: httpx.Client):
    """json_api/v1/status-codes, 404: an object, an object's bytes (plain text) and a bucket."""
    missing = api.get(object_url(api, "none"))
    assert reason(missing) == (404, "notFound") and "No such object" in missing.json()["error"]["message"]
    media = api.get(object_url(api, "none"), params={"alt": "media"})
    assert media.status_code == 404 and media.text.startswith("No such object")
    bucket = api.get("/storage/v1/b/nowhere/o/x")
    assert bucket.json()["error"]["message"] == "The specified bucket does not exist."
    assert reason(api.post("/upload/storage/v1/b/nowhere/o", params={"uploadType": "media", "name": "x"})) == (
        404,
        "notFound",
    )


def test_listings_are_in_byte_order_in_pages_from_an_inclusive_offset(api: httpx.Client):
    """json_api/v1/objects/list: lexicographic order, startOffset inclusive, maxResults, pageToken."""
    names = ["a!", "a/b", "a0", "b", "é", "\U0001f40b", "\uffee"]
    for name in reversed(names):
        upload(api, name, b"")
    ordered = sorted(names, key=str.encode)
    where = f"/storage/v1/b/{api.headers['x-test-bucket']}/o"
    assert [item["name"] for item in api.get(where).json()["items"]] == ordered
    from_b = api.get(where, params={"startOffset": "b"}).json()["items"]
    assert [item["name"] for item in from_b] == ordered[3:]
    found, token = [], ""
    while token is not None:
        page = api.get(where, params={"maxResults": "2", "pageToken": token, "prefix": "a"}).json()
        assert len(page["items"]) <= 2
        found += [item["name"] for item in page["items"]]
        token = page.get("nextPageToken")
    assert found == ["a!", "a/b", "a0"]


def test_a_multipart_body_has_metadata_and_lines_that_end_in_crlf(api: httpx.Client):
    """uploading-objects, multipart: two parts, of which the first is the object's metadata."""
    head = json.dumps({"name": "o", "metadata": {"who": "me"}})
    where = f"/upload/storage/v1/b/{api.headers['x-test-bucket']}/o"
    headers = {"Content-Type": "multipart/related; boundary=edge"}
    lines = [
        "--edge",
        "Content-Type: application/json",
        "",
        head,
        "--edge",
        "Content-Type: a/b",
        "",
        "body",
        "--edge--",
    ]
    query = {"uploadType": "multipart"}
    made = api.post(where, params=query, headers=headers, content="\r\n".join(lines).encode())
    assert made.status_code == 200
    assert (made.json()["metadata"], made.json()["contentType"], made.json()["size"]) == ({"who": "me"}, "a/b", "4")
    assert reason(api.post(where, params=query, headers=headers, content="\n".join(lines).encode()))[0] == 400


def test_a_resumable_upload_tells_how_far_it_is_and_its_end_again(api: httpx.Client):
    """performing-resumable-uploads: 308 with Range, none before the first byte; the end is told again."""
    place = session(api, "o")
    total = KIB_256 * 2 + 10
    body = bytes(range(256)) * 2048 + b"0123456789"
    asked = {"Content-Range": f"bytes */{total}"}
    nothing = api.put(place, headers=asked)
    assert nothing.status_code == 308 and "Range" not in nothing.headers
    first = api.put(place, headers={"Content-Range": f"bytes 0-{KIB_256 - 1}/{total}"}, content=body[:KIB_256])
    assert first.status_code == 308 and first.headers["Range"] == f"bytes=0-{KIB_256 - 1}"
    assert api.put(place, headers=asked).headers["Range"] == f"bytes=0-{KIB_256 - 1}"
    assert api.get(object_url(api, "o")).status_code == 404
    rest = {"Content-Range": f"bytes {KIB_256}-{total - 1}/{total}"}
    done = api.put(place, headers=rest, content=body[KIB_256:])
    assert done.status_code == 200 and done.json()["metadata"] == {"who": "me"}
    assert api.put(place, headers=asked).json()["generation"] == done.json()["generation"]
    assert api.get(object_url(api, "o"), params={"alt": "media"}).content == body


def test_a_resumable_upload_keeps_only_whole_multiples_of_256_kib_before_its_end(api: httpx.Client):
    """performing-resumable-uploads: chunks are multiples of 256 KiB, except for the last."""
    place = session(api, "o")
    told = api.put(place, headers={"Content-Range": "bytes 0-299999/600000"}, content=b"x" * 300_000)
    assert told.status_code == 308 and told.headers["Range"] == f"bytes=0-{KIB_256 - 1}"


def test_a_resumable_upload_checks_its_condition_when_it_ends_and_is_then_gone(api: httpx.Client):
    """json_api/v1/objects/insert: preconditions of the first request count, those of later ones are ignored."""
    place = session(api, "o", ifGenerationMatch="0")
    upload(api, "o", b"somebody else's")
    ended = api.put(place, headers={"Content-Range": "bytes 0-3/4"}, content=b"ours")
    assert reason(ended) == (412, "conditionNotMet")
    assert api.put(place, headers={"Content-Range": "bytes */4"}).status_code == 404
    assert api.get(object_url(api, "o"), params={"alt": "media"}).content == b"somebody else's"


def test_a_token_that_is_asked_for_and_not_sent_is_401(gcs: Emulator):
    """json_api/v1/status-codes, 401: authError."""
    gcs.control("token", token="right")
    try:
        assert reason(httpx.get(f"{gcs.endpoint}/storage/v1/b/{BUCKET}/o")) == (401, "authError")
        right = httpx.get(f"{gcs.endpoint}/storage/v1/b/{BUCKET}/o", headers={"Authorization": "Bearer right"})
        assert right.status_code == 200
    finally:
        gcs.control("reset")
