"""The product's own web server, for tests that look at it from outside or stop it on purpose."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import starter
from tests.starter import Started

STARTS_WITHIN_SECONDS = 120  # where other things run beside it


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class WebServer:
    """One web server on a port of its own; `url` is its address, also after a restart."""

    environment: Mapping[str, str]
    logs: Path
    port: int = field(default_factory=free_port)
    web: Started | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.logs / f"web-{self.port}.log"

    def start(self) -> None:
        """Start it and wait for its first answer."""
        with self.log.open("a") as output:
            self.web = starter.start(
                "-m", "granian", "--interface", "asginl", "--workers", "1",
                "--workers-kill-timeout", "1", "--host", "127.0.0.1", "--port", str(self.port),
                "brokerage.asgi:application",
                environment=self.environment, log=output, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while self.web.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        pytest.fail(f"The web server did not answer:\n{self.log.read_text()}")

    def stop(self) -> None:
        """End it as an operator does."""
        if self.web is not None:
            self.web.terminate()
            self.web.wait(timeout=20)
            self.web = None

    def kill(self) -> None:
        """End it and its workers without a word."""
        assert self.web is not None, "it was started"
        os.killpg(self.web.pid, signal.SIGKILL)
        self.web.wait(timeout=20)
        self.web = None
