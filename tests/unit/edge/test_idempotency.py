import pytest
from tests.unit.edge.kit import an_endpoint, served

from arco.core.errors import InvalidInput
from arco.edge.codec import reply
from arco.edge.context import idempotency_key_of, if_match_of
from arco.edge.idempotency import checked_key, key_hash

KEY = "01930a0b-1234-7abc-9def-0123456789ab"


def test_a_canonical_uuid7_is_a_key():
    assert checked_key(KEY) == KEY


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("order-7", "Idempotency-Key must be a valid UUID"),
        ("01930a0b-1234-7abc-9def-0123456789", "Idempotency-Key must be a valid UUID"),
        ("01930a0b-1234-7abc-1def-0123456789ab", "Idempotency-Key must use RFC4122 variant, found"),
        ("01930a0b-1234-4abc-9def-0123456789ab", "Idempotency-Key must be UUIDv7 (RFC 9562), found version 4"),
        (KEY.upper(), f"canonical lower-case form: {KEY}"),
        (KEY.replace("-", ""), f"canonical lower-case form: {KEY}"),
        ("{" + KEY + "}", f"canonical lower-case form: {KEY}"),
        ("urn:uuid:" + KEY, f"canonical lower-case form: {KEY}"),
    ],
)
def test_any_other_text_is_refused_with_the_contracts_words(text, message):
    with pytest.raises(InvalidInput) as caught:
        checked_key(text)
    assert message in caught.value.message


def test_the_key_hash_is_the_one_of_the_contracts_marker_path():
    assert key_hash(KEY) == "42aa460e3bd12d233bbf5e9a501414f561929ad90127bdfc2afb8fc1157de4e9"


async def _told(request):
    return reply({"key": idempotency_key_of(request), "match": if_match_of(request)})


async def test_a_handler_gets_the_headers_or_none():
    app = served(an_endpoint("/k", _told, "POST"))
    assert (await app.ask("POST", "/api/v1/k")).json() == {"key": None, "match": None}
    told = await app.ask("POST", "/api/v1/k", headers={"idempotency-key": KEY, "if-match": ' "7" '})
    assert told.json() == {"key": KEY, "match": '"7"'}
    assert (await app.ask("POST", "/api/v1/k", headers={"if-match": "*"})).json()["match"] == "*"


async def test_a_bad_key_is_400():
    answer = await served(an_endpoint("/k", _told, "POST")).ask("POST", "/api/v1/k", headers={"idempotency-key": "x"})
    assert (answer.status_code, answer.json()["message"]) == (400, "Idempotency-Key must be a valid UUID")
