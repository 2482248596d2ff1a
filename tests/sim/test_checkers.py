"""The checkers accept what one order explains and refute the rest; they agree with each other and with brute force."""

import itertools
import random
from collections.abc import Hashable, Sequence
from typing import Any

import pytest

from arco.sim.checkers.appends import NEVER, Answer, Append, Read, check_appends
from arco.sim.checkers.components import components
from arco.sim.checkers.cycles import Transaction, check_transactions
from arco.sim.checkers.registers import UNANSWERED, Operation, Verdict, check_linearizable


def a_list(state: Hashable, call: Hashable) -> tuple[Hashable, Any]:
    assert isinstance(state, tuple) and isinstance(call, tuple)
    if call[0] == "append":
        return (*state, call[1]), None
    return state, state


def append(token: str, invoked: float, returned: float, answer: Answer = Answer.DONE) -> Append:
    return Append(token, invoked, returned, answer)


# --- the order check --------------------------------------------------------------------------------------------------


def test_a_quiet_history_is_fine() -> None:
    appends = [append("a", 0, 1), append("b", 2, 3)]
    reads = [Read((), 0, 0.5), Read(("a",), 1.5, 1.6), Read(("a", "b"), 4, 5)]
    assert check_appends(appends, reads, ["a", "b"]) == []


@pytest.mark.parametrize(
    ("appends", "reads", "final", "says"),
    [
        ([append("a", 0, 1)], [], [], "acknowledged and is lost"),
        ([append("a", 0, 1)], [], ["a", "a"], "2 times"),
        ([], [], ["a"], "nobody asked"),
        ([append("a", 0, 1, Answer.REFUSED)], [], ["a"], "refused and is in the list"),
        ([append("a", 0, 1), append("b", 2, 3)], [], ["b", "a"], "comes before it"),
        ([append("a", 0, 1), append("b", 0, 1)], [Read(("b",), 2, 3)], ["a", "b"], "no prefix"),
        ([append("a", 0, 1)], [Read((), 2, 3)], ["a"], "comes before it"),
        ([append("a", 5, 6)], [Read(("a",), 2, 3)], ["a"], "comes before it"),
        (
            [append("a", 0, 1), append("b", 0, 9)],
            [Read(("a", "b"), 2, 3), Read(("a",), 4, 5)],
            ["a", "b"],
            "comes before it",
        ),
    ],
)
def test_what_no_order_explains_is_named(appends, reads, final, says) -> None:
    assert any(says in fault for fault in check_appends(appends, reads, final))


def test_an_unanswered_append_may_appear_late_or_never() -> None:
    lost = append("a", 0, NEVER, Answer.UNKNOWN)
    assert check_appends([lost, append("b", 1, 2)], [Read(("b",), 3, 4)], ["b", "a"]) == []
    assert check_appends([lost, append("b", 1, 2)], [], ["b"]) == []


def test_a_read_may_be_as_old_as_it_was_allowed_to_be() -> None:
    appends = [append("a", 0, 1)]
    assert check_appends(appends, [Read((), 1.5, 2, staleness=1.0)], ["a"]) == []
    assert check_appends(appends, [Read((), 2.5, 3, staleness=1.0)], ["a"])


# --- agreement --------------------------------------------------------------------------------------------------------


class Story:
    """A random history of a list, right or spoilt in one place."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self.appends: list[Append] = []
        self.reads: list[Read] = []
        self.final: list[str] = []
        for number in range(rng.randint(2, 7)):
            moment = float(10 * number)
            invoked, returned = moment - rng.uniform(0, 25), moment + rng.uniform(0, 25)
            if rng.random() < 0.5:
                self._append(rng, f"t{number}", invoked, returned)
            else:
                self.reads.append(Read(tuple(self.final), invoked, returned))
        if rng.random() < 0.7:
            self._spoil(rng)
        self.end = 1_000.0

    def _append(self, rng: random.Random, token: str, invoked: float, returned: float) -> None:
        unknown = rng.random() < 0.25
        if not unknown or rng.random() < 0.5:
            self.final.append(token)
        answer = Answer.UNKNOWN if unknown else Answer.DONE
        self.appends.append(append(token, invoked, NEVER if unknown else returned, answer))

    def _spoil(self, rng: random.Random) -> None:
        what = rng.choice(("swap", "lose", "stale", "shift"))
        if what == "swap" and len(self.final) > 1:
            place = rng.randrange(len(self.final) - 1)
            self.final[place : place + 2] = reversed(self.final[place : place + 2])
        elif what == "lose" and self.final:
            self.final.pop(rng.randrange(len(self.final)))
        elif self.reads:
            place = rng.randrange(len(self.reads))
            read = self.reads[place]
            shift = rng.uniform(-40, 40) if what == "shift" else 0.0
            tokens = read.tokens[: rng.randint(0, len(read.tokens))] if what == "stale" else read.tokens
            self.reads[place] = Read(tokens, read.invoked + shift, read.returned + shift)

    def operations(self) -> list[Operation]:
        found = [
            Operation(
                ("append", one.token), UNANSWERED if one.answer is Answer.UNKNOWN else None, one.invoked, one.returned
            )
            for one in self.appends
        ]
        found += [Operation(("read",), read.tokens, read.invoked, read.returned) for read in self.reads]
        return [*found, Operation(("read",), tuple(self.final), self.end, self.end + 1)]


def brute_force(operations: Sequence[Operation]) -> bool:
    certain = [one for one in operations if one.result is not UNANSWERED]
    maybe = [one for one in operations if one.result is UNANSWERED]
    for count in range(len(maybe) + 1):
        for chosen in itertools.combinations(maybe, count):
            if any(explains(order) for order in itertools.permutations([*certain, *chosen])):
                return True
    return False


def explains(order: Sequence[Operation]) -> bool:
    state: Hashable = ()
    for place, one in enumerate(order):
        if any(later.result is not UNANSWERED and later.returned < one.invoked for later in order[place + 1 :]):
            return False
        state, result = a_list(state, one.call)
        if one.result is not UNANSWERED and result != one.result:
            return False
    return True


@pytest.mark.parametrize("block", range(10))
def test_the_order_check_and_the_search_say_the_same(block: int) -> None:
    wrong = 0
    for seed in range(block * 100, block * 100 + 100):
        story = Story(seed)
        ordered = not check_appends(story.appends, story.reads, story.final)
        verdict = check_linearizable(story.operations(), (), a_list)
        assert verdict is (Verdict.LINEARIZABLE if ordered else Verdict.NOT_LINEARIZABLE), f"seed {seed}"
        wrong += not ordered
    assert wrong > 10, "too few histories were spoilt to tell anything"


def test_the_search_agrees_with_trying_every_order() -> None:
    for seed in range(150):
        operations = Story(seed).operations()
        if len(operations) <= 7:
            found = check_linearizable(operations, (), a_list) is Verdict.LINEARIZABLE
            assert found == brute_force(operations), f"seed {seed}"


def test_a_search_that_meets_its_bound_says_so() -> None:
    operations = [Operation(("append", str(n)), UNANSWERED, 0) for n in range(12)]
    impossible = Operation(("read",), ("x",), 1, 2)
    assert check_linearizable([*operations, impossible], (), a_list, states_max=1_000) is Verdict.UNDECIDED


# --- transactions over several lists ----------------------------------------------------------------------------------


def transaction(name: str, at: float, *, committed: bool | None = True, **lists: Any) -> Transaction:
    appends = {key: value for key, value in lists.items() if isinstance(value, str)}
    reads = {key: value for key, value in lists.items() if isinstance(value, tuple)}
    return Transaction(name, at, NEVER if committed is None else at + 1, committed, appends, reads)


def test_serial_transactions_are_fine() -> None:
    history = [
        transaction("t1", 0, x="1", y="1"),
        transaction("t2", 2, x="2"),
        transaction("t3", 4, x=("1", "2"), y=("1",)),
    ]
    assert check_transactions(history, {"x": ["1", "2"], "y": ["1"]}) == []


@pytest.mark.parametrize(
    ("history", "final", "says"),
    [
        ([transaction("t1", 0, x="1", y="1")], {"x": ["1"]}, "missing in ['y']"),
        ([transaction("t1", 0, committed=None, x="1", y="1")], {"x": ["1"]}, "only in ['x']"),
        ([transaction("t1", 0, committed=False, x="1")], {"x": ["1"]}, "was refused"),
        ([], {"x": ["1"]}, "nobody wrote"),
        ([transaction("t1", 0, x="1")], {"x": ["1", "1"]}, "twice"),
        ([transaction("t1", 0, x="1"), transaction("t2", 2, x=("2",))], {"x": ["1"]}, "no prefix"),
        # write skew: each read what the other had not yet written
        (
            [
                Transaction("t1", 0, 9, True, {"x": "1"}, {"y": ()}),
                Transaction("t2", 0, 9, True, {"y": "2"}, {"x": ()}),
            ],
            {"x": ["1"], "y": ["2"]},
            "no order explains",
        ),
        # a stale read after the write had returned
        ([transaction("t1", 0, x="1"), transaction("t2", 5, x=())], {"x": ["1"]}, "-rt->"),
        # half of another transaction
        (
            [
                Transaction("t1", 0, 9, True, {"x": "1", "y": "1"}),
                Transaction("t2", 0, 9, True, {}, {"x": ("1",), "y": ()}),
            ],
            {"x": ["1"], "y": ["1"]},
            "no order explains",
        ),
    ],
)
def test_what_no_serial_order_explains_is_named(history, final, says) -> None:
    assert any(says in fault for fault in check_transactions(history, final))


def test_a_transaction_without_an_answer_may_have_happened_or_not() -> None:
    unknown = transaction("t1", 0, committed=None, x="1", y="1")
    assert check_transactions([unknown], {"x": ["1"], "y": ["1"]}) == []
    assert check_transactions([unknown], {}) == []


def test_components_are_the_mutually_reachable() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        nodes = range(rng.randint(1, 9))
        following = {node: [other for other in nodes if rng.random() < 0.2] for node in nodes}
        reach = {node: {node} for node in nodes}
        for _ in nodes:
            for node in nodes:
                reach[node] |= {far for near in reach[node] for far in following[near]}
        expected = {tuple(sorted(b for b in nodes if b in reach[a] and a in reach[b])) for a in nodes}
        assert {tuple(one) for one in components(following, nodes)} == expected, f"seed {seed}"
