"""What a session leaves running that is killed is ended, and nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests import watcher

SLEEP = [sys.executable, "-S", "-E", "-c", "import time; time.sleep(600)"]


def test_what_a_killed_session_leaves_is_ended_and_deleted(tmp_path: Path) -> None:
    place, beside = tmp_path / "session", tmp_path / "session-faults-1"
    other = tmp_path / "another"
    for folder in (place, beside, other):
        folder.mkdir()
    marked = os.environ | {watcher.MARK: str(place)}
    session, started, server, foreign = (
        subprocess.Popen(SLEEP),
        subprocess.Popen(SLEEP, env=marked),
        subprocess.Popen(SLEEP, env={}, cwd=beside),
        subprocess.Popen(SLEEP, env={}, cwd=other),
    )
    try:
        watching = subprocess.Popen(
            [sys.executable, watcher.__file__, str(session.pid), str(place)]
        )
        session.kill()
        session.wait()
        assert watching.wait(timeout=60) == 0
        assert (started.wait(60), server.wait(60)) == (-signal.SIGTERM, -signal.SIGTERM)
        assert foreign.poll() is None
    finally:
        foreign.kill()
        foreign.wait()
    assert list(tmp_path.iterdir()) == [other]
