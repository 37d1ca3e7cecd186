"""Vectors are the truth; every index is derived from these rows and can be rebuilt."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Coalesce, Now

from booru_ml.conf import post_model
from embeddings.types import SupportRef


class Stamp(models.Func):
    """Tells one version of a row from another, by the database itself.

    PostgreSQL: the number of the writing transaction, so that a reader can ask for everything that was still under
    way when it last looked (see ``embeddings.similar``). SQLite, which has one writer at a time: a random number.
    """

    function = ""
    arity = 0
    allowed_default = True
    output_field = models.BigIntegerField()

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, list[Any]]:
        return "((pg_current_xact_id())::text::bigint)", []

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, tuple[Any, ...]]:
        return "(abs(random() >> 1))", ()

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper, *args: Any, **context: Any) -> Any:
        raise NotImplementedError(f"Booru ML keeps its vectors in PostgreSQL or SQLite, not in {connection.vendor}.")


class VectorQuerySet(models.QuerySet["Vector"]):
    def of_posts(self, post_ids: Iterable[Any], *, model_version: str) -> VectorQuerySet:
        """Those of a few posts by one encoder. SQLite, which has no statistics, would else read all by that encoder."""
        rows = self.alias(version=Coalesce("model_version", models.Value("")))
        return rows.filter(version=model_version, post_id__in=post_ids)


class Vector(models.Model):
    """One embedding of a post: of the whole picture, of its style, or of one of its faces."""

    class Kind(models.TextChoices):
        PICTURE = "picture"
        STYLE = "style"
        FACE = "face"

    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_vectors")
    kind = models.CharField(max_length=8, choices=Kind)
    number = models.PositiveSmallIntegerField(default=0, help_text="0, or the face's place from left to right")
    box = models.JSONField(null=True, blank=True, help_text="x, y, width, height as fractions; score")
    model_version = models.CharField(max_length=64)
    data = models.BinaryField(help_text="float16, little-endian, L2-normalised")
    stamp = models.BigIntegerField(db_default=Stamp(), editable=False)
    created_at = models.DateTimeField(db_default=Now())

    objects = VectorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["post", "kind", "number", "model_version"], name="booru_embeddings_one_vector"
            ),
        ]
        indexes = [
            models.Index(fields=["model_version", "kind", "id"], name="booru_embeddings_space"),
            models.Index(fields=["model_version", "kind", "stamp"], name="booru_embeddings_news"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.number} of post {self.post_id}"


class Subject(models.Model):
    """Somebody the gallery can recognise: a character or an artist."""

    class Category(models.TextChoices):
        CHARACTER = "character"
        ARTIST = "artist"

    name = models.CharField(max_length=200, help_text="the tag")
    category = models.CharField(max_length=10, choices=Category, default=Category.CHARACTER)
    enabled = models.BooleanField(default=True, help_text="whether new pictures are compared with it")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["category", "name"]
        constraints = [models.UniqueConstraint(fields=["category", "name"], name="booru_embeddings_one_subject")]
        permissions = [("enrol_subject", "Can enrol characters and artists from pictures")]

    def __str__(self) -> str:
        return self.name


class Support(models.Model):
    """One picture (or face) that shows a subject, or is known not to (``positive=False``).

    It names the picture and the place in it, not the vector: a new encoder's vectors are found through the same row.
    """

    subject = models.ForeignKey(Subject, on_delete=models.CASCADE, related_name="supports")
    post = models.ForeignKey(post_model(), on_delete=models.CASCADE, related_name="booru_supports")
    kind = models.CharField(max_length=8, choices=Vector.Kind, default=Vector.Kind.PICTURE)
    number = models.PositiveSmallIntegerField(default=0)
    box = models.JSONField(null=True, blank=True, help_text="where the face was when it was chosen")
    positive = models.BooleanField(default=True)
    learned = models.BooleanField(default=False, help_text="from a decision on a suggestion, not enrolled by hand")
    weight = models.FloatField(default=1.0, help_text="0–1, how far it is trusted; 1 for what was enrolled by hand")
    added_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    added_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = "support picture"
        constraints = [
            models.UniqueConstraint(fields=["subject", "post", "kind", "number"], name="booru_embeddings_one_support"),
            models.CheckConstraint(
                condition=models.Q(weight__gt=0, weight__lte=1), name="booru_embeddings_weight_is_a_share"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} in post {self.post_id}"

    @property
    def ref(self) -> SupportRef:
        return SupportRef(self.post_id, self.kind, self.number)


class Gallery(models.Model):
    """The gallery's revision: one row, raised in every transaction that changes subjects, supports or their vectors.

    Its row lock puts those transactions in order, so a reader that sees revision n has seen everything up to n.
    ``token`` tells two revisions of one number apart: that of a transaction rolled back, and the one that came later.
    """

    revision = models.PositiveBigIntegerField(default=0)
    token = models.UUIDField(default=uuid.uuid4)

    class Meta:
        verbose_name_plural = "gallery"

    def __str__(self) -> str:
        return f"revision {self.revision}"


class Touched(models.Model):
    """Whom one raise of the gallery's revision touched, for readers who hold an earlier one; old rows are let go."""

    revision = models.PositiveBigIntegerField(primary_key=True)
    token = models.UUIDField(help_text="the gallery's at that revision")
    subjects = models.JSONField(null=True, help_text="ids of the subjects; null: it could be anybody")

    class Meta:
        default_permissions = ()
        verbose_name = "touched subjects"
        verbose_name_plural = "touched subjects"

    def __str__(self) -> str:
        return f"revision {self.revision}"


class PictureQuery(models.Model):
    """A picture that is no post, on its way to a worker and its answer back; gone as soon as its asker has read it.

    Times are the database's. ``taken_until`` passes a query on whose worker was lost.
    """

    asker = models.CharField(max_length=64, help_text="who waits, so that nobody asks too much at once")
    picture = models.BinaryField()
    attempts = models.PositiveSmallIntegerField(default=0)
    taken_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    answer = models.JSONField(null=True, help_text="vectors and face boxes, or why the picture was refused")

    class Meta:
        default_permissions = ()
        verbose_name = "query by picture"
        verbose_name_plural = "find by picture"

    def __str__(self) -> str:
        return f"query {self.pk} of {self.asker}"


class Collection(models.Model):
    """How far a shared vector store has come with one space; whoever brings it forward holds this row's lock.

    Everything up to ``filled_to`` was copied at first; from then on ``low`` and ``high`` are the mark of
    ``embeddings.similar`` that further rows are asked by.
    """

    store = models.CharField(max_length=64, help_text="which server and database, without passwords")
    model_version = models.CharField(max_length=64)
    kind = models.CharField(max_length=8, choices=Vector.Kind)
    name = models.CharField(max_length=100)
    complete = models.BooleanField(default=False, help_text="whether the first copy is done")
    filled_to = models.BigIntegerField(default=0)
    low = models.BigIntegerField(default=0)
    high = models.BigIntegerField(default=0)
    reconciled_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["store", "model_version", "kind"], name="booru_embeddings_one_collection"),
        ]

    def __str__(self) -> str:
        return f"{self.name} in {self.store}"


class Change(models.Model):
    """Audit: one verb on the gallery by one person, and what it really changed.

    ``delta``: ``subjects`` and ``supports``, each a list of ``[before, after]``, a row's columns or None where it was
    not there. The subject is named and no foreign key: a change outlives it, and an undo brings it back by its id.
    """

    class Verb(models.TextChoices):
        ENROL = "enrol"
        ADD_SUPPORT = "add_support", "add pictures"
        REMOVE_SUPPORT = "remove_support", "remove pictures"
        CHANGE = "change", "rename or switch"
        MERGE = "merge"
        SPLIT = "split"
        WITHDRAW = "withdraw"
        LEARN = "learn", "learn from a decision"
        UNLEARN = "unlearn", "forget what a decision taught"
        UNDO = "undo"

    verb = models.CharField(max_length=14, choices=Verb)
    subject_id = models.BigIntegerField(db_index=True, help_text="of the subject, which may be gone by now")
    other_id = models.BigIntegerField(null=True, help_text="of the second subject of a merge or split")
    name = models.CharField(max_length=200, help_text="the subject's name at that time")
    category = models.CharField(max_length=10, choices=Subject.Category)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    delta = models.JSONField(default=dict, help_text="The real change; see the model.")
    revision = models.PositiveBigIntegerField(help_text="the gallery's revision from then on")
    undoes = models.OneToOneField("self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_by")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-id"]
        verbose_name = "gallery change"
        indexes = [
            models.Index(
                fields=["other_id"], name="booru_embeddings_of_other", condition=models.Q(other_id__isnull=False)
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.name}"
