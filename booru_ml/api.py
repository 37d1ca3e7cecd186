"""Analysis jobs over HTTP: read them, run one again."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from booru_ml.errors import NotFound, NotPermitted, StaleState
from booru_ml.fields import Moment, PostKeyField
from booru_ml.host.loader import host
from booru_ml.http import ApiView, Cursor, Nothing, StrictSerializer, read_body, read_query, requires
from booru_ml.models import AnalysisJob
from booru_ml.openapi import extend_schema
from booru_ml.pipeline import outbox

VIEW, CHANGE = "booru_ml.view_analysisjob", "booru_ml.change_analysisjob"
PRIORITIES = {value: label.lower() for value, label in AnalysisJob.Priority.choices}
NUMBERS = {label: value for value, label in PRIORITIES.items()}


class JobSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    post = PostKeyField(source="post_id")
    state = serializers.ChoiceField(choices=AnalysisJob.State.choices)
    priority = serializers.SerializerMethodField()
    attempts = serializers.IntegerField()
    code = serializers.CharField(help_text="Why it was refused, put back or given up; empty where all is well.")
    message = serializers.SerializerMethodField(help_text="The same, as a sentence.")
    pipeline_version = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the picture's file; empty until it was read.")
    width = serializers.IntegerField(allow_null=True, help_text="Pixels.")
    height = serializers.IntegerField(allow_null=True, help_text="Pixels.")
    frame_count = serializers.IntegerField(allow_null=True)
    timings = serializers.DictField(child=serializers.FloatField(), help_text="Seconds per stage; batch is a count.")
    created_at = Moment()
    ready_at = Moment(help_text="When it may be taken, or was to be taken, next.")
    started_at = Moment(allow_null=True)
    finished_at = Moment(allow_null=True)

    def get_priority(self, job: AnalysisJob) -> str:
        return PRIORITIES[job.priority]

    def get_message(self, job: AnalysisJob) -> str:
        """Errors of the machine are for its keepers; why a picture was refused is for everyone."""
        insider = self.context.get("insider", False)
        return job.message if insider or job.state == AnalysisJob.State.REFUSED else ""


class JobQuery(StrictSerializer):
    post = PostKeyField(required=False, help_text="Jobs of this post; its uploader may ask, too.")
    state = serializers.ChoiceField(choices=AnalysisJob.State.choices, required=False)
    priority = serializers.ChoiceField(choices=list(NUMBERS), required=False)
    code = serializers.CharField(max_length=40, required=False)


class JobsView(ApiView):
    """Analysis jobs, newest first: all for holders of `booru_ml.view_analysisjob`, a post's for its uploader."""

    pagination_class = Cursor

    @extend_schema(parameters=[JobQuery], responses=JobSerializer(many=True))
    def get(self, request: Request) -> Response:
        query = read_query(request, JobQuery)
        insider = request.user.has_perm(VIEW)
        if not insider and not _uploaded(request, query.get("post")):
            raise NotPermitted(f"This needs the permission {VIEW}, or ?post= with a post of your own.")
        if "priority" in query:
            query["priority"] = NUMBERS[query["priority"]]
        jobs = AnalysisJob.objects.filter(**query)
        return self.page(jobs, JobSerializer, insider=insider)


class RerunView(ApiView):
    """Queues a finished, refused or quarantined job again; for holders of `booru_ml.change_analysisjob`."""

    permission_classes = (requires(CHANGE, safe=False),)

    @extend_schema(request=Nothing, responses=JobSerializer)
    def post(self, request: Request, job_id: int) -> Response:
        read_body(request, Nothing)
        count = outbox.rerun(job_ids=[job_id])
        job = AnalysisJob.objects.filter(pk=job_id).first()
        if job is None:
            raise NotFound("There is no such job.")
        if not count:
            raise StaleState("This job is waiting or running already.")
        return Response(JobSerializer(job, context={"insider": True}).data)


def _uploaded(request: Request, post_id: Any) -> bool:
    facts = host().facts([post_id]).get(post_id) if post_id is not None else None
    return facts is not None and facts.uploader_id is not None and facts.uploader_id == request.user.pk
