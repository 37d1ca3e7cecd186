"""``python -m deploy.demo.launch.child COMMAND …``: becomes COMMAND, and is killed when its parent dies.

A parent that is killed outright cannot stop its children; on Linux the kernel does it. All at once, so none may first
wait for another: a worker that is to stop gently asks its broker, which is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    parent = int(os.environ.pop("BOORU_DEMO_PARENT"))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the parent is gone already")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - becoming the command is the point


if __name__ == "__main__":
    main()
