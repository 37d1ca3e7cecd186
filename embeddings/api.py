"""Characters, artists and neighbours over HTTP. Reading takes a log-in, writing ``booru_embeddings.enrol_subject``."""

from __future__ import annotations

from functools import partial
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.errors import NotFound
from booru_ml.fields import FaceBoxSerializer, Moment, PostKeyField, Username
from booru_ml.host.loader import host
from booru_ml.http import ApiView, Cursor, Pages, StrictSerializer, post_key, read_body, read_query, requires
from booru_ml.openapi import extend_schema
from embeddings import selectors, services
from embeddings.models import Subject, Support, Vector
from embeddings.services.references import MOST_POSTS
from embeddings.types import SupportRef


class SupportRefSerializer(StrictSerializer):
    post = PostKeyField()
    kind = serializers.ChoiceField(
        choices=["picture", "face"], default="picture", help_text="What shows the subject; artists take pictures only."
    )
    number = serializers.IntegerField(
        min_value=0, max_value=999, default=0, help_text="Which face, from 0, left to right."
    )


class EnrolSerializer(StrictSerializer):
    name = serializers.CharField(max_length=200, help_text="The tag; spaces become underscores.")
    posts = serializers.ListField(child=SupportRefSerializer(), allow_empty=False, max_length=MOST_POSTS)
    enabled = serializers.BooleanField(
        required=False, allow_null=True, default=None, help_text="False: known, but compared with nothing yet."
    )


class ChangeSubjectSerializer(StrictSerializer):
    name = serializers.CharField(max_length=200, required=False)
    enabled = serializers.BooleanField(required=False, help_text="Whether new pictures are compared with it.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Give a name, enabled, or both.")
        return attrs


class AddSupportSerializer(StrictSerializer):
    posts = serializers.ListField(child=SupportRefSerializer(), allow_empty=False, max_length=MOST_POSTS)
    positive = serializers.BooleanField(default=True, help_text="False: these pictures do not show the subject.")


class SubjectQuery(StrictSerializer):
    search = serializers.CharField(max_length=200, required=False, help_text="A part of the name.")
    enabled = serializers.BooleanField(required=False, allow_null=True, default=None)


class SimilarQuery(StrictSerializer):
    kind = serializers.ChoiceField(choices=Vector.Kind.choices, default="picture", help_text="Near by what.")
    number = serializers.IntegerField(min_value=0, max_value=999, default=0, help_text="Which face, from 0.")
    limit = serializers.IntegerField(min_value=1, max_value=100, default=10)


class SubjectSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    category = serializers.ChoiceField(choices=Subject.Category.choices)
    enabled = serializers.BooleanField()
    support_count = serializers.IntegerField(source="shows", help_text="Pictures that show it.")
    negative_count = serializers.IntegerField(source="shows_not", help_text="Pictures known not to show it.")
    created_by = Username()
    created_at = Moment()


class SupportSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    post = PostKeyField(source="post_id")
    kind = serializers.ChoiceField(choices=Vector.Kind.choices)
    number = serializers.IntegerField()
    box = FaceBoxSerializer(allow_null=True)
    positive = serializers.BooleanField()
    learned = serializers.BooleanField(help_text="From a decision on a suggestion, not enrolled by hand.")
    weight = serializers.FloatField(help_text="0–1, how far it is trusted; 1 for what was enrolled by hand.")
    live = serializers.BooleanField(help_text="Its vector is there: new pictures are compared with it.")
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    added_by = serializers.CharField(allow_null=True)
    added_at = Moment()


class SimilarSerializer(serializers.Serializer[Any]):
    post = PostKeyField(source="post_id")
    similarity = serializers.FloatField(min_value=-1, max_value=1)
    number = serializers.IntegerField(help_text="Which of its faces, where faces are compared.")
    url = serializers.CharField()
    thumbnail_url = serializers.CharField()
    rating = serializers.CharField(allow_null=True)


class PostSimilarSerializer(serializers.Serializer[Any]):
    post = PostKeyField()
    similar = SimilarSerializer(many=True)


class EnrolView(ApiView):
    permission_classes = (requires(selectors.ENROL),)
    category: str = Subject.Category.CHARACTER


class SubjectsView(EnrolView):
    pagination_class = Pages

    @extend_schema(parameters=[SubjectQuery], responses=SubjectSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Who can be recognised, by name."""
        query = read_query(request, SubjectQuery)
        rows = selectors.subjects(category=self.category, search=query.get("search", ""), enabled=query.get("enabled"))
        return self.page(rows, SubjectSerializer)

    @extend_schema(request=EnrolSerializer, responses={201: SubjectSerializer})
    def post(self, request: Request) -> Response:
        """Enrols by pictures; a name that is known already gets them added. The next upload is compared with them."""
        body = read_body(request, EnrolSerializer)
        enrolled = services.enrol(
            name=body["name"],
            category=self.category,
            posts=refs(body["posts"]),
            actor=request.user,
            enabled=body["enabled"],
        )
        return Response(SubjectSerializer(selectors.subject(enrolled.pk)).data, status=201)


class SubjectView(EnrolView):
    @extend_schema(responses=SubjectSerializer)
    def get(self, request: Request, subject_id: int) -> Response:
        """One subject with how well it is known."""
        return Response(SubjectSerializer(self._subject(subject_id)).data)

    @extend_schema(request=ChangeSubjectSerializer, responses=SubjectSerializer)
    def patch(self, request: Request, subject_id: int) -> Response:
        """Renames, enables or disables."""
        found = self._subject(subject_id)
        body = read_body(request, ChangeSubjectSerializer)
        services.change(subject_id=found.pk, name=body.get("name"), enabled=body.get("enabled"), actor=request.user)
        return Response(SubjectSerializer(selectors.subject(found.pk)).data)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, subject_id: int) -> Response:
        """Forgets it and its pictures; tags on posts stay."""
        services.withdraw(subject_id=self._subject(subject_id).pk, actor=request.user)
        return Response(status=204)

    def _subject(self, subject_id: int) -> Subject:
        return selectors.subject(subject_id, category=self.category)


class SupportsView(EnrolView):
    pagination_class = Cursor

    @extend_schema(responses=SupportSerializer(many=True))
    def get(self, request: Request, subject_id: int) -> Response:
        """The pictures that it is known by, the latest first."""
        found = selectors.subject(subject_id, category=self.category)
        views = partial(selectors.support_views, viewer=request.user)
        return self.page(selectors.supports(found.pk), SupportSerializer, views=views)

    @extend_schema(request=AddSupportSerializer, responses={201: SupportSerializer(many=True)})
    def post(self, request: Request, subject_id: int) -> Response:
        """Adds pictures that show it, or that do not; answers with the rows that are new."""
        found = selectors.subject(subject_id, category=self.category)
        body = read_body(request, AddSupportSerializer)
        added = services.add_support(
            subject_id=found.pk, posts=refs(body["posts"]), positive=body["positive"], actor=request.user
        )
        rows = selectors.supports(found.pk).filter(pk__in=[row.pk for row in added])
        views = selectors.support_views(rows, viewer=request.user)
        return Response(SupportSerializer(views, many=True).data, status=201)


class SupportView(EnrolView):
    @extend_schema(responses={204: None})
    def delete(self, request: Request, subject_id: int, support_id: int) -> Response:
        """Takes a picture back."""
        found = selectors.subject(subject_id, category=self.category)
        if not Support.objects.filter(pk=support_id, subject=found).exists():
            raise NotFound("There is no such support picture.")
        services.remove_support(support_id=support_id, actor=request.user)
        return Response(status=204)


class SimilarView(ApiView):
    @extend_schema(parameters=[SimilarQuery], responses=PostSimilarSerializer)
    def get(self, request: Request, post_id: str) -> Response:
        """Posts that look like this one, by picture, style or a face."""
        key = post_key(post_id)
        facts = host().facts([key]).get(key)
        if facts is None or not selectors.may_see(request.user, facts):
            raise NotFound("There is no such post.")
        query = read_query(request, SimilarQuery)
        found = services.near(post_id=key, kind=query["kind"], number=query["number"], limit=query["limit"])
        body = {"post": key, "similar": selectors.similar_views(found, viewer=request.user)}
        return Response(PostSimilarSerializer(body).data)


def refs(posts: list[dict[str, Any]]) -> list[SupportRef]:
    return [SupportRef(item["post"], item["kind"], item["number"]) for item in posts]
