import pytest

from arco.core.metrics import SERIES_MAX, Registry


def test_metrics_render_as_prometheus_text():
    registry = Registry([("role", "api")])
    registry.counter("jobs_total", "Jobs \\ done\nhere", ("result",)).series('o"k\n').inc(2)
    registry.gauge("lag_seconds", "Lag").series().set(1.5)
    timer = registry.histogram("wait_seconds", "Wait", bounds=(0.1, 1.0)).series()
    for seconds in (0.05, 0.1, 0.5, 3):
        timer.observe(seconds)
    assert registry.render() == (
        "# HELP jobs_total Jobs \\\\ done\\nhere\n"
        "# TYPE jobs_total counter\n"
        'jobs_total{role="api",result="o\\"k\\n"} 2\n'
        "# HELP lag_seconds Lag\n"
        "# TYPE lag_seconds gauge\n"
        'lag_seconds{role="api"} 1.5\n'
        "# HELP wait_seconds Wait\n"
        "# TYPE wait_seconds histogram\n"
        'wait_seconds_bucket{role="api",le="0.1"} 2\n'
        'wait_seconds_bucket{role="api",le="1"} 3\n'
        'wait_seconds_bucket{role="api",le="+Inf"} 4\n'
        'wait_seconds_sum{role="api"} 3.65\n'
        'wait_seconds_count{role="api"} 4\n'
    )


def test_no_input_can_grow_the_number_of_series():
    family = Registry().counter("seen_total", "Seen", ("who",))
    for number in range(SERIES_MAX + 100):
        family.series(str(number)).inc()
    assert len(family.children) <= SERIES_MAX + 1
    assert family.series("other").value == 100


def test_a_counter_only_grows_and_labels_must_fit():
    family = Registry().counter("seen_total", "Seen", ("who",))
    with pytest.raises(ValueError, match="only grows"):
        family.series("a").inc(-1)
    with pytest.raises(ValueError, match="has the labels who"):
        family.series()


def test_a_gauge_may_be_read_when_it_is_asked_for():
    registry = Registry()
    gauge = registry.gauge("queue_depth", "Waiting").series()
    registry.before_render(lambda: gauge.set(7))
    assert "queue_depth 7" in registry.render()
    gauge.add(-2)
    assert gauge.value == 5
