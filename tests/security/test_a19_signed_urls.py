"""A-19: a signed URL reads one object for a bounded time, and is good for nothing else.

The emulated Cloud Storage checks signatures by its own program; of S3's the fields are looked at.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud.storage import _signing
from google.oauth2 import service_account
from hypothesis import given
from hypothesis import strategies as st
from tests.emulators.processes import BUCKET, Emulator

from arco.core.clock import SystemClock
from arco.core.errors import InvalidInput
from arco.core.paths import InvalidKey, Key
from arco.core.scope import Scope
from arco.storage.gcs import GcsStore
from arco.storage.gcs_signing import GcsSigner
from arco.storage.port import Absent
from arco.storage.s3 import S3Store
from arco.storage.s3_signing import S3Signer
from arco.storage.signing import FallbackSigner, LocalSigner, ScopedSigner, SigningUnavailable, granted_ttl_s

EMAIL = "signer@project.iam.gserviceaccount.com"
KEY = Key("tenant=t/workspace=w/snapshots/a b'(c)~é.parquet")
ROUTE = "/api/v1/browser/objects"


class ShiftedClock(SystemClock):
    """The machine's clock, moved."""

    def __init__(self, by_s: int = 0) -> None:
        self.by_s = by_s

    def now_ms(self) -> int:
        return super().now_ms() + self.by_s * 1000


class StandingClock(SystemClock):
    """A clock that stands at one moment."""

    def __init__(self) -> None:
        self.moment_ms = super().now_ms()

    def now_ms(self) -> int:
        return self.moment_ms


def account() -> tuple[service_account.Credentials, str]:
    """A service account's credentials and its public key."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    told = {"client_email": EMAIL, "private_key": private.decode(), "token_uri": "https://oauth2.googleapis.com/token"}
    return service_account.Credentials.from_service_account_info(told), public.decode()


CREDENTIALS, PUBLIC = account()


@pytest.fixture
async def store(gcs: Emulator) -> AsyncIterator[GcsStore]:
    gcs.control("keys", **{EMAIL: PUBLIC})
    made = GcsStore(BUCKET, "signed/", endpoint=gcs.endpoint)
    await made.put(KEY, b"the body", when=Absent())
    yield made
    await made.close()


async def fetch(url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """What a stranger gets, who has nothing but the URL."""
    async with httpx.AsyncClient() as stranger:
        return await stranger.request(method, url, headers=headers)


def signer_of(store: GcsStore, by_s: int = 0) -> GcsSigner:
    return GcsSigner(store, ShiftedClock(by_s), CREDENTIALS)


async def test_a19_a_signed_url_of_cloud_storage_reads_its_object_without_credentials(store: GcsStore):
    url = await signer_of(store).sign(KEY, 60)
    answer = await fetch(url)
    assert (answer.status_code, answer.content) == (200, b"the body")
    part = await fetch(url, Range="bytes=4-7")
    assert (part.status_code, part.content) == (206, b"body")


async def test_a19_the_provider_refuses_every_other_use_of_a_url(store: GcsStore):
    url = await signer_of(store).sign(KEY, 60)
    await store.put(Key("other"), b"secret", when=Absent())
    for method in ("PUT", "DELETE", "POST", "HEAD"):
        assert (await fetch(url, method)).status_code == 403, method
    other = urlsplit(url)._replace(path=f"/{BUCKET}/signed/other").geturl()
    longer = url.replace("X-Goog-Expires=60", "X-Goog-Expires=3600")
    for changed in (other, longer, f"{url}&generation=1", f"{url}&x=y", url[:-4] + "0000", url.partition("?")[0]):
        refused = await fetch(changed)
        assert refused.status_code == 403, changed
        assert b"secret" not in refused.content


async def test_a19_a_url_ends_with_its_time_and_never_lives_longer_than_an_hour(store: GcsStore):
    assert (await fetch(await signer_of(store, by_s=-61).sign(KEY, 60))).status_code == 400
    assert (await fetch(await signer_of(store, by_s=-59).sign(KEY, 600))).status_code == 200
    long = await signer_of(store, by_s=-3_601).sign(KEY, 10**9)
    assert parse_qs(urlsplit(long).query)["X-Goog-Expires"] == ["3600"]
    assert (await fetch(long)).status_code == 400


async def test_a19_signatures_are_those_of_the_providers_own_library(store: GcsStore):
    clock = StandingClock()
    ours = await GcsSigner(store, clock, CREDENTIALS).sign(Key("plain/name.parquet"), 900)
    theirs = _signing.generate_signed_url_v4(
        CREDENTIALS,
        resource=f"/{BUCKET}/signed/plain/name.parquet",
        expiration=900,
        api_access_endpoint=store.wire.host,
        _request_timestamp=f"{datetime.fromtimestamp(clock.moment_ms / 1000, UTC):%Y%m%dT%H%M%SZ}",
    )
    assert parse_qs(urlsplit(ours).query) == parse_qs(urlsplit(theirs).query)
    assert ours.partition("?")[0] == theirs.partition("?")[0]


async def test_a19_who_has_no_key_signs_nothing(store: GcsStore):
    assert store.signer(SystemClock()) is None
    nobody, local = GcsSigner(store, SystemClock(), object()), LocalSigner(b"s" * 32, SystemClock(), ROUTE)
    with pytest.raises(SigningUnavailable):
        await nobody.sign(KEY, 60)
    # Then arco does, and serves the object itself.
    assert opened(local, await FallbackSigner(nobody, local).sign(KEY, 60))
    assert (await FallbackSigner(signer_of(store), local).sign(KEY, 60)).startswith(store.wire.host)


async def test_a19_a_presigned_url_of_s3_reads_one_object_for_an_hour_at_most(s3: Emulator, aws_credentials: None):
    store = S3Store(BUCKET, "signed/", endpoint=s3.endpoint)
    await store.put(Key("a b.parquet"), b"the body", when=Absent())
    url = await S3Signer(store).sign(Key("a b.parquet"), 10**9)
    await store.close()
    query = parse_qs(urlsplit(url).query)
    assert (await fetch(url)).content == b"the body"
    assert urlsplit(url).path == f"/{BUCKET}/signed/a%20b.parquet"
    assert query["X-Amz-Expires"] == ["3600"] and query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]


def opened(signer: LocalSigner, url: str) -> bool:
    query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    return signer.opened(query["key"], query["expires"], query["signature"])


async def test_a19_what_arco_signs_itself_opens_one_key_until_its_time():
    clock = ShiftedClock()
    signer = LocalSigner(b"s" * 32, clock, ROUTE)
    url = await signer.sign(KEY, 60)
    assert url.startswith(f"{ROUTE}/a%20b")
    assert opened(signer, url)
    clock.by_s = 61
    assert not opened(signer, url)


async def test_a19_what_arco_signs_itself_opens_nothing_that_was_changed():
    signer = LocalSigner(b"s" * 32, SystemClock(), ROUTE)
    query = {name: values[0] for name, values in parse_qs(urlsplit(await signer.sign(KEY, 60)).query).items()}
    key, expires, signature = query["key"], query["expires"], query["signature"]
    assert signer.opened(key, expires, signature)
    assert not signer.opened(key + "x", expires, signature)
    assert not signer.opened(key, str(int(expires) + 1), signature)
    assert not signer.opened(key, expires, signature[::-1])
    assert not signer.opened(key, expires, "")
    assert not signer.opened(key, f" {expires}", signature)
    assert not LocalSigner(b"t" * 32, SystemClock(), ROUTE).opened(key, expires, signature)
    for strange in ("9" * 5000, "-1", "٣", "1e9", ""):
        assert not signer.opened(key, strange, signature)


@given(key=st.text(), expires=st.text(), signature=st.text())
def test_a19_no_text_opens_anything_unsigned(key: str, expires: str, signature: str):
    assert not LocalSigner(b"s" * 32, SystemClock(), ROUTE).opened(key, expires, signature)


def test_a19_times_are_clamped_or_refused():
    assert [granted_ttl_s(asked) for asked in (None, 1, 3_600, 3_601, 10**9)] == [900, 1, 3_600, 3_600, 3_600]
    for asked in (0, -1):
        with pytest.raises(InvalidInput, match="ttl_seconds"):
            granted_ttl_s(asked)


@pytest.mark.parametrize("key", ["../other", "/x", "a/../b", "a%2fb", "", "a//b", "tenant=b/../x", ".locks/x"])
async def test_a19_a_scopes_signer_signs_nothing_outside_of_it(key: str):
    signer = ScopedSigner(LocalSigner(b"s" * 32, SystemClock(), ROUTE), Scope("t", "w"))
    with pytest.raises(InvalidKey):
        await signer.sign(Key(key), 60)
    inside = await signer.sign(Key("snapshots/x"), 60)
    assert parse_qs(urlsplit(inside).query)["key"] == ["tenant=t/workspace=w/snapshots/x"]
