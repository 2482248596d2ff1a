"""`ARCO_METRICS_PORT` as operators use it."""

import pytest
from tests.process.servers import free_port, serving
from tests.security.wire import get, send

pytestmark = pytest.mark.process


def test_metrics_have_a_port_of_their_own_and_the_apis_has_them_no_more():
    variables = {"ARCO_METRICS_PORT": str(free_port())}
    with serving(["--port", "0", "--storage", "memory://"], variables) as server:
        own = send(server.ports["metrics"], get(b"/metrics"))
        assert own.statuses == [200] and b"arco_http_connections" in own.said
        assert send(server.ports["api"], get(b"/metrics")).statuses == [404]
        assert send(server.ports["metrics"], get(b"/api/v1/catalogs")).statuses == [404]
        assert server.stop() == 0
