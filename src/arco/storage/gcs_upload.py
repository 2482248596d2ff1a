"""How the bytes of one object reach Cloud Storage: in one request, or through a resumable session when there are many.

Every object carries the id of the attempt that wrote it as metadata, so that a 412 that answers our own write is told
from one that answers somebody else's. A session carries condition and metadata from its start; the provider checks the
condition again when the last byte arrives. The answer to that byte may be lost: the session is asked what became of it.

Sources: "Objects: insert", "Perform resumable uploads" and "Request preconditions" of Google's documentation.
"""

import re
from typing import Final

import msgspec

from arco.storage.gcs_wire import Answer, GcsWire
from arco.storage.retries import Course, NoAnswer, NotSent
from arco.storage.verdicts import ATTEMPT_FIELD

SINGLE_BYTES_MAX: Final = 8 * 1024 * 1024
"""Larger bodies go through a session: a broken connection costs one chunk and not the object."""

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one request of a session, a multiple of 256 KiB as the provider asks."""

CONTENT_TYPE: Final = "application/octet-stream"

_RESUME: Final = 308
_GONE: Final = frozenset({404, 410, 499})
_UPLOADED: Final = frozenset({200, 201})
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})
_RANGE: Final = re.compile(r"bytes=0-(\d+)\Z")


class Upload(msgspec.Struct, frozen=True):
    """One object to be: its name, bytes, the generation it replaces (`0` for none) and the id of this attempt."""

    name: str
    body: bytes
    generation: str
    attempt: str


async def upload(wire: GcsWire, what: Upload, course: Course) -> Answer:
    """Send the object once; the provider's verdict. Raises `NotSent`, `NoAnswer`."""
    if len(what.body) <= SINGLE_BYTES_MAX:
        return await _whole(wire, what, course)
    return await _in_chunks(wire, what, course)


async def _whole(wire: GcsWire, what: Upload, course: Course) -> Answer:
    # The boundary may not occur in the body; the attempt's id is unpredictable, so it does not.
    boundary = f"arco-{what.attempt}"
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{_metadata(what)}\r\n"
        f"--{boundary}\r\nContent-Type: {CONTENT_TYPE}\r\n\r\n"
    )
    url = wire.upload_url(uploadType="multipart", ifGenerationMatch=what.generation, fields="generation")
    headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
    body = b"".join((head.encode(), what.body, f"\r\n--{boundary}--\r\n".encode()))
    return await wire.send("POST", url, headers=headers, body=body, timeout_ms=course.attempt_ms)


async def _in_chunks(wire: GcsWire, what: Upload, course: Course) -> Answer:
    url = wire.upload_url(uploadType="resumable", ifGenerationMatch=what.generation, fields="generation")
    headers = {
        "Content-Type": "application/json; charset=UTF-8",
        "X-Upload-Content-Type": CONTENT_TYPE,
        "X-Upload-Content-Length": str(len(what.body)),
    }
    begun = await wire.send("POST", url, headers=headers, body=_metadata(what).encode(), timeout_ms=course.attempt_ms)
    place = begun.headers.get("Location")
    if begun.status not in _UPLOADED or place is None:
        return begun
    session = _Session(wire, place, what.body, course)
    offset = 0
    while True:
        answer = await session.send_from(offset)
        if answer.status in _GONE:
            raise NoAnswer("the upload session ended")
        if answer.status != _RESUME:
            return answer
        arrived = _received(answer)
        if arrived == offset and not await course.again():
            raise NoAnswer("the upload session makes no progress")
        offset = arrived


class _Session:
    """A resumable upload under way."""

    def __init__(self, wire: GcsWire, place: str, body: bytes, course: Course) -> None:
        self._wire = wire
        self._place = place
        self._body = body
        self._course = course

    async def send_from(self, offset: int) -> Answer:
        """Send the next bytes, or after trouble ask how far the session is: 308 until the provider has decided."""
        total = len(self._body)
        end = min(offset + CHUNK_BYTES, total)
        span, content = f"bytes {offset}-{end - 1}/{total}", self._body[offset:end]
        trouble: Exception | None = None
        while True:
            try:
                answer = await self._put(span, content)
                if answer.status not in _TRANSIENT:
                    return answer
                trouble = NoAnswer(f"HTTP {answer.status}")
            except NotSent as error:
                # Once a chunk may have arrived, that the question about it did not get through proves nothing.
                trouble = error if trouble is None else NoAnswer(str(error))
            except NoAnswer as error:
                trouble = error
            if not await self._course.again():
                raise trouble
            span, content = f"bytes */{total}", b""

    async def _put(self, span: str, content: bytes) -> Answer:
        headers = {"Content-Range": span}
        return await self._wire.send(
            "PUT", self._place, headers=headers, body=content, timeout_ms=self._course.attempt_ms
        )


def _received(answer: Answer) -> int:
    """How many bytes of a session have arrived; without a `Range` none has."""
    found = _RANGE.match(answer.headers.get("Range", ""))
    return int(found[1]) + 1 if found else 0


def _metadata(what: Upload) -> str:
    fields = {"name": what.name, "contentType": CONTENT_TYPE, "metadata": {ATTEMPT_FIELD: what.attempt}}
    return msgspec.json.encode(fields).decode()
