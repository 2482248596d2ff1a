"""The adapters of Cloud Storage and S3 pass the one suite, on real server processes.

Rounds are few here so that the default run stays short; `nox -s cloud` sets `ARCO_TEST_ROUNDS` for more.
"""

import os

import pytest
from tests.emulators.processes import BUCKET, Emulator

from arco.core.scope import Scope
from arco.storage.conformance import CHECKS, Check, Ground
from arco.storage.gcs import GcsStore
from arco.storage.s3 import S3Store
from arco.storage.scoped import TenantStore

# Read when collected: a test's own environment holds none of the caller's settings.
ROUNDS = int(os.environ.get("ARCO_TEST_ROUNDS", "2"))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_cloud_storage_conforms(check: Check, gcs: Emulator):
    stores = tuple(GcsStore(BUCKET, "conformance/", endpoint=gcs.endpoint) for _ in range(2))
    try:
        await check(Ground(stores, f"{check.__name__}/", rounds=ROUNDS))
    finally:
        for store in stores:
            await store.close()


async def test_s3_conforms_but_for_bytes_that_recur(s3: Emulator, aws_credentials: None):
    """In one test, because a client of S3 takes longer to make than most checks to run."""
    stores = tuple(S3Store(BUCKET, "conformance/", endpoint=s3.endpoint) for _ in range(2))
    scoped = tuple(TenantStore(store, Scope("acme", "prod")) for store in stores)
    try:
        for check in CHECKS:
            ground = Ground(scoped, f"{check.__name__}/", rounds=ROUNDS, racers=min(8 * ROUNDS, 64), bytes_recur=False)
            await check(ground)
    except BaseException as error:
        error.add_note(f"while checking that {check.__name__}")
        raise
    finally:
        for store in stores:
            await store.close()
