"""The queue as JSON, and the bodies that its verbs take."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from booru_ml.fields import FaceBoxSerializer, Moment, PostKeyField, Username
from booru_ml.http import StrictSerializer
from booru_ml.types import PostFacts, Rating
from moderation import states
from moderation.models import Case, Decision, Flag
from moderation.services.bulk import MOST_AT_ONCE
from moderation.services.decisions import MAX_NOTE
from tagging.api import SuggestionSerializer, TagSerializer

RATINGS = [(rating.value, rating.value) for rating in Rating]
ANY = "all"


class QueuePostSerializer(serializers.Serializer[Any]):
    id = PostKeyField()
    url = serializers.CharField()
    picture_url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    status = serializers.CharField(help_text="pending, active, flagged or deleted.")
    rating = serializers.ChoiceField(choices=RATINGS, allow_null=True)
    source = serializers.CharField()  # type: ignore[assignment]  # a field of this name, not where one reads from
    tags = serializers.SerializerMethodField()

    @extend_schema_field(TagSerializer(many=True))
    def get_tags(self, facts: PostFacts) -> list[dict[str, str]]:
        return [{"name": tag.name, "category": str(tag.category)} for tag in sorted(facts.tags)]


class FlagSerializer(serializers.Serializer[Any]):
    reason = serializers.ChoiceField(choices=Flag.Reason.choices)
    score = serializers.FloatField(min_value=0, max_value=1)
    sentence = serializers.CharField(help_text="For people, plain text.")
    model_version = serializers.CharField()
    raised_at = Moment()


class RatingShareSerializer(serializers.Serializer[Any]):
    rating = serializers.ChoiceField(choices=RATINGS)
    probability = serializers.FloatField(source="share", min_value=0, max_value=1)
    rated = serializers.BooleanField(help_text="The post carries this rating.")
    likeliest = serializers.BooleanField()


class FaceNameSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(source="0")
    probability = serializers.FloatField(source="1")
    state = serializers.CharField(source="2", help_text="The state of the suggestion that names it.")


class FaceSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField(help_text="From left to right, from 0.")
    box = FaceBoxSerializer()
    score = serializers.FloatField(help_text="How sure the detector is, 0–1.")
    names = FaceNameSerializer(many=True, help_text="Likeliest first; empty where nobody was recognised.")


class QueueNeighbourSerializer(serializers.Serializer[Any]):
    post = PostKeyField(source="post.id")
    thumbnail_url = serializers.CharField(source="post.thumbnail_url")
    status = serializers.CharField(source="post.status")
    similarity = serializers.FloatField(help_text="Cosine, -1–1.")
    duplicate = serializers.BooleanField()


class HistorySerializer(serializers.Serializer[Any]):
    """One line of a case's history."""

    id = serializers.IntegerField()
    verb = serializers.ChoiceField(choices=Decision.Verb.choices)
    actor = serializers.CharField(allow_null=True, help_text="Null where a new reason reopened the case.")
    at = Moment()
    sentence = serializers.CharField()
    note = serializers.CharField()
    undone = serializers.BooleanField()
    undoable = serializers.BooleanField(help_text="What an undo would take back now.")


class CaseSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(source="case_id")
    state = serializers.ChoiceField(choices=Case.State.choices)
    version = serializers.IntegerField(help_text="Send it with a decision, so that none is made on a stale view.")
    value = serializers.FloatField(help_text="Expected value of a look: risk × uncertainty × age.")
    opened_at = Moment()
    decided_at = Moment(allow_null=True)
    claimed_by = serializers.CharField(allow_null=True)
    claimed_until = Moment(allow_null=True)
    post = QueuePostSerializer()
    uploader = serializers.CharField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    flags = FlagSerializer(many=True)
    ratings = RatingShareSerializer(many=True)
    scores = serializers.DictField(
        child=serializers.DictField(child=serializers.FloatField()), help_text="Small heads: probability by label."
    )
    suggestions = SuggestionSerializer(many=True)
    faces = FaceSerializer(many=True)
    neighbours = QueueNeighbourSerializer(many=True)
    history = HistorySerializer(many=True)


class CaseDecisionSerializer(serializers.Serializer[Any]):
    """A decision and the real change that it made on the board."""

    id = serializers.IntegerField()
    case = serializers.IntegerField(source="case_id")
    verb = serializers.ChoiceField(choices=Decision.Verb.choices)
    from_state = serializers.ChoiceField(choices=Case.State.choices)
    to_state = serializers.ChoiceField(choices=Case.State.choices)
    status_before = serializers.CharField(source="delta.status_before", allow_null=True, default=None)
    status_after = serializers.CharField(source="delta.status_after", allow_null=True, default=None)
    tag_decisions = serializers.ListField(
        source="delta.tag_decisions", child=serializers.IntegerField(), default=[], help_text="Made along with it."
    )
    note = serializers.CharField()
    actor = Username()
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    created_at = Moment()


class CaseOutcomeSerializer(serializers.Serializer[Any]):
    decision = CaseDecisionSerializer()
    case = CaseSerializer()


class RefusedSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    code = serializers.CharField()
    message = serializers.CharField()


class CaseBulkOutcomeSerializer(serializers.Serializer[Any]):
    decisions = CaseDecisionSerializer(many=True)
    refused = RefusedSerializer(many=True, help_text="Left as they are, and why.")


class QueueQuery(StrictSerializer):
    state = serializers.ChoiceField(choices=[*Case.State.choices, (ANY, "All")], default=states.OPEN)
    reason = serializers.ChoiceField(choices=Flag.Reason.choices, required=False, help_text="With this active flag.")
    held = serializers.ChoiceField(
        choices=[("mine", "claimed by me"), ("free", "free for me")], required=False, help_text="By claim."
    )


class NextBody(StrictSerializer):
    reason = serializers.ChoiceField(choices=Flag.Reason.choices, required=False)


class RejectBody(StrictSerializer):
    version = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1, help_text="The version that was looked at."
    )
    note = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NOTE, default="")


class ApproveBody(RejectBody):
    suggestions = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        required=False,
        max_length=100,
        help_text="Suggestions of the post to accept along with it.",
    )


class CaseVersion(StrictSerializer):
    id = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    version = serializers.IntegerField(required=False, min_value=0, max_value=2**31 - 1)


class DecideManyBody(StrictSerializer):
    verb = serializers.ChoiceField(choices=[states.APPROVE, states.REJECT])
    cases = serializers.ListField(child=CaseVersion(), allow_empty=False, max_length=MOST_AT_ONCE)
    note = serializers.CharField(required=False, allow_blank=True, max_length=MAX_NOTE, default="")
