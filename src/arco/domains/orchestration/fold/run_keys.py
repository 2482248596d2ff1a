"""Run keys that were taken without a fingerprint get one, once (orchestration.md 6.3). Pure."""

from typing import Final

import msgspec

from arco.domains.orchestration.events import RunKeyBackfilled
from arco.domains.orchestration.fold.board import Moment
from arco.domains.orchestration.rows import RUN_KEYS
from arco.kernel.fold import Accepted, Decision, Rejected, View

NO_RUN_KEY: Final = "run_key_not_found"
OTHER_REQUEST: Final = "run_key_fingerprint_mismatch"
UPDATED: Final = "updated"


def backfilled(view: View, event: RunKeyBackfilled, moment: Moment) -> Decision:
    """A run key stands for a request with this fingerprint, if it was not known before."""
    known = view.get(RUN_KEYS, (event.run_key,))
    if known is None:
        return Rejected(NO_RUN_KEY, f"nobody took the run key {event.run_key}", final=False)
    if not known.request_fingerprint:
        row = msgspec.structs.replace(known, request_fingerprint=event.request_fingerprint, row_version=moment.version)
        view.put(RUN_KEYS, row)
        return Accepted(details={UPDATED: "true"})
    if known.request_fingerprint == event.request_fingerprint:
        return Accepted()
    return Rejected(OTHER_REQUEST, f"run key {event.run_key} stands for another request", final=False)
