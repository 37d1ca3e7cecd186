"""The gallery's upkeep over HTTP: dry runs, health, merge, split, history and undo."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.fields import FaceBoxSerializer, Moment, PostKeyField, Username
from booru_ml.http import ApiView, Cursor, Nothing, StrictSerializer, read_body, read_query, requires
from booru_ml.openapi import extend_schema
from embeddings import selectors, services
from embeddings.api import EnrolView, SubjectSerializer, SupportRefSerializer, refs
from embeddings.models import Change, Subject
from embeddings.services.references import MOST_POSTS

KEY: dict[str, Any] = {"min_value": 1, "max_value": 2**63 - 1}


def _pictures() -> serializers.ListField:
    return serializers.ListField(child=SupportRefSerializer(), max_length=MOST_POSTS, required=False, default=[])


class PreviewBody(StrictSerializer):
    subject = serializers.IntegerField(**KEY, required=False, help_text="Somebody known, who would be changed.")
    name = serializers.CharField(max_length=200, required=False, help_text="Somebody new, or known by this name.")
    posts = _pictures()
    posts_not = _pictures()
    without = serializers.ListField(
        child=serializers.IntegerField(**KEY),
        max_length=1000,
        required=False,
        default=[],
        help_text="Ids of support pictures that would be removed.",
    )
    merged = serializers.IntegerField(**KEY, required=False, help_text="Somebody whose pictures it would take over.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("subject" in attrs) == ("name" in attrs):
            raise serializers.ValidationError("Give either a subject or a name.")
        return attrs


class HitSerializer(serializers.Serializer[Any]):
    post = PostKeyField(source="hit.post_id")
    probability = serializers.FloatField(source="hit.probability", min_value=0, max_value=1)
    similarity = serializers.FloatField(source="hit.similarity")
    margin = serializers.FloatField(source="hit.margin", help_text="Lead over the best rival, standard deviations.")
    named = serializers.BooleanField(source="hit.known", help_text="It would be suggested.")
    tagged = serializers.BooleanField(help_text="The post bears the tag already.")
    face = serializers.IntegerField(source="hit.face", allow_null=True)
    box = FaceBoxSerializer(source="hit.box", allow_null=True)
    nearest = serializers.ListField(child=PostKeyField(), source="hit.nearest_post_ids")
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    threshold = serializers.FloatField(help_text="From where on the gallery names anybody.")
    count = serializers.IntegerField(help_text="Posts that would be named.")
    compared = serializers.IntegerField(help_text="The nearest so many posts were looked at")
    total = serializers.IntegerField(help_text="of so many that are analysed.")
    complete = serializers.BooleanField()
    examples = serializers.IntegerField(help_text="Pictures that would show it.")
    waiting = serializers.IntegerField(help_text="Of all its pictures, those that are not analysed yet.")
    hits = HitSerializer(many=True, help_text="The likeliest first, down to 2 %.")


class SuspicionSerializer(serializers.Serializer[Any]):
    support = serializers.IntegerField(source="support_id")
    post = PostKeyField(source="post_id")
    own = serializers.FloatField(help_text="Cosine to the rest of its subject.")
    rival = serializers.CharField(allow_null=True)
    rival_similarity = serializers.FloatField(allow_null=True)
    reason = serializers.ChoiceField(
        choices=[("rival", "rival"), ("lonely", "lonely")],
        help_text="rival: nearer to another; lonely: like nobody enrolled, a new look or a mistake.",
    )


class CheckupSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField(help_text="By which vectors: picture, face or style.")
    supports = serializers.IntegerField()
    consistency = serializers.FloatField(
        allow_null=True, help_text="0–1: how many of its pictures are nearer to the others than to any rival."
    )
    rival = serializers.CharField(allow_null=True, help_text="Whoever is most like it.")
    rival_id = serializers.IntegerField(allow_null=True)
    similarity = serializers.FloatField(allow_null=True, help_text="How much: cosine of the means.")
    suspicions = SuspicionSerializer(many=True)


class MergeBody(StrictSerializer):
    into = serializers.IntegerField(**KEY, help_text="Who takes the pictures over.")


class SplitBody(StrictSerializer):
    name = serializers.CharField(max_length=200)
    supports = serializers.ListField(
        child=serializers.IntegerField(**KEY), allow_empty=False, max_length=1000, help_text="Pictures of the new one."
    )


class ChangesQuery(StrictSerializer):
    subject = serializers.IntegerField(**KEY, required=False, help_text="Only changes that concern this one.")


class ChangeSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    verb = serializers.ChoiceField(choices=Change.Verb.choices)
    subject = serializers.IntegerField(source="subject_id")
    name = serializers.CharField()
    category = serializers.ChoiceField(choices=Subject.Category.choices)
    sentence = serializers.SerializerMethodField()
    delta = serializers.JSONField(help_text="Rows as they were before and after.")
    revision = serializers.IntegerField(help_text="The gallery's revision from then on.")
    actor = Username()
    undoes = serializers.IntegerField(source="undoes_id", allow_null=True)
    undone = serializers.SerializerMethodField()
    created_at = Moment()

    def get_sentence(self, row: Change) -> str:
        return selectors.sentence(row)

    def get_undone(self, row: Change) -> bool:
        return hasattr(row, "undone_by")


class PreviewView(EnrolView):
    @extend_schema(request=PreviewBody, responses=PreviewSerializer)
    def post(self, request: Request) -> Response:
        """Which posts would be named by an enrolment or a change, before anything is written."""
        body = read_body(request, PreviewBody)
        if "subject" in body:
            selectors.subject(body["subject"], category=self.category)
        found = services.preview(
            subject_id=body.get("subject"),
            name=body.get("name", ""),
            category=self.category,
            show=refs(body["posts"]),
            show_not=refs(body["posts_not"]),
            without=body["without"],
            merged_id=body.get("merged"),
        )
        views = selectors.hit_views(found.hits, name=found.name, viewer=request.user)
        fields = ("name", "threshold", "count", "compared", "total", "complete", "examples", "waiting")
        return Response(PreviewSerializer({name: getattr(found, name) for name in fields} | {"hits": views}).data)


class HealthView(EnrolView):
    @extend_schema(responses=CheckupSerializer(many=True))
    def get(self, request: Request, subject_id: int) -> Response:
        """How well it is known by each kind of vector, and pictures that may be mislabelled."""
        found = selectors.subject(subject_id, category=self.category)
        return Response(CheckupSerializer(services.checkup(found.pk), many=True).data)


class MergeView(EnrolView):
    @extend_schema(request=MergeBody, responses=SubjectSerializer)
    def post(self, request: Request, subject_id: int) -> Response:
        """Gives its pictures to another and forgets it; can be undone."""
        found, body = selectors.subject(subject_id, category=self.category), read_body(request, MergeBody)
        target = services.merge(subject_id=found.pk, into_id=body["into"], actor=request.user)
        return Response(SubjectSerializer(selectors.subject(target.pk)).data)


class SplitView(EnrolView):
    @extend_schema(request=SplitBody, responses={201: SubjectSerializer})
    def post(self, request: Request, subject_id: int) -> Response:
        """Moves some of its pictures to a new one; can be undone."""
        found, body = selectors.subject(subject_id, category=self.category), read_body(request, SplitBody)
        made = services.split(subject_id=found.pk, support_ids=body["supports"], name=body["name"], actor=request.user)
        return Response(SubjectSerializer(selectors.subject(made.pk)).data, status=201)


class ChangesView(ApiView):
    permission_classes = (requires(selectors.ENROL, safe=False),)
    pagination_class = Cursor

    @extend_schema(parameters=[ChangesQuery], responses=ChangeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The history of the gallery, the latest first."""
        query = read_query(request, ChangesQuery)
        return self.page(selectors.changes(subject_id=query.get("subject")), ChangeSerializer)


class UndoView(ApiView):
    permission_classes = (requires(selectors.ENROL),)

    @extend_schema(request=Nothing, responses=ChangeSerializer)
    def post(self, request: Request, change_id: int) -> Response:
        """Takes a change back, exactly; an undo can be undone, too."""
        read_body(request, Nothing)
        return Response(ChangeSerializer(services.undo(change_id=change_id, actor=request.user)).data)
