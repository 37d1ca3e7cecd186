"""What can become of a job inside a worker, and whose fault it is when nothing does."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError

from booru_ml.errors import BooruError, CheckpointError

# A database that is away, restarting or busy: the same statement may work in a moment.
CONNECTION_LOST = (OperationalError, InterfaceError)


@dataclass(frozen=True, slots=True)
class Failure:
    """One job's own failed attempt."""

    code: str
    message: str


class WorkerFault(Exception):
    """This worker cannot work at all (weights, memory, database, installation); the jobs are not to blame."""


class DecodersBroken(Exception):
    """The decoders failed as a whole. A picture may have done it, so the attempt counts and they are started anew."""


def is_ours(error: BaseException) -> bool:
    """True for errors that no picture can cause: what is broken is the installation or the machine."""
    if isinstance(error, DatabaseError | InterfaceError):
        return not isinstance(error, DataError | IntegrityError)
    return isinstance(error, CheckpointError | ImproperlyConfigured | ImportError | MemoryError | OSError | SystemError)


def failure(error: BaseException, *, code: str) -> Failure:
    if isinstance(error, BooruError):
        return Failure(error.code, error.message)
    said = f"{type(error).__name__}: {error}"[:1000]
    # PostgreSQL takes no NUL, and no encoding a lone half of a pair.
    return Failure(code, said.replace("\0", "").encode(errors="replace").decode())
