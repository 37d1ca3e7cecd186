"""The demo from its first line to its last: servers up, pictures in, suggestions out, a table, and everything down."""

from __future__ import annotations

import fcntl
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from rich.console import Console
from rich.markup import escape

from booru_ml.conf import config
from booru_ml.models import AnalysisJob
from booru_ml.pipeline import outbox
from booru_ml.progress import progress, track
from deploy.demo.board import tagnames
from deploy.demo.board.models import Post
from deploy.demo.launch import broker, outcome, people, report
from deploy.demo.launch.client import Api, Browser, Refused, answers
from deploy.demo.launch.pictures import Role, Sample, choose
from deploy.demo.launch.processes import Processes, free_port

START_SECONDS = 60.0
STALL_SECONDS = 180.0
"""How long no job may finish before the demo gives up."""
SAMPLE_CHARACTERS, SAMPLE_SIZE = 8, (600, 800)
# One finish per pose: what is enrolled is finished, what is to be recognised is of all kinds.
SAMPLE_FINISH = ("finished",) * 8 + ("sketch", "poor")


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Options:
    pictures: Path | None = None
    port: int = 8000
    characters: int = 8
    support: int = 5
    others: int = 40
    exit: bool = False


class Demo:
    def __init__(self, options: Options, processes: Processes, console: Console) -> None:
        self.options, self.processes, self.console = options, processes, console
        self.home = Path(settings.HOME)
        self.root = ""

    def run(self) -> bool:
        """Everything up to the printed result; True when it is as it should be."""
        begun = time.monotonic()
        # A folder that cannot be used is said so before anything is started; own drawings are made meanwhile.
        samples = self._samples(self.options.pictures) if self.options.pictures else []
        self._step("database", self._migrate)
        uploader, moderator = people.log_ins(self.home / "demo-log-ins.json")
        self._start(self._broker())
        samples = samples or self._samples(self._drawings())
        self._step("web server", self._wait_for_web)
        browser = Browser(self.root)
        browser.log_in(uploader.name, uploader.password)
        posts, refused = self._known(samples), dict[str, str]()
        supports = [sample for sample in samples if sample.role is Role.SUPPORT]
        self._upload(supports, browser, posts, refused, "uploading pictures to enrol")
        self._wait(posts.values())
        names = self._enrol(supports, posts, Api(self.root, moderator.token))
        self._upload(samples, browser, posts, refused, "uploading pictures to recognise")
        self._wait(posts.values())
        summary = report.Summary(outcome.rows(samples, posts, refused, names))
        report.show(summary, self.console)
        self.console.print(f"[dim]{time.monotonic() - begun:.0f} s from the start to here.[/]\n")
        self._say_where(uploader, moderator)
        return not summary.problems()

    def serve(self) -> None:
        """Keeps everything running until somebody stops it. Raises ``ChildDied``."""
        connections.close_all()
        self.console.print("Press Ctrl-C to stop everything.")
        while True:
            self.processes.check()
            time.sleep(0.5)

    # --- Servers ---

    def _migrate(self) -> str:
        call_command("migrate", verbosity=0, interactive=False)
        return connection.vendor

    def _broker(self) -> str:
        url = config().BROKER_URL
        if broker.answers(url):
            self._say("redis", "using the one at REDIS_URL" if os.environ.get("REDIS_URL") else f"using {url}")
            return url
        own = broker.start(self.processes, self.home)
        # This process rings for pictures that are analysed anew.
        settings.BOORU_ML = {**settings.BOORU_ML, "BROKER_URL": own}
        config.cache_clear()
        self._say("redis", f"none answers at {_without_password(url)}; started one at {own}")
        return own

    def _start(self, redis_url: str) -> None:
        port = free_port(self.options.port)
        if port != self.options.port:
            self._say("web server", f"port {self.options.port} is in use, taking {port}")
        env = {"REDIS_URL": redis_url, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
        self.root = f"http://127.0.0.1:{port}"
        self.processes.start("worker", _celery(), env)
        self.processes.start("web server", _gunicorn(port), env)

    def _wait_for_web(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{self.root}/booru/healthz"):
            self.processes.check()
            if time.monotonic() > deadline:
                raise DemoFailed(f"The web server does not answer; see {self.processes.logs}.")
            time.sleep(0.1)
        return self.root

    # --- Pictures ---

    def _samples(self, folder: Path) -> list[Sample]:
        options = self.options
        samples = choose(folder, characters=options.characters, support=options.support, others=options.others)
        roles = Counter(sample.role for sample in samples)
        self._say(
            "pictures",
            f"{folder}: {roles[Role.SUPPORT]} to enrol, {roles[Role.QUERY]} to recognise, "
            f"{roles[Role.STRANGER]} of characters that stay unknown",
        )
        return samples

    def _drawings(self) -> Path:
        """The project's own drawings, made on the first run and kept."""
        folder = self.home / "drawings"
        if not (folder / "complete").exists():
            self._say("pictures", "drawing samples, once")
            _empty(folder)
            call_command(
                "booru_draw",
                out=folder,
                characters=SAMPLE_CHARACTERS,
                pictures=len(SAMPLE_FINISH),
                finish=list(SAMPLE_FINISH),
                size=SAMPLE_SIZE,
                stdout=_Silent(),
            )
            (folder / "complete").touch()
        return folder

    def _known(self, samples: Sequence[Sample]) -> dict[str, int]:
        """Posts that hold one of the files already, by sha256; what is missing of their analysis is asked for."""
        digests = [sample.picture.sha256 for sample in samples]
        found = list(Post.objects.filter(sha256__in=digests))
        for post in found:
            outbox.enqueue(post)
        given_up = AnalysisJob.objects.filter(post__in=found, state=AnalysisJob.State.QUARANTINED)
        outbox.rerun(job_ids=given_up.values_list("pk", flat=True))
        if found:
            self._say("pictures", f"{len(found)} of {len(samples)} are on the board already and are used again")
        return {post.sha256: post.pk for post in found}

    def _upload(
        self,
        samples: Sequence[Sample],
        browser: Browser,
        posts: dict[str, int],
        refused: dict[str, str],
        what: str,
    ) -> None:
        new = [sample for sample in samples if sample.picture.sha256 not in posts.keys() | refused.keys()]
        for sample in track(new, what) if new else ():
            self.processes.check()
            picture = sample.picture
            try:
                posts[picture.sha256] = browser.upload(picture.path, tags=_tags(sample))["id"]
            except Refused as error:
                if error.status == 0:
                    raise DemoFailed(str(error)) from None
                refused[picture.sha256] = str(error)

    def _wait(self, post_ids: Iterable[int]) -> None:
        """Until every post's jobs are settled. Raises ``ChildDied`` and ``DemoFailed``."""
        jobs = AnalysisJob.objects.filter(post_id__in=list(post_ids))
        left = jobs.unfinished().count()
        if not left:
            return
        with progress("analysing", total=left) as advance:
            moved = time.monotonic()
            while left:
                self.processes.check()
                now = jobs.unfinished().count()
                if now < left:
                    advance(left - now)
                    left, moved = now, time.monotonic()
                elif time.monotonic() - moved > STALL_SECONDS:
                    raise DemoFailed(
                        f"{left} pictures wait and none was analysed for {STALL_SECONDS:.0f} s; "
                        f"{self.processes.logs / 'worker.log'} says why."
                    )
                time.sleep(0.2)

    def _enrol(self, supports: Sequence[Sample], posts: dict[str, int], api: Api) -> dict[str, str]:
        """Enrols each character through the API; returns its tag by label."""
        classes: dict[str, list[int]] = {}
        for sample in supports:
            if sample.picture.sha256 in posts:
                classes.setdefault(sample.picture.label, []).append(posts[sample.picture.sha256])
        names = {}
        for label, ids in track(sorted(classes.items()), "enrolling characters"):
            body = {"name": label, "posts": [{"post": post_id} for post_id in ids]}
            try:
                names[label] = str(api.post("characters/", body)["name"])
            except Refused as error:
                raise DemoFailed(f"{label} could not be enrolled: {error} {error.body}") from None
        return names

    # --- Words ---

    def _say(self, what: str, text: str) -> None:
        self.console.print(f"[bold]{what:>12}[/]  {escape(text)}", soft_wrap=True)

    def _step(self, what: str, step: Callable[[], str]) -> None:
        begun = time.monotonic()
        self._say(what, f"{step()} ready ({time.monotonic() - begun:.1f} s)")

    def _say_where(self, uploader: people.LogIn, moderator: people.LogIn) -> None:
        self.console.print(f"[bold]The board is at {self.root}[/]")
        for person, what in (
            (uploader, "uploads, tags, decides on suggestions of own posts"),
            (moderator, "the queue"),
        ):
            self.console.print(f"  {person.name:<10} password {person.password}   [dim]{what}[/]", soft_wrap=True)
        self.console.print(f"  queue       {self.root}/admin/booru_moderation/case/")
        self.console.print(f"  API         {self.root}/booru/api/docs/   [dim]moderator's token {moderator.token}[/]")
        self.console.print(f"  logs        {self.processes.logs}\n", soft_wrap=True)


def _tags(sample: Sample) -> str:
    """What its uploader would write: who drew it, and who it shows where nobody is to be recognised."""
    artist = sample.picture.artist
    words = [f"artist:{tagnames.normalise(artist)}"] if artist else []
    if sample.role is Role.SUPPORT:
        words.append(f"character:{sample.picture.label}")
    return " ".join(words)


def _celery() -> list[str]:
    children = str(max(1, min(4, os.cpu_count() or 1)))
    command = [sys.executable, "-m", "celery", "-A", "booru_ml.broker", "worker"]
    return [*command, "--concurrency", children, "--loglevel", "INFO", "--without-gossip", "--without-mingle"]


def _gunicorn(port: int) -> list[str]:
    command = [sys.executable, "-m", "gunicorn", "deploy.demo.wsgi:application", "--bind", f"127.0.0.1:{port}"]
    command += ["--worker-class", "gthread", "--threads", "2", "--timeout", "60", "--graceful-timeout", "5"]
    return [*command, "--no-control-socket"]  # it would lie in the user's home


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Keeps two demos from working on one folder. Raises ``DemoFailed``."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoFailed(
                f"Another demo is running on {home}. Stop it first, or give this one a folder: BOORU_HOME=… make demo"
            ) from None
        yield


def _empty(folder: Path) -> None:
    """Removes what a drawing that was broken off left behind."""
    for path in sorted(folder.rglob("*"), reverse=True) if folder.exists() else ():
        path.rmdir() if path.is_dir() else path.unlink()


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


class _Silent:
    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...
