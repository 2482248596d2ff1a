"""What makes two requests the same request (orchestration.md 1.8): SHA-256 of compact JSON in a fixed order. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from arco.core.canonical_json import sha256_hex
from arco.core.partitions import parse_partition_key, partition_key

_CHUNK_DIGITS: Final = 32


class TriggerRequest(msgspec.Struct, frozen=True):
    """A request for a run, after its asset keys were made canonical."""

    selection: Sequence[str]
    include_upstream: bool = False
    include_downstream: bool = False
    partition_key: str | None = None
    labels: Mapping[str, str] = {}


class ScheduleDefinition(msgspec.Struct, frozen=True):
    """What of a schedule counts as its definition."""

    cron: str
    timezone: str
    catchup_window_minutes: int
    max_catchup_ticks: int
    enabled: bool
    assets: Sequence[str]


def of_trigger(request: TriggerRequest) -> str:
    """The fingerprint of a run request; order and repetition of the selection do not matter."""
    return _of(_trigger_body(request))


def of_trigger_variants(request: TriggerRequest) -> frozenset[str]:
    """Every fingerprint that older writers gave the same request: a stored one that is any of them matches."""
    body = _trigger_body(request)
    found = {_of(body)}
    if request.partition_key is None:
        return frozenset(found)
    labels = body.pop("labels")
    bare = {name: value for name, value in body.items() if name != "partition_key"}
    for key in {request.partition_key, _as_strings(request.partition_key)}:
        pairs = [dict(zip(("key", "value"), pair.split("=", 1), strict=True)) for pair in key.split(",") if pair]
        found.add(_of({**bare, "partition_key": key, "labels": labels}))
        found.add(_of({**bare, "partitions": [], "partition_key": key, "labels": labels}))
        found.add(_of({**bare, "partitions": sorted(pairs, key=_pair_order), "labels": labels}))
    return frozenset(found)


def of_selection(selection: Iterable[str], *, include_upstream: bool, include_downstream: bool) -> str:
    """The fingerprint of what a plan was asked for, whatever the order of its roots."""
    return _of(
        {
            "selection": sorted(set(selection)),
            "include_upstream": include_upstream,
            "include_downstream": include_downstream,
        }
    )


def of_schedule_request(assets: Iterable[str], partitions: Iterable[str] | None = None) -> str:
    """The fingerprint of what a schedule asks for at a tick."""
    text = ",".join(sorted(assets))
    if partitions is not None:
        text += ";partitions:" + ",".join(sorted(partitions))
    return sha256_hex(text.encode())


def of_chunk(keys: Iterable[str]) -> str:
    """The fingerprint of a chunk of a backfill."""
    return sha256_hex("".join(f"{key}|" for key in keys).encode())[:_CHUNK_DIGITS]


def of_schedule(definition: ScheduleDefinition) -> str:
    """The fingerprint of a schedule's definition."""
    fields = (
        definition.cron,
        definition.timezone,
        str(definition.catchup_window_minutes),
        str(definition.max_catchup_ticks),
        "true" if definition.enabled else "false",
        ",".join(sorted(definition.assets)),
    )
    return sha256_hex("|".join(fields).encode())


def of_manifest(values: Mapping[str, Any]) -> str:
    """The fingerprint of a manifest: what was deployed, not by whom, where or when."""
    assets = sorted(values.get("assets") or (), key=_asset_order)
    schedules = sorted(values.get("schedules") or (), key=lambda one: (one.get("id", ""), one.get("cron", "")))
    return _of(
        {
            "manifestVersion": values.get("manifestVersion"),
            "codeVersionId": values.get("codeVersionId"),
            "git": _sorted(values.get("git")),
            "assets": _sorted(assets),
            "schedules": _sorted(schedules),
            "metadata": _sorted(values.get("metadata")),
        }
    )


def of_json(value: Any) -> str:
    """The fingerprint of plain values in the order they are given."""
    return _of(value)


def _trigger_body(request: TriggerRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "selection": sorted(set(request.selection)),
        "include_upstream": request.include_upstream,
        "include_downstream": request.include_downstream,
    }
    if request.partition_key is not None:
        body["partition_key"] = request.partition_key
    body["labels"] = dict(sorted(request.labels.items()))
    return body


def _asset_order(asset: Mapping[str, Any]) -> tuple[str, str, str]:
    key = asset.get("key") or {}
    return str(key.get("namespace", "")), str(key.get("name", "")), str(asset.get("id", ""))


def _sorted(value: Any) -> Any:
    """Plain values with the keys of every object in order."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _as_strings(key: str) -> str:
    """The key with its times and dates as text, as clients wrote them before they had tags of their own."""
    parts = dict(pair.split("=", 1) for pair in key.split(",") if pair)
    typed = parse_partition_key(key)
    times = {name: text.partition(":")[2] for name, text in parts.items() if text[:2] in ("d:", "t:")}
    return partition_key({**typed, **times})


def _pair_order(pair: Mapping[str, str]) -> tuple[str, str]:
    return pair["key"], pair["value"]


def _of(value: Any) -> str:
    return sha256_hex(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())
