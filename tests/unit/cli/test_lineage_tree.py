from arco.cli.lineage import tree_lines

NAMES = {"f": "flights", "d": "daily", "w": "worst", "x": "weather"}


def an_edge(source, target):
    return {"id": f"{source}-{target}", "source_id": source, "target_id": target, "edge_type": "derives_from"}


def test_upstream_edges_become_a_tree_with_names():
    edges = [an_edge("d", "w"), an_edge("f", "d"), an_edge("x", "d")]
    assert tree_lines(edges, "w", ("target_id", "source_id"), NAMES) == [
        "└─ daily  [derives_from]",
        "   ├─ flights  [derives_from]",
        "   └─ weather  [derives_from]",
    ]


def test_a_cycle_is_named_once_and_not_followed_forever():
    edges = [an_edge("a", "b"), an_edge("b", "a")]
    assert tree_lines(edges, "a", ("source_id", "target_id"), {}) == [
        "└─ b  [derives_from]",
        "   └─ a  [derives_from] (see above)",
    ]


def test_edges_of_several_runs_between_two_objects_are_one_line():
    assert len(tree_lines([an_edge("a", "b"), an_edge("a", "b")], "a", ("source_id", "target_id"), {})) == 1
