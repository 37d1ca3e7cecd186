"""Pictures in, findings out: each checkpoint runs once per batch with every head on it; faces in a second pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from booru_ml.checkpoint import EMBEDDING, HeadKind, join_versions
from booru_ml.checkpoint.faces import FaceSettings
from booru_ml.errors import CheckpointError
from booru_ml.nn import pooling
from booru_ml.nn.calibrated import calibrated
from booru_ml.nn.faces import Detection, FaceDetector, read_heatmaps
from booru_ml.nn.routes import machine, open_session
from booru_ml.nn.routes.session import CPU_ROWS
from booru_ml.nn.transforms import crop_square, fit, shape_key
from booru_ml.types import Face, Finding, FloatArray, PixelArray, Scores

if TYPE_CHECKING:
    from booru_ml.checkpoint import Checkpoint, Head
    from booru_ml.nn.routes.choices import Choices
    from booru_ml.nn.routes.session import Outputs, Session
    from booru_ml.types import Picture

SIDE_ROWS = CPU_ROWS // 2
"""Frames of which two checkpoints at once take no more memory than one alone of many."""


class Engine:
    """The configured checkpoints, loaded.

    The first checkpoint that is asked for the embedding gives embedding, style and faces; where two are asked for a
    head of the same name, the first one's speaks. Not for use by several threads at once.
    """

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        runtime: str = "auto",
        device: str = "auto",
        threads: int = 1,
        batch_size: int = 16,
        choices: Choices | None = None,
        detector: FaceDetector | None = None,
    ) -> None:
        if not checkpoints:
            raise CheckpointError("No checkpoint is configured. Name at least one folder in BOORU_ML['CHECKPOINTS'].")
        self.checkpoints = tuple(checkpoints)
        self.version = join_versions(checkpoint.part for checkpoint in checkpoints)
        self._sessions: list[Session] = [
            open_session(item, runtime=runtime, device=device, threads=threads, batch_size=batch_size, choices=choices)
            for item in checkpoints
        ]
        self._main = next((i for i, item in enumerate(checkpoints) if item.gives(EMBEDDING)), None)
        self._speakers: dict[str, tuple[int, Head]] = {}
        for index, checkpoint in enumerate(checkpoints):
            for head in checkpoint.heads.values():
                if head.scored and checkpoint.gives(head.name):
                    self._speakers.setdefault(head.name, (index, head))
        self._wanted = [self._wanted_heads(index) for index in range(len(checkpoints))]
        self._faces = FaceSettings(detector="none") if self._main is None else checkpoints[self._main].faces
        self._detector = detector if detector is not None else self._own_detector()
        self._side = ThreadPoolExecutor(1, "booru-ml-side")  # its thread starts with the first use

    @property
    def routes(self) -> tuple[str, ...]:
        """Which route each checkpoint takes."""
        return tuple(session.route for session in self._sessions)

    def infer(self, pictures: Sequence[Picture], *, beside: bool = True) -> list[Finding]:
        """One finding per picture, in order, whatever else is in the batch.

        ``beside``: of a single picture or two the checkpoints may run side by side, since so few mean that another core
        is at rest. For many, each core has a worker of its own.
        """
        if not pictures:
            return []
        frames = [frame for picture in pictures for frame in picture.frames]
        ends = np.cumsum([len(picture.frames) for picture in pictures])
        spans = [slice(end - len(picture.frames), end) for picture, end in zip(pictures, ends, strict=True)]
        inputs = self._fitted(frames)
        with self._others(inputs, beside=beside and len(frames) <= SIDE_ROWS) as others:
            main = {} if self._main is None else self._see(self._main, inputs)
            faces = self._find_faces(frames, spans, main)
        outputs = [main if index == self._main else others.result()[index] for index in range(len(inputs))]
        return [self._finding(outputs, span, found) for span, found in zip(spans, faces, strict=True)]

    def embed(self, frames: Sequence[PixelArray]) -> FloatArray:
        """L2-normalised embeddings (N, D) of plain pictures, such as crops."""
        if self._main is None:
            raise CheckpointError("None of the configured checkpoints has an embedding head.")
        preprocess = self.checkpoints[self._main].preprocess
        return self._embed(self._main, [fit(frame, preprocess) for frame in frames])

    def warm_up(self) -> None:
        """One forward of every checkpoint, so that the first upload does not pay for lazy initialisation."""
        for session in self._sessions:
            session.warm_up()

    def close(self) -> None:
        self._side.shutdown()
        for session in self._sessions:
            session.close()
        machine.give_back_memory()

    def _fitted(self, frames: Sequence[PixelArray]) -> list[list[PixelArray]]:
        """What each checkpoint sees of the frames; those of one size share their pixels."""
        resized: dict[object, list[PixelArray]] = {}
        for preprocess in (checkpoint.preprocess for checkpoint in self.checkpoints):
            if (key := shape_key(preprocess)) not in resized:
                resized[key] = [fit(frame, preprocess) for frame in frames]
        return [resized[shape_key(checkpoint.preprocess)] for checkpoint in self.checkpoints]

    def _see(self, index: int, inputs: Sequence[Sequence[PixelArray]]) -> Outputs:
        return self._sessions[index].see(inputs[index], only=self._wanted[index])

    @contextmanager
    def _others(self, inputs: Sequence[Sequence[PixelArray]], *, beside: bool) -> Iterator[Future[dict[int, Outputs]]]:
        """Outputs of every checkpoint but the main one, made ``beside`` what is done within the context, or before."""
        others = [index for index in range(len(inputs)) if index != self._main]
        future: Future[dict[int, Outputs]] = Future()
        if beside and self._main is not None and all(self._sessions[index].shares_cores for index in others):
            future = self._side.submit(lambda: {index: self._see(index, inputs) for index in others})
        else:
            future.set_result({index: self._see(index, inputs) for index in others})
        try:
            yield future
        finally:
            wait([future])

    def _wanted_heads(self, index: int) -> tuple[str, ...]:
        """The heads whose answers are used; empty where all are."""
        heads = self.checkpoints[index].heads.values()
        if self.checkpoints[index].speaks is None:
            return ()
        spoken = {name for name, (speaker, _) in self._speakers.items() if speaker == index}
        return tuple(head.name for head in heads if (index == self._main if not head.scored else head.name in spoken))

    def _embed(self, index: int, fitted: Sequence[PixelArray]) -> FloatArray:
        head = self._head_of(index, HeadKind.EMBEDDING)
        if head is None or not fitted:
            return np.zeros((0, self.checkpoints[index].embedding_dim or 0), np.float32)
        return self._sessions[index].see(fitted, only=(head.name,))[head.name]

    def _finding(self, outputs: Sequence[Outputs], span: slice, faces: tuple[Face, ...]) -> Finding:
        scores = {}
        for name, (index, head) in self._speakers.items():
            scores[name] = Scores(
                head=name,
                labels=tuple(label.name for label in head.labels),
                categories=tuple(label.category for label in head.labels),
                values=pooling.scores(head, calibrated(self.checkpoints[index], name, outputs[index][name][span])),
                model=self.checkpoints[index].version,
            )
        return Finding(
            embedding=self._vector(outputs, HeadKind.EMBEDDING, span),
            style=self._vector(outputs, HeadKind.STYLE, span),
            faces=faces,
            scores=scores,
            embedding_model="" if self._main is None else self.checkpoints[self._main].version,
        )

    def _vector(self, outputs: Sequence[Outputs], kind: HeadKind, span: slice) -> FloatArray:
        head = None if self._main is None else self._head_of(self._main, kind)
        if head is None or self._main is None:
            return np.zeros(0, np.float32)
        return pooling.direction(outputs[self._main][head.name][span])

    def _head_of(self, index: int, kind: HeadKind) -> Head | None:
        return next((head for head in self.checkpoints[index].heads.values() if head.kind is kind), None)

    # Faces

    def _own_detector(self) -> FaceDetector | None:
        if self._faces.detector != "animeface":
            return None
        from booru_ml.nn.animeface import AnimeFaceDetector

        return AnimeFaceDetector(size=self._faces.size)

    @property
    def face_problem(self) -> str | None:
        """Why no faces are looked for; None while all is well."""
        return self._detector.problem if self._detector is not None else None

    def _find_faces(
        self, frames: Sequence[PixelArray], spans: Sequence[slice], outputs: Outputs
    ) -> list[tuple[Face, ...]]:
        """The faces of each picture in the main checkpoint's ``outputs``; of an animation, those of its best frame."""
        if self._main is None:
            return [() for _ in spans]
        found = self._detect(frames, outputs)
        preprocess = self.checkpoints[self._main].preprocess
        chosen: list[list[Detection]] = []
        crops: list[PixelArray] = []
        for span in spans:
            numbers = range(span.start, span.stop)
            best = max(numbers, key=lambda number: (sum(score for _, score in found[number]), -number))
            chosen.append(found[best][: self._faces.most])
            # Fitted one by one: a crop of full size is large, and its memory serves the next.
            crops += [fit(crop_square(frames[best], box, self._faces.margin), preprocess) for box, _ in chosen[-1]]
        embeddings = iter(self._embed(self._main, crops))
        return [tuple(Face(box, score, next(embeddings)) for box, score in faces) for faces in chosen]

    def _detect(self, frames: Sequence[PixelArray], outputs: Outputs) -> list[list[Detection]]:
        if self._detector is not None:
            limit = self._faces.threshold
            return [[item for item in one if item[1] >= limit] for one in self._detector.detect(frames)]
        head = self._head_of(self._main, HeadKind.HEATMAP) if self._main is not None else None
        if head is None or self._faces.detector != "heatmap":
            return [[] for _ in frames]
        return read_heatmaps(
            outputs[head.name],
            threshold=self._faces.threshold,
            most=self._faces.most,
            overlap=self._faces.overlap,
        )
