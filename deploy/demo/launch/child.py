"""``python -m deploy.demo.launch.child COMMAND …``: becomes COMMAND, and is killed when its parent dies.

A parent that is killed outright cannot stop its children; on Linux the kernel does it. All at once, so none may first
wait for another: a worker that is to stop gently asks its broker, which is gone.
"""

from __future__ import annotations

import os
import signal
import sys

from booru_ml.pipeline.processes import stop_with


def main() -> None:
    stop_with(int(os.environ.pop("BOORU_DEMO_PARENT")), signal.SIGKILL)
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    main()
