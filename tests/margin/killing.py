"""kill -9 of a process in the middle of what it does, as a fork of the test's own."""

import os
import signal
import traceback
from collections.abc import Callable

from django.db import connections


def killed(work: Callable[[], object]) -> None:
    """Do something in a process of its own, with connections of its own, that kills itself in it.

    It sees what the test has put in the place of other things, and writes to the same database.
    """
    connections.close_all()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "it went on to its end"


def dies(*_: object, **__: object) -> None:
    """The end of this process, without a word."""
    os.kill(os.getpid(), signal.SIGKILL)
