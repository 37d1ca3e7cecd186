"""Everything that happens to a gallery, and whether what a process holds is what would be read afresh."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

import numpy as np
from django.db import transaction

from booru_ml.errors import BooruError
from booru_ml.types import Finding
from embeddings import gallery, revisions, services, store
from embeddings.gallery import Room
from embeddings.models import Change, Gallery, Subject, Support, Vector
from embeddings.types import SupportRef
from tests.embeddings.factories import VERSION, Artist, analysis, finding, post

KINDS = ("picture", "face", "style")


class Board:
    """Everything that happens to a gallery, by whatever way; ``chance`` says to whom."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.draw = Artist(7)
        self.characters = [self.draw.character() for _ in range(3)]
        self.chance = random.Random(0)
        self.strangers = [self.upload() for _ in range(4)]
        self.posts = [self.upload() for _ in range(6)]
        for name, category in (("miku", "character"), ("luka", "character"), ("someone", "artist")):
            services.enrol(name=name, category=category, posts=self.some(category), actor=None)

    def finding(self) -> Finding:
        faces = [self.draw.picture(self.chance.choice(self.characters)) for _ in range(self.chance.randrange(3))]
        return finding(self.draw.picture(self.chance.choice(self.characters)), style=self.draw.picture(), faces=faces)

    def upload(self) -> Any:
        made = post()
        services.remember([analysis(made, self.finding())])
        return made

    def some(self, category: str) -> list[SupportRef]:
        refs = [SupportRef(item.pk) for item in self.chance.sample(self.posts, min(len(self.posts), 2))]
        faces = Vector.objects.filter(kind="face", post__in=self.posts).order_by("id")
        return refs + [
            SupportRef(row.post_id, row.kind, row.number)
            for row in self.chance.sample(list(faces), min(len(faces), 1))
            if category == "character"
        ]

    def subject(self) -> Subject:
        return self.chance.choice(list(Subject.objects.order_by("id")))

    def support(self) -> Support:
        return self.chance.choice(list(Support.objects.order_by("id")))

    # What people and workers do

    def enrol(self) -> None:
        name, category = f"name{self.chance.randrange(4)}", self.chance.choice(["character", "artist"])
        enabled = self.chance.choice([None, False])
        services.enrol(name=name, category=category, posts=self.some(category), actor=None, enabled=enabled)

    def add(self) -> None:
        subject, positive = self.subject(), self.chance.random() < 0.6
        posts = self.some(subject.category)
        services.add_support(subject_id=subject.pk, posts=posts, positive=positive, actor=None)

    def remove(self) -> None:
        services.remove_support(support_id=self.support().pk)

    def rename(self) -> None:
        services.change(subject_id=self.subject().pk, name=f"name{self.chance.randrange(9)}")

    def switch(self) -> None:
        subject = self.subject()
        services.set_enabled(subject_id=subject.pk, enabled=not subject.enabled)

    def merge(self) -> None:
        services.merge(subject_id=self.subject().pk, into_id=self.subject().pk, actor=None)

    def split(self) -> None:
        row = self.support()
        services.split(subject_id=row.subject_id, support_ids=[row.pk], name="another", actor=None)

    def withdraw(self) -> None:
        services.withdraw(subject_id=self.subject().pk)

    def undo(self) -> None:
        services.undo(change_id=self.chance.choice(list(Change.objects.all()[:3])).pk, actor=None)

    def learn(self) -> None:
        subject, positive = self.subject(), self.chance.random() < 0.5
        shown, weight = self.chance.choice(self.posts), self.chance.choice([0.5, 1.0])
        services.learn(
            post_id=shown.pk,
            name=subject.name,
            category=subject.category,
            positive=positive,
            actor=None,
            face=self.chance.choice([None, 0]),
            weight=weight,
        )

    def unlearn(self) -> None:
        services.unlearn(support_id=self.chance.choice(list(Support.objects.filter(learned=True))).pk)

    def analyse_again(self) -> None:
        services.remember([analysis(self.chance.choice(self.posts), self.finding())])

    def refuse(self) -> None:
        services.remember([analysis(self.chance.choice(self.posts), None)])

    def lose_a_stranger(self) -> None:
        self.strangers.pop().delete()

    def upload_late(self) -> None:
        """A post that is enrolled before it is analysed."""
        self.posts.append(post())

    def upload_stranger(self) -> None:
        self.posts.append(self.upload())

    # What no service told of

    def delete_post(self) -> None:
        self.posts.pop(self.chance.randrange(len(self.posts))).delete()

    def delete_subject(self) -> None:
        self.subject().delete()

    def change_rows(self) -> None:
        Support.objects.filter(pk=self.support().pk).update(weight=0.25, positive=self.chance.random() < 0.5)
        revisions.bump()

    def lose_the_count(self) -> None:
        Gallery.objects.all().delete()
        revisions.bump([])  # from the start again

    def cross(self) -> None:
        """An analysis that did not see the enrolment of its post, so that it told nobody."""
        waiting = post()
        services.enrol(name="late", posts=[SupportRef(waiting.pk)], actor=None)
        look(self.room)
        store.write([analysis(waiting, self.finding())])

    def roll_back(self) -> None:
        """Something that others saw under a revision that never came to be."""
        with transaction.atomic():
            self.do(self.chance.choice(TOLD))
            look(self.room)
            transaction.set_rollback(True)

    def do(self, verb: str) -> None:
        # What cannot be done (nobody there, a name that is taken) is refused, and changes nothing.
        with suppress(BooruError, IndexError), transaction.atomic():
            getattr(self, verb)()


TOLD = ("enrol", "add", "remove", "rename", "switch", "merge", "split", "withdraw", "undo", "learn", "unlearn")
SEEN = ("analyse_again", "refuse", "upload_late", "upload_stranger")
UNTOLD = ("lose_a_stranger", "delete_post", "delete_subject", "change_rows", "lose_the_count", "cross", "roll_back")


def look(room: Room, *kinds: str) -> None:
    for kind in kinds or KINDS:
        held, fresh = room.snapshot(VERSION, kind), gallery.load(VERSION, kind)
        same(held, fresh)
        again = gallery.load(VERSION, kind, held=held)  # other strangers alone are no cause for it
        same(again, fresh)
        same_background(again, fresh)


def same(one: gallery.Snapshot, other: gallery.Snapshot) -> None:
    """Who is known, and by what."""
    for name in ("revision", "support_count", "waiting", "subjects", "posts", "members"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.read.keys, one.rejected.keys) == (other.read.keys, other.rejected.keys)
    for name in ("owners", "negatives"):
        assert getattr(one.supports, name).tolist() == getattr(other.supports, name).tolist(), name
    fitted, fresh = one.supports.fitted, other.supports.fitted
    for name in ("starts", "weights", "exemplars"):
        assert getattr(fitted.support, name).tolist() == getattr(fresh.support, name).tolist(), name
    assert fitted.means.tolist() == fresh.means.tolist()


def same_background(one: gallery.Snapshot, other: gallery.Snapshot) -> None:
    assert (one.counts, one.reach, one.strangers.ids) == (other.counts, other.reach, other.strangers.ids)
    for name in ("strange", "levels", "spreads"):
        np.testing.assert_allclose(getattr(one.supports, name), getattr(other.supports, name), atol=1e-5)
