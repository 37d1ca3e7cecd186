"""Suggestions over HTTP: read, accept, reject, undo. Rules and mutations live in ``services``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.errors import NotFound
from booru_ml.fields import FaceBoxSerializer, Moment, PostKeyField, Username
from booru_ml.host.loader import host
from booru_ml.http import ApiView, Cursor, Nothing, StrictSerializer, post_key, read_body, read_query
from booru_ml.openapi import extend_schema
from booru_ml.types import Category, PostFacts
from tagging import permissions, selectors, services
from tagging.models import Suggestion, TagDecision

CATEGORIES = [(item.value, item.value) for item in Category]


class SuggestionSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    post = PostKeyField(source="post_id")
    name = serializers.CharField(help_text="A tag; g, s, q or e where category is rating.")
    category = serializers.ChoiceField(choices=CATEGORIES)
    score = serializers.FloatField(min_value=0, max_value=1)
    state = serializers.ChoiceField(choices=Suggestion.State.choices)
    origin = serializers.ChoiceField(
        choices=Suggestion.Source.choices,
        source="source",
        help_text="What proposed it: a network or enrolled pictures.",
    )
    why = serializers.CharField(help_text="A sentence for people, plain text.")
    shares = serializers.DictField(
        child=serializers.FloatField(), help_text="Of ratings and grades: every alternative's probability."
    )
    box = FaceBoxSerializer(allow_null=True)
    confirms = serializers.BooleanField(help_text="The post already is what this suggests.")
    model_version = serializers.CharField()
    gallery_revision = serializers.IntegerField(allow_null=True)
    created_at = Moment()
    scored_at = Moment()
    decision = serializers.IntegerField(
        source="decision_id", allow_null=True, help_text="The standing decision, which can be undone."
    )
    decided_by = serializers.CharField(allow_null=True)
    decided_at = Moment(allow_null=True)


class PostSuggestionsSerializer(serializers.Serializer[Any]):
    post = PostKeyField()
    may_decide = serializers.BooleanField(help_text="Whether this user may accept and reject here.")
    suggestions = SuggestionSerializer(many=True)


class TagSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    category = serializers.ChoiceField(choices=CATEGORIES)


class DeltaSerializer(serializers.Serializer[Any]):
    """What really changed on the post."""

    tags_added = TagSerializer(many=True)
    tags_removed = TagSerializer(many=True)
    rating_before = serializers.CharField(allow_null=True)
    rating_after = serializers.CharField(allow_null=True)

    def to_representation(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "tags_added": [{"name": name, "category": category} for name, category in instance.get("tags_added", ())],
            "tags_removed": [{"name": name, "category": kind} for name, kind in instance.get("tags_removed", ())],
            "rating_before": instance.get("rating_before"),
            "rating_after": instance.get("rating_after"),
        }


class TagDecisionSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    suggestion = serializers.IntegerField(source="suggestion_id")
    name = serializers.CharField(source="suggestion.name")
    category = serializers.ChoiceField(choices=CATEGORIES, source="suggestion.category")
    verb = serializers.ChoiceField(choices=TagDecision.Verb.choices)
    from_state = serializers.ChoiceField(choices=Suggestion.State.choices)
    to_state = serializers.ChoiceField(choices=Suggestion.State.choices)
    delta = DeltaSerializer()
    actor = Username()
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    undone = serializers.SerializerMethodField()
    created_at = Moment()

    def get_undone(self, row: TagDecision) -> bool:
        return hasattr(row, "undone_by")


class OutcomeSerializer(serializers.Serializer[Any]):
    decision = TagDecisionSerializer()
    suggestion = SuggestionSerializer()


class SuggestionQuery(StrictSerializer):
    state = serializers.ChoiceField(choices=Suggestion.State.choices, required=False, help_text="Only this state.")
    confirming = serializers.BooleanField(default=False, help_text="Also what the post already fulfils.")


class PostSuggestionsView(ApiView):
    """Suggestions of a post, for everyone who is logged in; of a deleted post, for moderators."""

    @extend_schema(parameters=[SuggestionQuery], responses=PostSuggestionsSerializer)
    def get(self, request: Request, post_id: str) -> Response:
        query = read_query(request, SuggestionQuery)
        facts = _visible_post(request, post_id)
        states = [query["state"]] if "state" in query else selectors.SHOWN
        found = selectors.suggestions_of([facts.id], confirming=query["confirming"], states=states)
        body = {
            "post": facts.id,
            "may_decide": permissions.may_decide(request.user, facts),
            "suggestions": found[facts.id],
        }
        return Response(PostSuggestionsSerializer(body).data)


class PostDecisionsView(ApiView):
    """What became of a post's suggestions: every decision and undo, newest first."""

    pagination_class = Cursor

    @extend_schema(responses=TagDecisionSerializer(many=True))
    def get(self, request: Request, post_id: str) -> Response:
        facts = _visible_post(request, post_id)
        return self.page(selectors.decisions_of(facts.id), TagDecisionSerializer)


class AcceptView(ApiView):
    """Writes the suggestion to the post: a tag into its tags, a rating into its rating."""

    @extend_schema(request=Nothing, responses=OutcomeSerializer)
    def post(self, request: Request, suggestion_id: int) -> Response:
        read_body(request, Nothing)
        return _outcome(services.accept(suggestion_id=suggestion_id, actor=request.user))


class RejectView(ApiView):
    """Refuses the suggestion for good, whatever later analyses say."""

    @extend_schema(request=Nothing, responses=OutcomeSerializer)
    def post(self, request: Request, suggestion_id: int) -> Response:
        read_body(request, Nothing)
        return _outcome(services.reject(suggestion_id=suggestion_id, actor=request.user))


class UndoView(ApiView):
    """Takes a decision back, together with exactly what it changed."""

    @extend_schema(request=Nothing, responses=OutcomeSerializer)
    def post(self, request: Request, decision_id: int) -> Response:
        read_body(request, Nothing)
        return _outcome(services.undo(decision_id=decision_id, actor=request.user))


def _visible_post(request: Request, post_id: str) -> PostFacts:
    key = post_key(post_id)
    facts = host().facts([key]).get(key)
    if facts is None or not permissions.may_see(request.user, facts):
        raise NotFound("There is no such post.")
    return facts


def _outcome(decision: TagDecision) -> Response:
    body = {"decision": decision, "suggestion": selectors.suggestion(decision.suggestion_id)}
    return Response(OutcomeSerializer(body).data)
