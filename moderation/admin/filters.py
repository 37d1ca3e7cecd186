"""The queue's filters, drawn as a row of links above the cards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest

from moderation import states
from moderation.models import Case, CaseQuerySet, Flag
from moderation.types import Counts

ALL = "all"


class StateFilter(admin.SimpleListFilter):
    """Open cases unless something else is asked for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*Case.State.choices, (ALL, "All")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        state = self.value() or states.OPEN
        return queryset if state == ALL else queryset.filter(state=state)


class ReasonFilter(admin.SimpleListFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(value), str(label)) for value, label in Flag.Reason.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        return queryset.with_reason(self.value()) if isinstance(queryset, CaseQuerySet) else queryset


class HolderFilter(admin.SimpleListFilter):
    title = "moderator"
    parameter_name = "held"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("mine", "Claimed by me")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Case]) -> QuerySet[Case]:
        if self.value() == "mine" and isinstance(queryset, CaseQuerySet):
            return queryset.held_by(request.user.pk)
        return queryset


@dataclass(frozen=True, slots=True)
class Pill:
    """A link of the filter row; ``count`` is None where it is not worth a query."""

    label: str
    url: str
    selected: bool
    count: int | None = None


def state_pills(cl: ChangeList, counts: Counts) -> Iterator[Pill]:
    chosen = cl.params.get("state", states.OPEN)
    for state, label in Case.State.choices:
        url = cl.get_query_string({"state": state}, ["p"])
        yield Pill(str(label), url, chosen == state, counts.states[state])
    yield Pill("All", cl.get_query_string({"state": ALL}, ["p"]), chosen == ALL, sum(counts.states.values()))


def reason_pills(cl: ChangeList, counts: Counts) -> Iterator[Pill]:
    """Reasons, and the moderator's own claims. Their counts are of open cases, so other states go without."""
    chosen = cl.params.get("reason")
    counted = cl.params.get("state", states.OPEN) == states.OPEN
    yield Pill("Any reason", cl.get_query_string(remove=["reason", "p"]), chosen is None)
    for reason, label in Flag.Reason.choices:
        count = counts.reasons[str(reason)]
        if count or not counted or chosen == reason:
            url = cl.get_query_string({"reason": reason}, ["p"])
            yield Pill(str(label).capitalize(), url, chosen == reason, count if counted else None)
    if counts.mine or cl.params.get("held"):
        held = cl.params.get("held") == "mine"
        url = cl.get_query_string(remove=["held", "p"]) if held else cl.get_query_string({"held": "mine"}, ["p"])
        yield Pill("Claimed by me", url, held, counts.mine)
