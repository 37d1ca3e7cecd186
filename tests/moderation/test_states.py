from hypothesis import given
from hypothesis import strategies as st

from moderation import states
from moderation.models import Case, Decision

VERBS = (states.APPROVE, states.REJECT, states.REOPEN, states.UNDO)


def test_the_table_speaks_the_languages_of_the_database() -> None:
    assert set(states.STATES) == set(Case.State.values)
    assert set(VERBS) == set(Decision.Verb.values)


def test_every_transition_leads_to_a_known_state_that_differs() -> None:
    for (start, verb), end in states.TRANSITIONS.items():
        assert start in states.STATES
        assert end in states.STATES
        assert verb in VERBS
        assert start != end


def test_only_open_cases_are_decided_and_only_decided_ones_reopened() -> None:
    starts = {verb: {start for start, other in states.TRANSITIONS if other == verb} for verb in VERBS}
    assert starts[states.APPROVE] == starts[states.REJECT] == {states.OPEN}
    assert starts[states.REOPEN] == starts[states.UNDO] == {states.APPROVED, states.REJECTED}


def test_a_decision_that_is_undone_leads_back_to_where_it_started() -> None:
    for verb in (states.APPROVE, states.REJECT):
        decided = states.TRANSITIONS[states.OPEN, verb]
        assert states.TRANSITIONS[decided, states.UNDO] == states.OPEN


@given(active=st.frozensets(st.text(max_size=5)), judged=st.frozensets(st.text(max_size=5)))
def test_only_reasons_nobody_judged_are_new(active: frozenset[str], judged: frozenset[str]) -> None:
    new = states.new_reasons(active, judged)
    assert new <= active
    assert not new & judged
    assert active <= new | judged
    assert not states.new_reasons(active, judged | active)
