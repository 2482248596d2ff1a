"""`python -m tests.fuzz.messages [requests] [seed]`: messages drawn and damaged, at every transaction route.

Half of them go as protobuf, half in its JSON mapping. The oracle: an answer that the OpenAPI document tells of, and
never a 5xx but the 501 of participants that this server does not have.
"""

import asyncio
import json
import random
import sys
import time
from collections import Counter
from typing import Any, Final

from google.protobuf import json_format, message_factory
from tests.http.world import a_world

from arco.core.errors import InvalidInput
from arco.routes.wire.controlplane import PACKAGE, message_class
from arco.routes.wire.envelopes import envelopes_of

SEED: Final = 7_411
ROUTES: Final = {
    "applyCatalogDdl": "ApplyCatalogDdlRequest",
    "getCatalogTransaction": "GetCatalogTransactionRequest",
    "commitOrchestrationBatch": "CommitOrchestrationBatchRequest",
    "getOrchestrationTransaction": "GetOrchestrationTransactionRequest",
    "commitRootTransaction": "CommitRootTransactionRequest",
    "getRootTransaction": "GetRootTransactionRequest",
}
_TEXTS: Final = (
    "a",
    "b",
    "",
    "x" * 300,
    "\u202e",
    "a/b",
    "..",
    "\0",
    "01KDVH8Q3N5P7R9S1T3V5W7X9Y",
    "tables/a",
    "BIGINT",
)
_ODD: Final[tuple[Any, ...]] = (
    None,
    0,
    -1,
    1e400,
    10**400,
    "1e9",
    "",
    [],
    {},
    [[]],
    True,
    "NaN",
    2**31,
    "2026-13-01T00:00:00Z",
    "\ud800",
)
_DEPTH_MAX: Final = 5


class Broken(AssertionError):
    """The oracle said no; the message has what was sent."""


def drawn(chance: random.Random, kind: Any, depth: int = 0) -> Any:
    """A message of a kind, with fields that were drawn."""
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if chance.random() < 0.3 + 0.1 * depth or (field.message_type is not None and depth == _DEPTH_MAX):
            continue
        if field.message_type is not None:
            made = drawn(chance, message_factory.GetMessageClass(field.message_type), depth + 1)
            target = getattr(message, field.name)
            if field.message_type.GetOptions().map_entry:
                target[chance.choice(_TEXTS)] = chance.choice(_TEXTS)
                continue
            (target.add() if field.is_repeated else target).CopyFrom(made)
        elif field.is_repeated:
            getattr(message, field.name).append(_scalar(chance, field))
        else:
            setattr(message, field.name, _scalar(chance, field))
    return message


def _scalar(chance: random.Random, field: Any) -> Any:
    if field.type == field.TYPE_STRING:
        return chance.choice(_TEXTS)
    if field.type == field.TYPE_BYTES:
        return chance.randbytes(chance.choice((0, 1, 20)))
    if field.type == field.TYPE_BOOL:
        return chance.random() < 0.5
    return chance.choice((0, 1, 2, 7, 2**31 - 1))


def _in_json(message: Any) -> Any:
    """The message as JSON, with events as the contract's envelopes where they have one."""
    try:
        value = json_format.MessageToDict(message)
    except json_format.SerializeToJsonError:  # a time that is none
        return {}
    try:
        if events := getattr(message, "events", None):
            value["events"] = envelopes_of(events)
        for made, one in zip(value.get("mutations", []), getattr(message, "mutations", ()), strict=False):
            if one.HasField("orchestration"):
                made["orchestration"] = {"events": envelopes_of(one.orchestration.events)}
    except InvalidInput:
        return value
    return value


def damaged(chance: random.Random, data: bytes) -> bytes:
    """The bytes with some of them changed, cut, repeated, or put into each other."""
    for _ in range(chance.choice((0, 0, 1, 1, 3))):
        at = chance.randrange(len(data) + 1)
        head, tail = data[:at], data[at:]
        nested = b"".join(b"\x0a" + bytes([min(127, 2 * depth)]) for depth in range(120, 0, -1))
        data = chance.choice(
            (
                head,
                head + bytes([chance.randrange(256)]) + tail[1:],
                head + tail * 2,
                head + b"\xff" * chance.choice((1, 9, 11)) + tail,
                head + b"\x0a\x80\x80\x80\x80\x08" + tail,  # two gigabytes follow, it says
                nested + data,
                b"\x0b" * chance.choice((1, 99, 1_000)) + data,  # groups in groups
            )
        )
    return data


def bent(chance: random.Random, value: Any) -> Any:
    """A JSON value, with some of what is in it replaced by something odd."""
    if chance.random() < 0.05:
        return chance.choice(_ODD)
    if isinstance(value, dict):
        return {key: bent(chance, one) for key, one in value.items()}
    return [bent(chance, one) for one in value] if isinstance(value, list) else value


async def fuzz(count: int, seed: int) -> Counter[int]:
    """So many requests; how often which status came. Raises `Broken`, and when an answer is not documented."""
    chance = random.Random(seed)
    found: Counter[int] = Counter()
    async with a_world() as world, world.client() as api:
        for number in range(count):
            route, name = chance.choice(list(ROUTES.items()))
            message = drawn(chance, message_class(name))
            if number % 2:
                media = f"application/x-protobuf; proto={PACKAGE}.{name}"
                body = damaged(chance, message.SerializeToString())
            else:
                media = "application/json"
                body = json.dumps(bent(chance, _in_json(message))).encode()
            headers = {"content-type": media, "idempotency-key": chance.choice(("k", f"k{number}", "", "x" * 500))}
            answer = await api.post(f"/transactions/{route}", content=body, headers=headers)
            if answer.status_code >= 500 and answer.status_code != 501:
                raise Broken(f"seed {seed}, request {number}: {answer.status_code} at {route} for {media} {body!r}")
            found[answer.status_code] += 1
    return found


def main() -> int:
    """Fuzz, and print what came back."""
    count, seed = (int(each) for each in [*sys.argv[1:], *("20000", str(SEED))[len(sys.argv) - 1 :]])
    began = time.perf_counter()
    found = asyncio.run(fuzz(count, seed))
    told = ", ".join(f"{status}: {times}" for status, times in sorted(found.items()))
    sys.stdout.write(f"{count} requests, seed {seed}, {time.perf_counter() - began:.0f} s: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
