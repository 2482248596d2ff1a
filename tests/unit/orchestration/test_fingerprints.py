"""Fingerprints, by the golden vectors of orchestration.md 1.8 (conformance 2, 54)."""

from arco.core.canonical_json import sha256_hex
from arco.domains.orchestration import fingerprints
from arco.domains.orchestration.fingerprints import ScheduleDefinition, TriggerRequest


def test_02_fingerprints_are_the_contracts() -> None:
    assert (
        fingerprints.of_schedule_request(["analytics.daily"])
        == "195d9d79741c48619b74e37ebb567cd9c90a3fb6dd4c591d81652e948e745b10"
    )
    assert fingerprints.of_chunk(["2025-01-01", "2025-01-02"]) == "ffc698aafbca36f0220e211f8ea0e6ed"
    assert (
        fingerprints.of_trigger(TriggerRequest(["analytics.users"]))
        == "d1fde1a771e08681b13434e4d5220433d4f6f38fa2f0a251f63bf43198c4c2af"
    )


def test_order_and_repetition_of_a_selection_do_not_matter() -> None:
    one = TriggerRequest(["a.b", "c.d"], labels={"x": "1", "y": "2"})
    other = TriggerRequest(["c.d", "a.b", "c.d"], labels={"y": "2", "x": "1"})
    assert fingerprints.of_trigger(one) == fingerprints.of_trigger(other)
    assert fingerprints.of_selection(["a.b", "c.d"], include_upstream=True, include_downstream=False) == (
        fingerprints.of_selection(["c.d", "a.b"], include_upstream=True, include_downstream=False)
    )


def test_what_differs_has_another_fingerprint() -> None:
    plain = TriggerRequest(["a.b"])
    others = [
        TriggerRequest(["a.c"]),
        TriggerRequest(["a.b"], include_upstream=True),
        TriggerRequest(["a.b"], include_downstream=True),
        TriggerRequest(["a.b"], partition_key="date=d:2025-01-15"),
        TriggerRequest(["a.b"], labels={"team": "growth"}),
    ]
    assert len({fingerprints.of_trigger(one) for one in [plain, *others]}) == 6


def test_54_older_writers_gave_the_same_request_other_fingerprints() -> None:
    request = TriggerRequest(["a.b"], partition_key="date=d:2025-01-15")
    found = fingerprints.of_trigger_variants(request)
    head = '{"selection":["a.b"],"include_upstream":false,"include_downstream":false,'
    for tail in (
        '"partition_key":"date=d:2025-01-15","labels":{}}',
        '"partitions":[],"partition_key":"date=d:2025-01-15","labels":{}}',
        '"partitions":[{"key":"date","value":"d:2025-01-15"}],"labels":{}}',
        '"partition_key":"date=s:MjAyNS0wMS0xNQ","labels":{}}',
    ):
        assert sha256_hex((head + tail).encode()) in found, tail
    assert fingerprints.of_trigger_variants(TriggerRequest(["a.b"])) == {
        fingerprints.of_trigger(TriggerRequest(["a.b"]))
    }


def test_a_schedule_is_what_it_does() -> None:
    one = ScheduleDefinition("0 10 * * *", "UTC", 0, 1, True, ["b.c", "a.b"])
    assert fingerprints.of_schedule(one) == sha256_hex(b"0 10 * * *|UTC|0|1|true|a.b,b.c")
