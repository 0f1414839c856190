"""What a browser does with an open page, without one: the stream, the rows, and the API."""

import http.client
import json
import queue
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT: Final = 300.0


class NotAnsweredError(Exception):
    """The product did not answer as it should."""


class Browser:
    """One signed-in person's requests to a running product."""

    def __init__(self, address: str, *, session: str) -> None:
        found = urlsplit(address)
        self._host, self._port = found.hostname or "", found.port or 80
        self._token = secrets.token_hex(16)
        self._cookies = f"sessionid={session}; csrftoken={self._token}"
        self._news: queue.Queue[str] = queue.Queue()

    def answers(self, path: str) -> bool:
        """Whether anybody is there."""
        try:
            self._ask("GET", path)
        except (OSError, NotAnsweredError, http.client.HTTPException):
            return False
        return True

    def rows(self, path: str) -> str:
        """The live part of a page, as it loads itself again."""
        return self._ask("GET", path, headers={"HX-Request": "true"}).decode()

    def get(self, path: str) -> dict[str, Any]:
        """An object of the API."""
        found: dict[str, Any] = json.loads(self._ask("GET", path))
        return found

    def post(self, path: str, said: Mapping[str, object]) -> dict[str, Any]:
        """Send an object to the API."""
        headers = {"Content-Type": "application/json", "X-CSRFToken": self._token}
        body = json.dumps(said).encode()
        found: dict[str, Any] = json.loads(self._ask("POST", path, headers=headers, body=body))
        return found

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Listen as an open page does, as long as it lasts."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        ended = threading.Event()
        listening = threading.Thread(target=self._listen, args=(connection, ended), daemon=True)
        listening.start()
        self.await_news("beat", seconds=TIMEOUT)
        try:
            yield
        finally:
            ended.set()
            listening.join(timeout=TIMEOUT)

    def forget_news(self) -> None:
        """What was said until now is old."""
        while not self._news.empty():
            self._news.get_nowait()

    def await_news(self, topic: str, *, seconds: float) -> None:
        """Wait until the stream speaks of a topic.

        Raises:
            NotAnsweredError: it does not in so many seconds.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                word = self._news.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise NotAnsweredError(f"nothing was said of {topic}") from None
            if word.partition(" ")[0] == topic:
                return

    def _listen(self, connection: http.client.HTTPConnection, ended: threading.Event) -> None:
        while not ended.is_set():
            connection.request("GET", "/stream/", headers={"Cookie": self._cookies})
            answer = connection.getresponse()
            for line in answer:
                if line.startswith(b"data: "):
                    self._news.put(line.removeprefix(b"data: ").decode().strip())
                if ended.is_set():
                    break
            connection.close()

    def _ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> bytes:  # fmt: skip
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT)
        try:
            known = {"Cookie": self._cookies, **(headers or {})}
            connection.request(method, path, body=body, headers=known)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise NotAnsweredError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content
