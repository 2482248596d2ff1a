"""SQL that asks for what nobody may is an audit event; a slip of the pen is none."""

import pytest
from tests.unit.edge.kit import an_endpoint, served

from arco.core.errors import InvalidInput
from arco.edge import problems


class Forbidden(InvalidInput):
    """A statement that would write."""


@pytest.fixture
def told(monkeypatch):
    entry = problems.Known(400, "BAD_REQUEST", error="read_only")
    monkeypatch.setitem(problems._TABLE, Forbidden, entry)


@pytest.mark.parametrize(("fact", "events"), [(Forbidden("no"), 1), (InvalidInput("typo"), 0)])
async def test_a_refused_statement_is_an_audit_event_without_its_text(told, fact, events):
    async def handler(_request):
        raise fact

    app = served(an_endpoint("/query", handler, method="POST"))
    answer = await app.ask("POST", "/api/v1/query", json={"sql": "DROP TABLE secret_name"})
    assert answer.status_code == 400
    denied = app.kept.events("query_deny")
    assert len(denied) == events
    assert "secret_name" not in "".join(app.kept.lines)
    if denied:
        assert (denied[0]["action"], denied[0]["decisionReason"]) == ("QUERY_DENY", "read_only")
        assert denied[0]["level"] == "warning"
