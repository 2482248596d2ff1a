"""What may be committed to a Delta table, and what the refusals say."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delta_logs import SCHEMA, add, creation, metadata, payload, protocol, remove

from arco.core.errors import InvalidInput
from arco.domains.delta.rules import PayloadCheck, creates_a_table


def check(text: str) -> None:
    for _ in PayloadCheck(text).parts():
        pass


def refusal(text: str) -> str:
    with pytest.raises(InvalidInput) as refused:
        check(text)
    return refused.value.message


def reason(text: str) -> str:
    """The refusal; a payload that is fine has the reason that it is one."""
    try:
        check(text)
    except InvalidInput as refused:
        return refused.message
    return "payload line 1 and all others are fine"


def test_every_action_of_the_protocol_is_accepted():
    check(
        payload(
            {"commitInfo": {"timestamp": 1, "operation": "WRITE", "anything": {"else": [1]}}},
            protocol(
                minReaderVersion=3, minWriterVersion=7, readerFeatures=["v2Checkpoint"], writerFeatures=["v2Checkpoint"]
            ),
            metadata(partitionColumns=["id"], configuration={"delta.appendOnly": "true"}, name=None, description="d"),
            add(stats='{"numRecords": 1}', tags={"k": None}, partitionValues={"id": "1"}, baseRowId=0),
            add("id=1/part%20two.parquet", deletionVector=a_vector("u")),
            add("part-3.parquet", deletionVector=a_vector("i"), extra="fields of newer writers are left alone"),
            remove(),
            {"cdc": {"path": "_change_data/c.parquet", "partitionValues": {}, "size": 1, "dataChange": False}},
            {"txn": {"appId": "app", "version": 7}},
            {"domainMetadata": {"domain": "delta.clustering", "configuration": "{}", "removed": False}},
        )
    )


def a_vector(storage: str) -> dict[str, Any]:
    return {"storageType": storage, "pathOrInlineDv": "abc", "sizeInBytes": 10, "cardinality": 2}


def test_lines_may_end_in_crlf_and_the_last_one_without_any_end():
    check(creation().rstrip("\n").replace("\n", "\r\n"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "payload line 2 is empty"),
        ("nonsense", "payload line 2 is not JSON"),
        ('{"add": NaN}', "payload line 2 is not JSON"),
        ("[]", "payload line 2 must be an object with exactly one action"),
        ("{}", "payload line 2 must be an object with exactly one action"),
        ('{"add": {}, "remove": {}}', "payload line 2 must be an object with exactly one action"),
        ('{"sidecar": {}}', "payload line 2: 'sidecar' is not an action of a commit"),
        ('{"add": {"path": "a", "path": "b"}}', 'payload line 2: the key "path" is given twice'),
        ('{"add": null}', "payload line 2: add: expected object, got null"),
        ('{"add": {}}', "payload line 2: add: object missing required field path"),
        (json.dumps(add(size="1")), "payload line 2: add.size: expected int, got str"),
        (json.dumps(add(size=-1)), "payload line 2: add.size: expected int >= 0"),
        (json.dumps(add(size=2**63)), "payload line 2: add.size"),
        (json.dumps(add(partitionValues={"a": 1})), "payload line 2: add.partitionValues[...]"),
        (json.dumps(add(stats="[]")), "payload line 2: add.stats must be a JSON object"),
        (json.dumps(add(deletionVector=a_vector("p"))), "payload line 2: add.deletionVector.storageType must be"),
        (json.dumps(protocol(minReaderVersion=4)), "payload line 2: protocol version 4 is not known"),
        (json.dumps(protocol(readerFeatures=["x"])), "payload line 2: protocol.readerFeatures needs version 3"),
        (json.dumps(protocol(minWriterVersion=7)), "payload line 2: protocol.writerFeatures is required"),
        (
            json.dumps(
                protocol(minReaderVersion=3, minWriterVersion=7, readerFeatures=["a"], writerFeatures=["b"]),
            ),
            "payload line 2: protocol.writerFeatures must also hold the reader feature 'a'",
        ),
        (json.dumps(metadata(schemaString="{}")), "payload line 2: metaData.schemaString must be"),
        (json.dumps(metadata(schemaString="[1]")), "payload line 2: metaData.schemaString must be"),
        (json.dumps(metadata(partitionColumns=["x"])), "payload line 2: metaData.partitionColumns names 'x'"),
        (json.dumps(metadata(format={"provider": "csv"})), "payload line 2: metaData.format.provider"),
        ('{"txn": {"appId": "", "version": 1}}', "payload line 2: txn.appId"),
        ('{"commitInfo": []}', "payload line 2: commitInfo: expected object"),
    ],
)
def test_a_refusal_names_the_line_and_the_field(line, said):
    assert refusal(json.dumps(remove("other")) + "\n" + line + "\n").startswith(said)


@pytest.mark.parametrize(
    "path",
    [
        *("../x", "a/../../x", "/x", "\\x", "a\\..\\x", "..", ".", "a/./b", "./x", "%2e%2e/x", "a/%2E%2E/x", "%2fx"),
        *("%252e%252e/x", "s3://bucket/x", "file:///etc/passwd", "gs:x", "a\nb", "a%0ab", "_delta_log/0.json", "a%00"),
        "%5fdelta_log/x",
    ],
)
@pytest.mark.parametrize("action", [add, remove])
def test_a_path_cannot_leave_the_table_however_it_is_spelled(path, action):
    assert re.match(r"payload line 1: (add|remove)\.path must ", refusal(payload(action(path))))


@pytest.mark.parametrize("path", ["part-0.parquet", "d=2026-01-01 00%3A00%3A00/x.parquet", "a..b/c", "é/ü", "a=b:c/x"])
def test_ordinary_paths_are_accepted(path):
    check(payload(add(path)))


def test_what_a_commit_has_at_most_once_is_refused_the_second_time():
    once: list[dict[str, Any]] = [protocol(), metadata(), {"commitInfo": {}}]
    for action in once:
        assert "was given on line 1 already" in refusal(payload(action, action))
    assert "was given on line 1 already" in refusal(payload(add(), add()))
    check(payload(add(), remove()))  # the same path may go and come


def test_an_empty_or_huge_payload_is_refused():
    assert refusal("") == "payload must hold at least one Delta action"
    assert refusal(" \n") == "payload must hold at least one Delta action"
    assert "must not be longer than" in refusal(payload(add("x" * 6_000_000)))
    assert "UTF-8" in refusal("\ud800")


def test_version_0_is_recognised_by_its_protocol_and_metadata():
    assert creates_a_table(creation(add()).encode())
    assert not creates_a_table(payload(metadata()).encode())
    assert not creates_a_table(payload(add()).encode())


@given(st.text(max_size=200))
def test_any_text_is_accepted_or_refused_with_a_reason(text):
    assert reason(text).startswith("payload")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.floats(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    ),
    st.sampled_from(["add", "remove", "protocol", "metaData", "cdc", "txn", "commitInfo", "domainMetadata"]),
    st.sampled_from(sorted({*add()["add"], *metadata()["metaData"], *protocol()["protocol"]})),
)
def test_any_value_in_any_field_is_accepted_or_refused_with_a_reason(value, action, field):
    bodies = {**add(), **remove(), **protocol(), **metadata()}
    line = json.dumps({action: {**bodies.get(action, {}), field: value}})
    assert reason(line).startswith("payload line 1")


def test_the_schema_in_these_tests_is_one():
    assert SCHEMA["type"] == "struct"
