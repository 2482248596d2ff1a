"""What a chain owes itself: the steps that build derived tables an older chain lacks, submitted like any unit.

Nobody waits for them: each is one small unit in the queue of the compactor, between those of callers. Steps carry no
position, the fold knows it, so compactors that do this at the same time only share the work.
"""

from typing import Final

import msgspec

from arco.core import instant
from arco.kernel.compactor import Compactor
from arco.kernel.envelope import Envelope, Unit, event_key
from arco.kernel.manifest import Manifest
from arco.kernel.workshop import Workshop

_SOURCE: Final = "arco:upkeep"
_RETRY_MS: Final = 5_000
_REFUSED_MS: Final = 60_000


def upkeep_unit(shop: Workshop, manifest: Manifest) -> Unit | None:
    """The next step a chain with this manifest needs, None when it needs none."""
    for domain in shop.domains.derived:
        step = domain.upkeep(manifest.counts)
        if step is None:
            continue
        event = Envelope(
            event_type=step.event_type,
            event_version=step.event_version,
            idempotency_key=event_key(step.event_type, step.event_version, msgspec.to_builtins(step.payload)),
            occurred_at=instant.stored_text(shop.clock.now_ms()),
            source=_SOURCE,
            payload=msgspec.Raw(msgspec.json.encode(step.payload)),
            event_id=shop.ids.ulid(),
        )
        return Unit((event,))
    return None


async def keep_up(shop: Workshop, compactor: Compactor) -> None:
    """Submit steps until the chain needs none. A chain that does not exist yet will be born whole."""
    while not compactor.stopping:
        try:
            head = await shop.chain.find()
            unit = None if head is None else upkeep_unit(shop, head.manifest)
            if unit is None:
                return
            answer = await compactor.submit([unit], 0)
        except Exception as error:  # noqa: BLE001  # upkeep is a chore: it is tried again
            shop.log.warning("upkeep_failed", error=type(error).__name__, reason=str(error))
            await shop.clock.sleep_ms(_RETRY_MS)
            continue
        (outcome,) = answer.outcomes
        if outcome.status != "accepted":
            # What refuses it may pass, a newer build beside this one for instance: nobody else would try again.
            shop.log.warning("upkeep_refused", status=outcome.status, reason=outcome.message)
            await shop.clock.sleep_ms(_REFUSED_MS)
