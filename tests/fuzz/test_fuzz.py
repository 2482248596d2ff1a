"""A short, seeded piece of what `nox -s fuzz` does at length."""

import pytest
from tests.fuzz import flow, messages, raw, schema
from tests.process.servers import serving

pytestmark = [pytest.mark.process, pytest.mark.slow]


def test_what_the_document_offers_is_answered_as_the_document_says():
    arguments = ("--phases", "coverage,fuzzing", "--max-examples", "1", "--seed", str(schema.SEED), "--no-shrink")
    done = schema.run(*arguments, capture=True)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr


def test_raw_bytes_get_at_most_one_answer_each_and_never_a_5xx():
    with serving(["--port", "0", "--storage", "memory://"], raw.DEADLINES) as server:
        found = raw.fuzz(server.ports["api"], 600, raw.SEED)
        assert server.process.poll() is None, "the server is still there"
    assert found[400] > 200 and found[200] > 5


async def test_messages_that_are_drawn_and_damaged_are_refused_or_done():
    found = await messages.fuzz(400, messages.SEED)
    assert found[400] > 100 and set(found) <= {200, 400, 403, 404, 409, 422, 501}


async def test_bodies_of_runs_with_one_odd_place_are_refused_or_done_and_runs_go_on():
    found = await flow.fuzz(250, 1)
    assert found.bad == []
    assert len(found) > 30
