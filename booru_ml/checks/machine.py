"""What the pipeline stands on: apps, database, checkpoints, runtimes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning
from django.db import connections

from booru_ml.checkpoint import Checkpoint
from booru_ml.conf import SINKS, config
from booru_ml.errors import CheckpointError
from booru_ml.nn.routes import INSTALL, ROUTES, RUNTIMES
from booru_ml.pipeline.outbox import database

FAISS = ("faiss-cpu", "faiss-gpu-cu12")


def check() -> Iterator[CheckMessage]:
    """E030 to E034, W030 to W033."""
    for app in dict.fromkeys(path.split(".")[0] for path in SINKS):
        if not apps.is_installed(app):
            hint = f"Put {app!r} into INSTALLED_APPS, beside 'booru_ml', and migrate."
            yield Error(f"The app {app} takes the results, but is not installed.", hint=hint, id="booru_ml.E030")
    connection = connections[database()]
    if (
        connection.vendor == "sqlite"
        and connection.settings_dict.get("OPTIONS", {}).get("transaction_mode") != "IMMEDIATE"
    ):
        yield Warning(
            "SQLite begins its transactions without the write lock, so workers and uploads can fail with 'locked'.",
            hint='Set OPTIONS = {"transaction_mode": "IMMEDIATE", "timeout": 20} for this database, or use PostgreSQL.',
            id="booru_ml.W030",
        )
    yield from _runtime()
    yield from _checkpoints()
    if all(any(distributions(name=name)) for name in FAISS):
        yield Warning(
            f"{' and '.join(FAISS)} are both installed and have written over each other: FAISS finds no GPU, or cannot "
            "even be imported.",
            hint=f"pip uninstall {FAISS[0]}, then pip install --force-reinstall --no-deps {FAISS[1]}.",
            id="booru_ml.W033",
        )


def _runtime() -> Iterator[CheckMessage]:
    known = config()
    if known.RUNTIME not in RUNTIMES:
        hint = f"Write one of {', '.join(RUNTIMES)}."
        yield Error(f"BOORU_ML['RUNTIME'] is {known.RUNTIME!r}.", hint=hint, id="booru_ml.E031")
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", known.DEVICE):
        hint = "Write auto, cpu, cuda or cuda:N."
        yield Error(f"BOORU_ML['DEVICE'] is {known.DEVICE!r}.", hint=hint, id="booru_ml.E031")
    for package in ROUTES[known.RUNTIME].packages if known.RUNTIME in ROUTES else ():
        if not _installed(package):
            message = f"BOORU_ML['RUNTIME'] asks for {known.RUNTIME}, but {package} is not installed."
            yield Error(message, hint=f"{INSTALL[package]}, or set RUNTIME to auto.", id="booru_ml.E032")


def _checkpoints() -> Iterator[CheckMessage]:
    """A web process may well be without the weights, so a folder that cannot be read is a warning."""
    known = config()
    if not known.CHECKPOINTS:
        hint = "Name checkpoint folders, or leave the key out for the bundled ones."
        yield Error("BOORU_ML['CHECKPOINTS'] is empty.", hint=hint, id="booru_ml.E033")
        return
    read: list[Checkpoint] = []
    for folder in known.CHECKPOINTS:
        try:
            read.append(Checkpoint.read(folder))
        except CheckpointError as error:
            yield Warning(
                f"A checkpoint cannot be read here: {error.message}",
                hint="Uploads go on and their jobs wait, but a worker that sees this cannot work. Mend the folder.",
                id="booru_ml.W031",
            )
    if len(read) < len(known.CHECKPOINTS):
        return
    if not any(checkpoint.embedding_dim for checkpoint in read):
        hint = "Add a checkpoint with an embedding head, such as the bundled booru-lite."
        yield Error("None of the checkpoints has an embedding head.", hint=hint, id="booru_ml.E033")
    without = [checkpoint.name for checkpoint in read if not checkpoint.has_onnx]
    if without and known.RUNTIME in ROUTES and ROUTES[known.RUNTIME].graph:
        hint = "Export them with `manage.py booru_model export`, or set RUNTIME to auto."
        yield Error(f"No model.onnx in: {', '.join(without)}.", hint=hint, id="booru_ml.E034")
    elif without and known.RUNTIME == "auto" and not (_installed("torch") and _installed("timm")):
        message = f"Without torch a checkpoint needs a model.onnx, which is missing in: {', '.join(without)}."
        yield Warning(message, hint=f"On workers: {INSTALL['torch']}, or export the checkpoint.", id="booru_ml.W032")


def _installed(package: str) -> bool:
    return find_spec(package) is not None
