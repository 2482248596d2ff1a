import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.edge.kit import KeptLines, TurnedClock

from arco.core.log import LineLog, SilentLog, redacted, scrubbed

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"


def _log(**rest):
    kept = KeptLines()
    return LineLog(kept, TurnedClock(), **rest), kept


def test_a_record_is_one_line_of_json_with_its_fields():
    log, kept = _log(fields={"role": "api"})
    log.bind(request_id="r1").info("catalog_created", name="sales", count=2, none=None)
    assert kept.records == [
        {
            "ts": "2026-01-01T00:00:00Z",
            "level": "info",
            "event": "catalog_created",
            "role": "api",
            "request_id": "r1",
            "name": "sales",
            "count": 2,
        }
    ]


def test_records_below_the_level_are_not_written():
    log, kept = _log(level="warning")
    log.debug("a_happened")
    log.info("b_happened")
    log.warning("c_happened")
    log.error("d_happened")
    assert [record["event"] for record in kept.records] == ["c_happened", "d_happened"]
    SilentLog().bind(a=1).error("nothing")


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "ARCO_JWT_SECRET",
        "password",
        "Authorization",
        "client_assertion",
        "privateKey",
        "private_key",
        "accessKey",
        "access_key",
        "Set-Cookie",
        "x-bootstrap-token",
        "X-Metrics-Secret",
    ],
)
def test_a_field_with_a_secret_name_is_hidden(key):
    assert redacted({key: "canary", "nested": {key: ["canary"]}}) == {
        key: "[REDACTED]",
        "nested": {key: "[REDACTED]"},
    }


@pytest.mark.parametrize("key", ["tokenId", "token_id", "digest", "secret_checksum", "password_hash", "blobDigest"])
def test_a_field_that_only_names_a_secret_is_shown(key):
    assert redacted({key: "shown"}) == {key: "shown"}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer canary",
        "sent bearer canary, got 401",
        f"the token {JWT} failed".replace("c2lnbmF0dXJl", "canary"),
        "arco_pat_canary",
        "https://s/x?X-Goog-Signature=canary&a=1",
        "https://s/x?a=1&sig=canary",
        "https://s/x?sv=canary",
        "https://s/x?X-Amz-Credential=canary",
        "password=canary",
        "secret: canary",
        "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\ncanary",
    ],
)
def test_a_value_that_looks_like_a_secret_is_replaced(text):
    assert "canary" not in scrubbed(text)
    assert "[REDACTED:" in scrubbed(text)


def test_ordinary_text_stays_as_it_is():
    for text in ("https://host/path?limit=5", "12 rows in 3 ms", "eyJ", "the table a.b"):
        assert scrubbed(text) == text


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.floats() | st.lists(st.text())))
def test_every_record_is_one_printable_line(fields):
    log, kept = _log()
    log.info("things_happened", **{f"f{number}": value for number, value in enumerate(fields.values())}, keys=fields)
    for line in kept.lines:
        assert line.isprintable() or all(char.isprintable() or ord(char) > 0x7F for char in line)
        assert not any(char in line for char in "\n\r\x1b\u2028\u202e\x00")
        json.loads(line)


def test_escapes_stay_visible():
    log, kept = _log()
    log.info("seen", agent="a\r\nb\x1b[31m\u202e")
    assert kept.records[0]["agent"] == "a\\u000d\\u000ab\\u001b[31m\\u202e"


def test_fields_and_lines_are_bounded():
    log, kept = _log()
    log.info("seen", agent="x" * 1_000_000)
    log.info("seen", request_id="r", **{f"field_{number}": "x" * 4_000 for number in range(20)})
    assert len(kept.records[0]["agent"]) == 4096
    assert len(kept.lines[1]) < 200
    assert (kept.records[1]["cut"], kept.records[1]["request_id"]) == (True, "r")


def test_a_log_line_never_fails_the_work():
    def broken(_line):
        raise OSError("disk full")

    LineLog(broken, TurnedClock()).info("seen")
    log, kept = _log()
    log.info("seen", odd=object(), loop=float("nan"))
    assert len(kept.lines) <= 1


def test_text_is_for_people():
    log, kept = _log(text=True)
    log.info("server_started", url="http://127.0.0.1:8080", note="two words", count=3)
    assert kept.lines == ['00:00:00 info    server_started  url=http://127.0.0.1:8080 note="two words" count=3']
