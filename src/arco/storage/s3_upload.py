"""How the bytes of one object reach S3: in one request, or in parts when there are many.

Parts are no object until they are completed, and the condition is checked then. What is not completed is aborted as far
as the store can be reached; a lifecycle rule of the bucket removes the rest (operations.md 9).
"""

from collections.abc import Mapping
from typing import Any, Final

from arco.storage.retries import NoAnswer, NotSent
from arco.storage.s3_wire import Reply, S3Wire

SINGLE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Larger bodies go in parts: a broken connection costs one part and not the object."""

PART_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one part; the provider asks for at least 5 MiB of all but the last."""

PART_TRIES: Final = 3
"""How often a part is sent; it is the same part each time."""

_CONTENT_TYPE: Final = "application/octet-stream"


async def upload(wire: S3Wire, object_: Mapping[str, Any], body: bytes, condition: Mapping[str, str]) -> Reply:
    """Send the object once; the provider's verdict. Raises `NotSent`, `NoAnswer`."""
    if len(body) <= SINGLE_BYTES_MAX:
        return await wire.call("put_object", **object_, Body=body, ContentType=_CONTENT_TYPE, **condition)
    begun = await wire.call("create_multipart_upload", **object_, ContentType=_CONTENT_TYPE)
    if begun.code:
        return begun
    place = {"Key": object_["Key"], "UploadId": begun.fields["UploadId"]}
    parts = []
    for number, start in enumerate(range(0, len(body), PART_BYTES), start=1):
        sent = await _part(wire, place, number, body[start : start + PART_BYTES])
        if sent.code:
            await _abort(wire, place)
            return sent
        parts.append({"PartNumber": number, "ETag": sent.fields["ETag"]})
    done = await wire.call("complete_multipart_upload", **place, MultipartUpload={"Parts": parts}, **condition)
    if 400 <= done.status < 500:
        await _abort(wire, place)
    return done


async def _part(wire: S3Wire, place: Mapping[str, Any], number: int, body: bytes) -> Reply:
    for _ in range(PART_TRIES - 1):
        try:
            sent = await wire.call("upload_part", **place, PartNumber=number, Body=body)
        except (NotSent, NoAnswer):
            continue
        if sent.status < 500:
            return sent
    return await wire.call("upload_part", **place, PartNumber=number, Body=body)


async def _abort(wire: S3Wire, place: Mapping[str, Any]) -> None:
    try:
        await wire.call("abort_multipart_upload", **place)
    except (NotSent, NoAnswer):
        return  # The bucket's lifecycle rule does it.
