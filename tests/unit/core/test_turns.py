"""Drawing turns: nobody stands in front of the others for ever."""

from arco.core.turns import drawn


def test_who_can_never_be_served_keeps_nobody_waiting_for_ever():
    waiting = [f"stuck{number:03d}" for number in range(300)] + ["fine"]
    rounds = [drawn(waiting, 100, seed=str(seed), name=str) for seed in range(30)]
    assert all(len(one) == 100 for one in rounds)
    assert sum("fine" in one for one in rounds) >= 3
    assert set().union(*rounds) == set(waiting)


def test_when_there_is_room_for_all_nobody_is_drawn():
    assert drawn(["b", "a"], 2, seed="x", name=str) == ["b", "a"]
