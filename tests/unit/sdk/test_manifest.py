"""The manifest of a project: what the server reads, the same bytes for the same code, ids that stay."""

import datetime as dt
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import msgspec
import pyarrow as pa
import pytest
from tests.fakes import FrozenClock, SeededEntropy

from arco import AssetIn, Compute, DefinitionError, RetryPolicy, Schedule, asset, asset_check, checks, daily, static
from arco.core.canonical_json import canonical_json, sha256_hex
from arco.core.entropy import MintedIds
from arco.domains.orchestration.plan.manifest import Manifest, problems_of
from arco.sdk.loading import AssetSet
from arco.sdk.lockfile import LOCKFILE, Lockfile
from arco.sdk.manifest import Built, Deployment, build_manifest, manifest_of
from arco.sdk.source import git_of, source_fingerprint

RAW, SALES = "01930a0b-1234-7abc-9def-0123456789aa", "01930a0b-1234-7abc-9def-0123456789ab"
IDS = {"raw.events": RAW, "analytics.daily_sales": SALES}
ROOT = Path(__file__).parent
BLOCKS = {"severity": "error", "phase": "post"}


@asset(namespace="raw", partitions=daily("date"), description="raw events", owners=["data@acme.io"], tags={"tier": "b"})
def events() -> list[dict[str, int]]:
    return []


@asset(
    namespace="analytics",
    partitions=[daily("date"), static("region", ["eu", "us"])],
    inputs={"events": events, "before": AssetIn(events, mapping="window", window=7, columns=["id"])},
    checks=[
        checks.row_count(min=1, max=9),
        checks.unique("id", blocking=False),
        checks.freshness("at", max_age_hours=4),
    ],
    retries=RetryPolicy(3, delay_seconds=60),
    timeout=dt.timedelta(hours=1),
    heartbeat_timeout=60,
    queue="gpu",
    priority=3,
    concurrency="warehouse",
    compute=Compute(cpu_millicores=1000, memory_mib=1024),
    io="parquet",
)
def daily_sales(events: pa.Table, before: pa.Table) -> None:
    """Sales of a day."""


@asset_check(asset=daily_sales, blocking=False)
def looks_right(sales: pa.Table) -> bool:
    return True


NIGHTLY = Schedule("nightly", cron="0  3 * * *", assets=[daily_sales], timezone="Europe/Vienna")
PROJECT = AssetSet([daily_sales, events], [looks_right], [], [NIGHTLY])
DEPLOYMENT = Deployment(
    tenant_id="acme",
    workspace_id="prod",
    code_version_id="01JCV0000000000000000000CV",
    deployed_at="2025-01-15T09:00:00Z",
    deployed_by="ci",
    git={"branch": "main"},
    metadata={"snake_case": {"stays_so": 1}},
)


def built() -> Built:
    return manifest_of(PROJECT, IDS, DEPLOYMENT, project=ROOT)


def test_the_server_reads_every_word_of_it_and_finds_nothing_wrong() -> None:
    manifest = msgspec.json.decode(built().body, type=Manifest)
    assert problems_of(manifest, available_timezones()) == []
    sales, raw = manifest.assets
    assert (raw.key.canonical, sales.key.canonical) == ("raw.events", "analytics.daily_sales")
    assert sales.id == IDS["analytics.daily_sales"]
    assert [(one.name, one.kind, one.granularity, one.values) for one in sales.partitioning.dimensions] == [
        ("date", "time", "day", []),
        ("region", "static", None, ["eu", "us"]),
    ]
    assert [(one.parameter_name, one.mapping, one.window) for one in sales.dependencies] == [
        ("events", "identity", None),
        ("before", "window", 7),
    ]
    settings = sales.execution
    assert (settings.max_retries, settings.retry_delay_seconds, settings.timeout_seconds) == (3, 60, 3600)
    assert (settings.queue, settings.priority, settings.concurrency_key) == ("gpu", 3, "warehouse")
    assert settings.heartbeat_timeout_seconds == 60
    assert raw.execution.max_retries is None
    assert manifest.metadata == DEPLOYMENT.metadata
    assert [(one.id, one.cron, one.timezone) for one in manifest.schedules] == [
        ("nightly", "0 3 * * *", "Europe/Vienna")
    ]


def test_the_words_of_the_contract_are_its_fields() -> None:
    manifest = built().manifest
    sales = manifest["assets"][0]
    assert manifest.keys() == {
        *("manifestVersion", "tenantId", "workspaceId", "codeVersionId", "git", "assets", "schedules"),
        *("deployedAt", "deployedBy", "metadata"),
    }
    assert sales["code"] == {
        "module": daily_sales.function.__module__,
        "function": "daily_sales",
        "filePath": "test_manifest.py",
        "lineNumber": daily_sales.line,
    }
    assert sales["checks"] == [
        {
            "name": "row_count",
            "checkType": "row_count",
            "severity": "error",
            "phase": "post",
            "minRows": 1,
            "maxRows": 9,
        },
        {"name": "unique_id", "checkType": "unique", "severity": "warning", "phase": "post", "columns": ["id"]},
        {
            "name": "freshness_at",
            "checkType": "freshness",
            "severity": "error",
            "phase": "post",
            "timestampColumn": "at",
            "maxAgeHours": 4,
        },
        {"name": "looks_right", "checkType": "custom", "severity": "warning", "phase": "post"},
    ]
    assert sales["resources"] == {"cpuMillicores": 1000, "memoryMib": 1024}
    assert sales["io"] == {"format": "parquet", "compression": "snappy", "partitionBy": []}
    assert len(sales["transformFingerprint"]) == 64


def test_the_same_code_is_the_same_bytes_and_their_hash_is_the_fingerprint() -> None:
    again = manifest_of(AssetSet([events, daily_sales], [looks_right], [], [NIGHTLY]), IDS, DEPLOYMENT, project=ROOT)
    assert again.body == built().body == canonical_json(built().manifest)
    assert again.fingerprint == sha256_hex(again.body)


def test_a_fraction_in_the_metadata_is_refused() -> None:
    with pytest.raises(DefinitionError, match="write numbers with a fraction as text"):
        manifest_of(PROJECT, IDS, msgspec.structs.replace(DEPLOYMENT, metadata={"a": 1.5}), project=ROOT)


def test_ids_are_given_once_and_kept(tmp_path: Path) -> None:
    def deploy(*assets: Any) -> dict[str, str]:
        made = build_manifest(AssetSet(assets), tmp_path, tenant_id="acme", workspace_id="prod").manifest
        return {f"{one['key']['namespace']}.{one['key']['name']}": one["id"] for one in made["assets"]}

    first = deploy(events)
    both = deploy(events, daily_sales)
    assert both["raw.events"] == first["raw.events"]
    assert deploy(events) == first
    assert deploy(events, daily_sales) == both
    state = json.loads((tmp_path / LOCKFILE).read_text("utf-8"))
    assert state == {"version": "1.0", "assetIds": both}
    assert all(one[14] == "7" for one in both.values())
    assert [path.name for path in (tmp_path / ".arco-flow").iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("<<<<<<< HEAD", "it cannot be read"),
        ('{"version": "2.0", "assetIds": {}}', "it has version 2.0, and this arco writes 1.0"),
        ('{"version": "1.0", "assetIds": {"a.b": "7"}}', "a.b: 7 is no id of an asset"),
        (f'{{"version": "1.0", "assetIds": {{"a": "{RAW}"}}}}', "is no id of an asset"),
        (
            f'{{"version": "1.0", "assetIds": {{"a.b": "{RAW}", "a.c": "{RAW}"}}}}',
            "same id",
        ),
    ],
)
def test_a_broken_lockfile_is_refused_and_left_as_it_is(tmp_path: Path, text: str, because: str) -> None:
    (tmp_path / ".arco-flow").mkdir()
    (tmp_path / LOCKFILE).write_text(text, "utf-8")
    with pytest.raises(DefinitionError, match=f"state.json: .*{because}.*restore it from version control"):
        Lockfile(tmp_path)
    assert (tmp_path / LOCKFILE).read_text("utf-8") == text


def test_a_build_with_the_same_clock_and_ids_is_the_same_manifest(tmp_path: Path) -> None:
    def build() -> Built:
        clock = FrozenClock(1_736_931_600_000)
        ids = MintedIds(clock, SeededEntropy(1))
        return build_manifest(PROJECT, tmp_path, tenant_id="acme", workspace_id="prod", clock=clock, ids=ids)

    first, second = build().manifest, build().manifest
    assert first == second
    assert first["deployedAt"] == "2025-01-15T09:00:00Z"


def test_a_fingerprint_of_source_follows_what_a_function_does_and_nothing_else() -> None:
    def one(a: int) -> int:
        return a + 1

    first = source_fingerprint(one)

    @asset
    def two(orders: pa.Table) -> int:
        """Words."""
        # Words.
        return 1 + 1

    second = source_fingerprint(two.function)

    assert second == source_fingerprint(_in_another_layout()) != first
    assert source_fingerprint(len) == ""


def _in_another_layout() -> Callable[..., int]:
    def two(orders: pa.Table) -> int:
        return (
            1
            # The sum.
            + 1
        )

    return two


def test_git_says_where_code_comes_from_without_credentials(tmp_path: Path) -> None:
    assert git_of(tmp_path) == {
        "repository": "",
        "branch": "",
        "commitSha": "",
        "commitMessage": "",
        "author": "",
        "dirty": False,
    }

    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *arguments], check=True, capture_output=True)

    git("init", "-b", "main")
    git("config", "user.name", "Ann")
    git("config", "user.email", "ann@acme.io")
    git("remote", "add", "origin", "https://ann:s3cret@git.example/acme/etl.git")
    (tmp_path / "a.py").write_text("a = 1\n", "utf-8")
    git("add", ".")
    git("commit", "-m", "daily")
    found = git_of(tmp_path)
    assert len(found.pop("commitSha")) == 40
    assert found == {
        "repository": "https://git.example/acme/etl.git",
        "branch": "main",
        "commitMessage": "daily",
        "author": "Ann",
        "dirty": False,
    }
    (tmp_path / "a.py").write_text("a = 2\n", "utf-8")
    assert git_of(tmp_path)["dirty"] is True
