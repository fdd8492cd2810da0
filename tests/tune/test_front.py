"""Models that no other beats, and the one that a budget asks for."""

from hypothesis import given
from hypothesis import strategies as st

from snnquant.tune.front import Limits, Point, choose, dominates, front_of
from snnquant.tune.measure import Measures


def point(bits, error, drop=None, name=0):
    accuracy = None if drop is None else 0.9 - drop
    return Point((name,), bits, 0.0, Measures(error, 1.0, 1.0, 0.0, accuracy, drop))


POINTS = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(-2, 9)), min_size=1, max_size=15
).map(lambda drawn: [point(b, e / 10, d / 100, k) for k, (b, e, d) in enumerate(drawn)])


@given(POINTS)
def test_the_front_is_what_nothing_beats(points):
    front = front_of(points)
    alone = [p for p in points if not any(dominates(other, p) for other in points)]
    assert {(p.bits, p.measures.error) for p in front} == {
        (p.bits, p.measures.error) for p in alone
    }
    assert [p.bits for p in front] == sorted({p.bits for p in front})
    errors = [p.measures.error for p in front]
    assert errors == sorted(set(errors), reverse=True)


@given(POINTS)
def test_nothing_beats_itself_and_no_two_beat_each_other(points):
    for one in points:
        assert not dominates(one, one)
        assert not any(dominates(one, other) and dominates(other, one) for other in points)


@given(POINTS, st.integers(0, 10))
def test_within_a_size_the_error_is_smallest(points, most):
    chosen = choose(points, Limits(bits=most))
    fitting = [p for p in points if p.bits <= most]
    if not fitting:
        assert chosen is None
        return
    assert chosen.bits <= most
    assert chosen.measures.error == min(p.measures.error for p in fitting)
    assert chosen in fitting
    assert any(p is chosen or p == chosen for p in points)


@given(POINTS, st.integers(-3, 10), st.one_of(st.none(), st.integers(0, 10)))
def test_within_a_drop_the_model_is_smallest(points, drop, most):
    chosen = choose(points, Limits(most, drop / 100))
    fitting = [p for p in points if p.measures.drop <= drop / 100 + 1e-12]
    fitting = [p for p in fitting if most is None or p.bits <= most]
    assert (chosen is None) == (not fitting)
    if fitting and most is None:
        assert chosen.bits == min(p.bits for p in fitting)
    elif fitting:
        assert chosen.measures.error == min(p.measures.error for p in fitting)


def test_without_a_budget_nothing_is_chosen():
    assert choose([point(1, 0.0, 0.0)], Limits()) is None


def test_without_labels_no_drop_is_met():
    assert choose([point(1, 0.0)], Limits(drop=1.0)) is None


def test_a_drop_that_was_rounded_is_met():
    assert choose([point(1, 0.0, 0.1 + 0.2 - 0.2)], Limits(drop=0.1)) is not None
