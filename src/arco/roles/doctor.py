"""`arco doctor`: is this installation, its configuration, its storage and its server in order (operations.md 7).

Guarantees: nothing is changed but one scratch object below `__arco/doctor/`, which is removed again; every check
reports instead of raising; a check that fails says what to do.
"""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import msgspec

import arco
from arco.clients.api import ApiClient, ApiProblem, Call, InvalidTarget, ServerUnreachable, target_from
from arco.config.problems import Problems
from arco.config.settings import load
from arco.core.clock import Clock, SystemClock
from arco.core.entropy import Ids, MintedIds, SystemEntropy
from arco.core.errors import InvalidInput
from arco.roles.doctor_storage import Examination, Promise, examine
from arco.storage.locate import CloudStore, store_from_url
from arco.storage.port import ObjectStore

PASS: Final = "pass"
WARN: Final = "warn"
FAIL: Final = "fail"

PYTHON_MIN: Final = (3, 11)
DISK_WARN_BYTES: Final = 1024**3
DISK_FAIL_BYTES: Final = 100 * 1024**2
CLOCK_WARN_MS: Final = 5_000
CLOCK_FAIL_MS: Final = 30_000
"""Difference to the storage's clock (operations.md 3, `lock_clock`)."""

_BUILD_MS: Final = 1_767_225_600_000
"""2026-01-01: a clock before this release was written is wrong."""

_PARTS: Final = {
    "aiohttp": (3, 14),
    "datafusion": (50,),
    "deltalake": (1, 2),
    "hypercorn": (0, 18),
    "joserfc": (1, 6),
    "msgspec": (0, 20),
    "pyarrow": (21,),
    "starlette": (0, 49, 1),
}
"""The parts whose version decides how arco behaves, and the least version of each."""


class Check(msgspec.Struct, frozen=True):
    """One finding: `status` is pass, warn or fail; `fix` says what to do when it is not pass."""

    name: str
    status: str
    detail: str
    fix: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What to examine: a role's configuration (`all` is the local mode), a storage URL, a server."""

    role: str
    environ: Mapping[str, str]
    storage: str
    url: str | None = None


def run(
    case: Case, progress: Callable[[str], None], *, clock: Clock | None = None, ids: Ids | None = None
) -> list[Check]:
    """All checks in reading order; `progress` is told what is being looked at."""
    chosen_clock = clock or SystemClock()
    chosen_ids = ids or MintedIds(chosen_clock, SystemEntropy())
    checks = [_python(), *_parts()]
    progress("reading the configuration")
    checks += _configuration(case)
    progress(f"trying the storage {case.storage}")
    checks += _storage(case.storage, chosen_clock, chosen_ids)
    progress("looking for a server")
    checks.append(_server(case))
    return checks


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < PYTHON_MIN:
        return Check("python", FAIL, version, f"install Python {'.'.join(map(str, PYTHON_MIN))} or later")
    return Check("python", PASS, f"{version}, arco {arco.__version__}")


def _parts() -> Iterator[Check]:
    found, wrong = [], []
    for name, least in _PARTS.items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        found.append(f"{name} {version}")
        if _numbers(version) < least:
            wrong.append(f"{name} {version} is older than {'.'.join(map(str, least))}")
    if wrong:
        yield Check("dependencies", FAIL, "; ".join(wrong), "pip install --upgrade arco")
    else:
        yield Check("dependencies", PASS, ", ".join(found))


def _configuration(case: Case) -> list[Check]:
    # The storage that is examined is the one that a server would be started with.
    environ = {**case.environ, "ARCO_STORAGE_BUCKET": case.storage}
    outcome = load(case.role, environ, lambda path: Path(path).read_text("utf-8"))
    if isinstance(outcome, Problems):
        return [
            Check("configuration", FAIL, f"{each.variable}: {each.message}", f"set {each.variable} and look again")
            for each in outcome.problems
        ]
    good = Check("configuration", PASS, f"role {outcome.role}, environment {outcome.environment}")
    return [good, *(Check("configuration", WARN, warning, "correct or unset it") for warning in outcome.warnings)]


def _storage(url: str, clock: Clock, ids: Ids) -> list[Check]:
    try:
        store = store_from_url(url)
    except InvalidInput as refused:
        return [_clock(clock.now_ms(), None), Check("storage", FAIL, refused.message, "name another with --storage")]
    disk = _disk(url)
    if any(check.status == FAIL for check in disk):
        return [_clock(clock.now_ms(), None), *disk]
    examined = asyncio.run(_examined(store, f"__arco/doctor/{ids.ulid()}"))
    promises = [_promise(url, promise) for promise in examined.promises]
    return [_clock(clock.now_ms(), examined.modified_ms), *disk, *promises]


async def _examined(store: ObjectStore, key: str) -> Examination:
    try:
        return await examine(store, key)
    finally:
        if isinstance(store, CloudStore):
            await store.close()


def _promise(url: str, promise: Promise) -> Check:
    name = f"storage {promise.name}"
    if promise.kept:
        return Check(name, PASS, promise.detail)
    return Check(name, FAIL, promise.detail, f"do not run arco on {url}: it may lose writes; check its permissions too")


def _clock(now_ms: int, storage_ms: int | None) -> Check:
    if now_ms < _BUILD_MS:
        return Check("clock", FAIL, "this machine's clock is years behind", "switch on time synchronisation")
    if storage_ms is None:
        return Check("clock", PASS, "plausible; not compared with the storage's")
    skew_ms = abs(now_ms - storage_ms)
    detail = f"{skew_ms / 1000:.1f} s from the storage's clock"
    if skew_ms > CLOCK_WARN_MS:
        return Check("clock", FAIL if skew_ms > CLOCK_FAIL_MS else WARN, detail, "switch on time synchronisation")
    return Check("clock", PASS, detail)


def _disk(url: str) -> list[Check]:
    scheme, _, rest = url.partition("://")
    if scheme != "file":
        return []
    directory = Path(unquote(rest)).absolute()
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir():
        return [Check("disk", FAIL, f"{there} is a file", "name a directory with --storage")]
    free = shutil.disk_usage(there).free
    detail = f"{free / 1024**3:.1f} GiB free at {there}"
    if free < DISK_WARN_BYTES:
        return [Check("disk", FAIL if free < DISK_FAIL_BYTES else WARN, detail, "free some space")]
    return [Check("disk", PASS, detail)]


def _server(case: Case) -> Check:
    target = target_from(case.environ, url=case.url)
    client = None
    try:
        client = ApiClient(target, timeout_s=3.0)
        version = client.send(Call(method="GET", path="/version")).json().get("packageVersion")
        client.send(Call(method="GET", path="/ready"))
    except InvalidTarget as invalid:
        return Check("server", FAIL, invalid.message, "correct --url or ARCO_URL")
    except ServerUnreachable as unreachable:
        return Check("server", FAIL if case.url else WARN, unreachable.message, "start one with: arco serve")
    except (ApiProblem, ValueError, AttributeError) as problem:
        return Check("server", FAIL, f"{target.url} does not answer as arco does: {problem}", "look in its log")
    finally:
        if client is not None:
            client.close()
    if version != arco.__version__:
        detail = f"{target.url} runs arco {version}, this is {arco.__version__}"
        return Check("server", WARN, detail, "install the same version on both sides")
    return Check("server", PASS, f"{target.url} is ready, arco {version}")


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
