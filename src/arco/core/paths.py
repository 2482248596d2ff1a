"""Every storage key of arco is built here, relative to its scope's prefix (catalog.md 2.2).

`Key` values hold no leading slash, no empty, `.` or `..` segment, no backslash, percent sign or control
character; `checked_key` is the one gate for text that came from outside.
"""

from typing import Final, NewType

Key = NewType("Key", str)
"""A scope-relative object key."""

READY_CHECK: Final = Key("__arco/ready-check")
DELTA_FOLDERS: Final = ("tables/", "warehouse/")
"""Where tables whose commits are coordinated may lie: folders that hold nothing of the control plane."""

ROOT_MANIFEST: Final = Key("manifests/root.manifest.json")
ORCHESTRATION_ROOT: Final = Key("state/orchestration/root.json")
"""What the root manifest is to the compactor's chain: there once the chain was made, and never removed."""


class InvalidKey(Exception):
    """Text that may not become a storage key; `reason` says which rule it breaks."""

    def __init__(self, text: str, reason: str) -> None:
        super().__init__(text, reason)
        self.text = text
        self.reason = reason


def checked_key(text: str) -> Key:
    """The key that `text` spells. Raises `InvalidKey` (catalog.md 1.6, scope-relative path rule)."""
    if not text:
        raise InvalidKey(text, "path must not be empty")
    if text.startswith(("/", "\\")):
        raise InvalidKey(text, "path must be relative")
    if "\\" in text or "%" in text:
        raise InvalidKey(text, "path must not contain a backslash or a percent sign")
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise InvalidKey(text, "path must not contain control characters")
    if any(segment in ("", ".", "..") for segment in text.rstrip("/").split("/")):
        raise InvalidKey(text, "path must not contain empty, '.' or '..' segments")
    return Key(text)


def manifest_number_text(number: int) -> str:
    """A manifest id: 20 zero-padded decimal digits (N20)."""
    return f"{number:020d}"


def manifest(chain: str, number: int) -> Key:
    """The immutable manifest with this number; creating it is the commit."""
    return Key(f"manifests/{chain}/{number:020d}.json")


def pointer(domain: str) -> Key:
    """The hint that names a recent manifest of a domain."""
    return Key(f"manifests/{domain}.pointer.json")


def hint(domain: str) -> Key:
    """The manifest of a domain that is swapped in place and names a manifest of the chain."""
    return Key(f"manifests/{domain}.manifest.json")


def ledger_object(domain: str, first_event_id: str) -> Key:
    """A ledger object, named by the id of its first event."""
    return Key(f"ledger/{domain}/{first_event_id}.json")


def commit_record(chain: str, number: int, attempt: str) -> Key:
    """The commit record of one attempt at one manifest number."""
    return Key(f"commits/{chain}/{number:020d}-{attempt}.json")


def segment(chain: str, table: str, number: int, piece: str) -> Key:
    """A Parquet segment: `piece` names the attempt that wrote it after manifest `number`, and its place in it."""
    return Key(f"snapshots/{chain}/{table}/{number:020d}-{piece}.parquet")


def page(chain: str, table: str, number: int, piece: str) -> Key:
    """A page of segment references; named like a segment."""
    return Key(f"snapshots/{chain}/{table}/{number:020d}-{piece}.page.json")


def delta(chain: str, number: int, attempt: str, index: int) -> Key:
    """A delta object written by one attempt at one manifest number."""
    return Key(f"snapshots/{chain}/_deltas/{number:020d}-{attempt}-{index:04d}.json")


def retention_record(chain: str) -> Key:
    """The record of what of a chain is kept, pinned and given up."""
    return Key(f"retention/{chain}.json")


def kept_manifest(chain: str, number: int) -> Key:
    """The copy of a manifest that outlives its name in the chain."""
    return Key(f"retention/manifests/{chain}/{number:020d}.json")


def number_in(key: str) -> int | None:
    """The manifest number an object's name begins with, or None."""
    digits = key.rsplit("/", 1)[-1][:20]
    return int(digits) if len(digits) == 20 and digits.isascii() and digits.isdecimal() else None


def definitions(manifest_id: str) -> Key:
    """A deployed manifest of assets."""
    return Key(f"definitions/{manifest_id}.json")


def task_log(run_id: str, task_key: str, attempt: int) -> Key:
    """What an attempt at a task wrote."""
    return Key(f"logs/{run_id}/{task_key}/attempt-{attempt}.log")


LIVE_LOGS: Final = "live-logs/"
"""Where what attempts write lies in pieces, beside their logs."""


def live_log_piece(run_id: str, task_key: str, attempt: int, number: int) -> Key:
    """A piece of what an attempt writes, from number 1 without gaps."""
    return Key(f"{LIVE_LOGS}{run_id}/{task_key}/{attempt}/{number:06d}.json")


def anti_entropy_cursor(domain: str) -> Key:
    """Where the walk over a domain's ledger has come."""
    return Key(f"state/anti_entropy/{domain}/cursor.json")


def quarantined(domain: str, name: str) -> Key:
    """Where ledger bytes that cannot be read are put aside."""
    return Key(f"quarantine/{domain}/{name}")


def quarantined_manifest(chain: str, name: str) -> Key:
    """Where a manifest that cannot be read is put aside."""
    return Key(f"quarantine/manifests/{name}" if chain == "catalog" else f"quarantine/{chain}/manifests/{name}")


def root_transaction(tx_id: str) -> Key:
    """The record that decides a transaction across chains, and names where its members are visible."""
    return Key(f"transactions/root/{tx_id}.manifest.json")


DELTA_STAGED: Final = "delta/staging/"
"""Where payloads of Delta commits wait."""


def delta_staged(table_id: str, ulid: str) -> Key:
    """A staged payload of a Delta commit."""
    return Key(f"{delta_staging(table_id)}{ulid}.json")


def delta_staging(table_id: str) -> str:
    """Where a table's staged payloads lie, with the trailing slash."""
    return f"{DELTA_STAGED}{table_id}/"


def delta_root(table_id: str) -> str:
    """The folder of a Delta table that was registered without a location."""
    return f"tables/{table_id}"


def delta_log(table_root: str, version: int) -> Key:
    """The log file of one version of a Delta table; creating it is the commit."""
    return Key(f"{table_root}/_delta_log/{version:020d}.json")


def delta_last_checkpoint(table_root: str) -> Key:
    """Where Delta writers note the newest checkpoint of a log."""
    return Key(f"{table_root}/_delta_log/_last_checkpoint")
