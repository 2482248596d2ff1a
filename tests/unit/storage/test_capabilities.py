from arco.core import paths
from arco.storage.capabilities import WRITE_RULES, Verb, may, rule_of


def writers(key: str) -> set[str]:
    rule = rule_of(key)
    return set() if rule is None else set(rule.grants)


def test_each_prefix_stands_in_the_table_once():
    prefixes = [rule.prefix for rule in WRITE_RULES]
    assert len(prefixes) == len(set(prefixes))
    assert all(prefix and not prefix.startswith("/") for prefix in prefixes)


def test_a_key_falls_under_the_longest_prefix_it_begins_with():
    prefixes = [rule.prefix for rule in WRITE_RULES]
    for key in (*prefixes, *(f"{prefix}x" for prefix in prefixes), *(prefix[:-1] for prefix in prefixes), "", "/", "x"):
        longest = max((prefix for prefix in prefixes if key.startswith(prefix)), key=len, default=None)
        rule = rule_of(key)
        assert (rule.prefix if rule else None) == longest, key


def test_manifests_snapshots_and_state_have_one_writer_each():
    for rule in WRITE_RULES:
        if rule.prefix.startswith(("manifests/", "snapshots/", "commits/", "quarantine/", "state/")):
            assert len(rule.grants) == 1, rule.prefix


def test_every_key_of_the_kernel_has_its_writer():
    for chain, writer in (("workspace", "compactor"), ("orchestration", "flow-compactor")):
        for key in (
            paths.manifest(chain, 1),
            paths.commit_record(chain, 1, "a"),
            paths.segment(chain, "t", 1, "a-0000"),
            paths.page(chain, "t", 1, "a-0000"),
            paths.delta(chain, 1, "a", 0),
        ):
            assert writers(key) == {writer}, key
    for domain in ("catalog", "lineage", "search"):
        assert writers(paths.pointer(domain)) == {"compactor"}
        assert "api" in writers(paths.ledger_object(domain, "01J"))
    assert writers(paths.pointer("orchestration")) == {"flow-compactor"}
    assert writers(paths.ROOT_MANIFEST) == {"compactor"}
    ledger = paths.ledger_object("orchestration", "01J")
    assert writers(ledger) == {"api", "dispatcher", "sweeper", "flow-compactor"}
    assert not may("flow-compactor", Verb.CREATE, ledger)
    assert may("flow-compactor", Verb.DELETE, ledger)
    for key in (
        paths.retention_record("orchestration"),
        paths.kept_manifest("orchestration", 1),
        paths.anti_entropy_cursor("orchestration"),
        paths.quarantined("orchestration", "x.json"),
        paths.quarantined_manifest("orchestration", "1.json"),
        paths.ORCHESTRATION_ROOT,
    ):
        assert writers(key) == {"flow-compactor"}, key


def test_nobody_overwrites_or_deletes_ledger_segments_or_commit_records():
    for key in ("ledger/catalog/1", "ledger/orchestration/1", "snapshots/workspace/x", "commits/workspace/x"):
        rule = rule_of(key)
        assert rule is not None
        assert not any(Verb.REPLACE in verbs for verbs in rule.grants.values()), key


def test_a_key_that_only_looks_like_a_prefix_is_nobody_s():
    for key in ("ledger", "ledgers/x", "x/ledger/y", "Ledger/x", "", "system/format.json"):
        assert writers(key) == set(), key
        assert not may("api", Verb.CREATE, key)


def test_the_logs_of_coordinated_tables_are_created_by_the_api_and_never_replaced():
    for folder in paths.DELTA_FOLDERS:
        key = paths.delta_log(f"{folder}orders", 7)
        assert writers(key) == {"api"}
        assert may("api", Verb.CREATE, key)
        assert not may("api", Verb.REPLACE, key)
