from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moderation import priority, rules

scores = st.floats(0, 1)
flags = st.lists(st.tuples(st.sampled_from(rules.REASONS), scores), max_size=6)
risks = st.floats(0.001, 1)
uncertainties = st.floats(0.5, 1)
moments = st.datetimes(
    min_value=priority.EPOCH.replace(tzinfo=None),
    max_value=(priority.EPOCH + timedelta(days=3650)).replace(tzinfo=None),
).map(lambda moment: moment.replace(tzinfo=priority.EPOCH.tzinfo))


def test_every_reason_has_a_weight() -> None:
    assert set(priority.WEIGHTS) == set(rules.REASONS)


@given(flags)
def test_risk_is_a_probability_and_never_below_the_base(found: list[tuple[str, float]]) -> None:
    assert priority.BASE_RISK - 1e-12 <= priority.risk(found) <= 1


@given(flags, st.sampled_from(rules.REASONS), scores)
def test_another_flag_never_lowers_the_risk(found: list[tuple[str, float]], reason: str, score: float) -> None:
    assert priority.risk([*found, (reason, score)]) >= priority.risk(found) - 1e-12


@given(st.sampled_from(rules.REASONS), scores, scores)
def test_a_higher_score_never_lowers_the_risk(reason: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert priority.risk([(reason, low)]) <= priority.risk([(reason, high)]) + 1e-12


def test_a_reason_from_a_newer_version_still_counts() -> None:
    assert priority.risk([("haunted", 1.0)]) > priority.risk([])


@given(st.lists(scores, max_size=6))
def test_uncertainty_stays_between_one_half_and_one(values: list[float]) -> None:
    assert 0.5 <= priority.uncertainty(values) <= 1


def test_uncertainty_is_least_for_a_sure_answer_and_greatest_for_an_even_or_missing_one() -> None:
    assert priority.uncertainty([1, 0, 0, 0]) == 0.5
    assert priority.uncertainty([0.25] * 4) == pytest.approx(1)
    assert priority.uncertainty(None) == priority.uncertainty([0, 0]) == 1
    assert priority.uncertainty([0.9, 0.1, 0, 0]) < priority.uncertainty([0.6, 0.4, 0, 0])


@given(risks, risks, uncertainties, moments)
def test_priority_rises_with_risk(one: float, other: float, unsure: float, opened) -> None:
    low, high = sorted((one, other))
    at = {"uncertainty": unsure, "opened_at": opened}
    assert priority.priority(risk=low, **at) <= priority.priority(risk=high, **at)


@given(risks, uncertainties, uncertainties, moments)
def test_priority_rises_with_uncertainty(risk: float, one: float, other: float, opened) -> None:
    low, high = sorted((one, other))
    at = {"risk": risk, "opened_at": opened}
    assert priority.priority(uncertainty=low, **at) <= priority.priority(uncertainty=high, **at)


@given(risks, uncertainties, moments, moments)
def test_the_case_that_waited_longer_comes_first(risk: float, unsure: float, one, other) -> None:
    earlier, later = sorted((one, other))
    same = {"risk": risk, "uncertainty": unsure}
    assert priority.priority(opened_at=earlier, **same) >= priority.priority(opened_at=later, **same)


@given(risks, risks, moments, moments, st.lists(st.floats(0, 30), min_size=2, max_size=2))
def test_the_order_of_two_cases_never_changes_by_waiting(one: float, other: float, first, second, days) -> None:
    stored = [
        priority.priority(risk=one, uncertainty=1, opened_at=first),
        priority.priority(risk=other, uncertainty=1, opened_at=second),
    ]
    start = max(first, second)
    for wait in days:
        now = start + timedelta(days=wait)
        values = [priority.value(number, now=now) for number in stored]
        if stored[0] > stored[1] + 1e-9:
            assert values[0] > values[1]


@given(risks, uncertainties, moments)
def test_the_value_starts_as_risk_times_uncertainty_and_doubles_every_day(risk: float, unsure: float, opened) -> None:
    number = priority.priority(risk=risk, uncertainty=unsure, opened_at=opened)
    assert priority.value(number, now=opened) == pytest.approx(risk * unsure, rel=1e-6)
    assert priority.value(number, now=opened + priority.DOUBLING) == pytest.approx(2 * risk * unsure, rel=1e-6)


def test_a_pending_post_without_flags_comes_last_among_those_of_its_hour() -> None:
    plain = priority.risk([])
    assert all(priority.risk([(reason, 0.6)]) * 0.5 > plain for reason in rules.REASONS)
