"""What a faithful Cloud Storage holds: buckets of objects with generations, and upload sessions. No HTTP in here.

The behaviours are those of Google's documentation: "Request preconditions" (generation 0 means that there is no object;
412 conditionNotMet; 304 for a read whose `ifGenerationNotMatch` is the current one), "Objects: insert", "Objects: list"
(names in the order of their UTF-8 bytes, `startOffset` inclusive, `maxResults` an upper bound), "Perform resumable
uploads" (308 with a `Range` of what has arrived, none when nothing has; chunks in multiples of 256 KiB; the answer of a
finished session is given again), "Object versioning" (a generation is a number that grows with each write of a name).
"""

import base64
import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

CHUNK = 256 * 1024


class Refusal(Exception):
    """An error as the JSON API words it."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Held:
    """One generation of an object."""

    name: str
    body: bytes
    generation: int
    created_s: float
    content_type: str
    metadata: dict[str, str]

    def resource(self, bucket: str) -> dict[str, Any]:
        """The object resource; 64-bit numbers are text, as the API spells them."""
        moment = datetime.fromtimestamp(self.created_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {
            "kind": "storage#object",
            "id": f"{bucket}/{self.name}/{self.generation}",
            "bucket": bucket,
            "name": self.name,
            "generation": str(self.generation),
            "metageneration": "1",
            "contentType": self.content_type,
            "size": str(len(self.body)),
            "md5Hash": base64.b64encode(hashlib.md5(self.body).digest()).decode(),
            "timeCreated": moment,
            "updated": moment,
            **({"metadata": self.metadata} if self.metadata else {}),
        }


@dataclass
class Session:
    """A resumable upload under way."""

    bucket: str
    resource: dict[str, Any]
    conditions: dict[str, str]
    arrived: bytearray = field(default_factory=bytearray)
    finished: Held | None = None


class Buckets:
    """All objects of one emulator."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Held]] = {}
        self.sessions: dict[str, Session] = {}
        self._generation = time.time_ns() // 1_000

    def bucket(self, name: str) -> dict[str, Held]:
        """The objects of a bucket."""
        found = self.objects.get(name)
        if found is None:
            raise Refusal(404, "notFound", "The specified bucket does not exist.")
        return found

    def find(self, bucket: str, name: str, query: dict[str, str]) -> Held:
        """A live object, or one generation if the query names one that is live."""
        held = self.bucket(bucket).get(name)
        if held is None or query.get("generation", str(held.generation)) != str(held.generation):
            raise Refusal(404, "notFound", f"No such object: {bucket}/{name}")
        self._check(held, query, reading=True)
        return held

    def insert(self, bucket: str, resource: dict[str, Any], body: bytes, query: dict[str, str]) -> Held:
        """A new generation, if the preconditions hold."""
        objects = self.bucket(bucket)
        name = resource.get("name") or query.get("name")
        if not name:
            raise Refusal(400, "required", "Required object name")
        if len(name.encode()) > 1024 or "\r" in name or "\n" in name:
            raise Refusal(400, "invalid", "Invalid object name")
        self._check(objects.get(name), query, reading=False)
        self._generation = max(self._generation + 1, time.time_ns() // 1_000)
        kind = resource.get("contentType", "application/octet-stream")
        held = Held(name, body, self._generation, time.time(), kind, dict(resource.get("metadata", {})))
        objects[name] = held
        return held

    def delete(self, bucket: str, name: str, query: dict[str, str]) -> None:
        """Remove the live object, if the preconditions hold."""
        objects = self.bucket(bucket)
        held = objects.get(name)
        if held is None:
            raise Refusal(404, "notFound", f"No such object: {bucket}/{name}")
        self._check(held, query, reading=False)
        del objects[name]

    def page(self, bucket: str, query: dict[str, str]) -> tuple[list[Held], str | None]:
        """Objects in the order of their names' bytes, and the token of the next page."""
        objects = self.bucket(bucket)
        prefix, start = query.get("prefix", "").encode(), query.get("startOffset", "").encode()
        after = bytes.fromhex(query.get("pageToken", ""))
        names = sorted(name.encode() for name in objects)
        names = [name for name in names if name.startswith(prefix) and name >= start and name > after]
        size = min(int(query.get("maxResults", "1000")), 1000)
        token = names[size - 1].hex() if len(names) > size else None
        return [objects[name.decode()] for name in names[:size]], token

    def begin(self, bucket: str, resource: dict[str, Any], conditions: dict[str, str]) -> str:
        """A session, which keeps the conditions for its last byte; its id."""
        self.bucket(bucket)
        upload_id = hashlib.sha256(f"{bucket}{resource}{len(self.sessions)}{time.time_ns()}".encode()).hexdigest()
        self.sessions[upload_id] = Session(bucket, resource, conditions)
        return upload_id

    def receive(self, upload_id: str, content_range: str, body: bytes) -> Session:
        """Take a chunk, or only tell how far the session is (`bytes */total`)."""
        session = self.sessions.get(upload_id)
        if session is None:
            raise Refusal(404, "notFound", "No such upload session")
        span, _, total = content_range.removeprefix("bytes ").partition("/")
        if session.finished is not None:
            return session
        if span != "*":
            first, _, last = span.partition("-")
            if int(last) - int(first) + 1 != len(body):
                raise Refusal(400, "invalid", "Content-Range does not agree with the body")
            if total == "*" or int(last) + 1 != int(total):
                body = body[: len(body) // CHUNK * CHUNK]
            if int(first) > len(session.arrived):
                raise Refusal(503, "backendError", "The chunk begins after what has arrived")
            session.arrived[int(first) :] = body
        if total != "*" and len(session.arrived) == int(total):
            try:
                session.finished = self.insert(
                    session.bucket, session.resource, bytes(session.arrived), session.conditions
                )
            except Refusal:
                del self.sessions[upload_id]
                raise
        return session

    def _check(self, held: Held | None, query: dict[str, str], *, reading: bool) -> None:
        current = 0 if held is None else held.generation
        wanted, unwanted = query.get("ifGenerationMatch"), query.get("ifGenerationNotMatch")
        if wanted is not None and _number(wanted) != current:
            raise Refusal(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        if unwanted is not None and _number(unwanted) == current:
            status = 304 if reading else 412
            raise Refusal(status, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal(
            400, "invalid", f"Invalid value '{text}'. Values must match the following regular expression: '-?\\d+'"
        ) from None
