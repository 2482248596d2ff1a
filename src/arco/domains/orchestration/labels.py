"""Labels of a run that say what it is to another one (orchestration.md 6.3). Pure."""

from typing import Final

import msgspec

from arco.domains.orchestration.rows import RunRow

PARENT_LABEL: Final = "arco.parent_run_id"
KIND_LABEL: Final = "arco.rerun.kind"
RESERVED_LABELS: Final = (PARENT_LABEL, KIND_LABEL)


def labels_of(run: RunRow) -> dict[str, str]:
    """The labels of a run."""
    return {} if run.labels is None else msgspec.json.decode(run.labels, type=dict[str, str])
