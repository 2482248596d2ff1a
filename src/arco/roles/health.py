"""What the roles check before they call themselves ready (operations.md 3)."""

from arco.core import paths
from arco.edge.health import Check, CheckResult
from arco.storage.port import ObjectStore, StorageUnavailable


def storage_check(store: ObjectStore) -> Check:
    """Object storage answers a HEAD of `__arco/ready-check`; that there is no such object is fine."""

    async def probe() -> CheckResult:
        try:
            await store.head(paths.READY_CHECK)
        except StorageUnavailable as error:
            return CheckResult("not_ready", str(error))
        return CheckResult()

    return Check(name="object_storage", probe=probe)
