"""The stream of an open page: which topics have news, and every few seconds that it still lives."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from accounts.clock import shown_instant
from accounts.news import CHANNEL, TOPICS

BEAT_EVERY_SECONDS = 3.0
# Then the page opens a new one, and its session is looked at again.
STREAM_LIVES_FOR_SECONDS = 300.0
STREAMS_MAX = 500
WORDS_MAX = 100

logger = logging.getLogger(__name__)

Words = asyncio.Queue[str]


class Listener:
    """One connection of this process that listens for all of its open pages."""

    def __init__(self) -> None:
        self.pages: set[Words] = set()
        self.task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def words(self) -> AsyncIterator[Words]:
        """A page's queue of topics, for as long as the page is open."""
        words: Words = asyncio.Queue(maxsize=WORDS_MAX)
        self.pages.add(words)
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self.listen())
        try:
            yield words
        finally:
            self.pages.discard(words)
            if not self.pages and self.task is not None:
                self.task.cancel()
                self.task = None

    async def listen(self) -> None:
        """Pass every word on to every page; a page that does not read misses it."""
        address = settings.DATABASE_ADDRESSES["runtime"]
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            async for notification in connection.notifies():
                if notification.payload in TOPICS:
                    for words in self.pages:
                        if not words.full():
                            words.put_nowait(notification.payload)

    def is_listening(self) -> bool:
        """Whether a page may still rely on being told."""
        return self.task is not None and not self.task.done()


listener = Listener()


@require_GET
async def stream(request: HttpRequest) -> HttpResponseBase:
    """Server-sent events; without news a beat with the desk's time."""
    if len(listener.pages) >= STREAMS_MAX:
        return HttpResponse("Too many pages are open; this one is not live.\n", status=503)
    return StreamingHttpResponse(
        messages(),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


async def messages() -> AsyncIterator[bytes]:
    """The stream's messages until it is time for a new one, or nobody listens any more."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STREAM_LIVES_FOR_SECONDS
    async with listener.words() as words:
        yield beat()
        while loop.time() < ends_at and listener.is_listening():
            try:
                topic = await asyncio.wait_for(words.get(), timeout=BEAT_EVERY_SECONDS)
            except TimeoutError:
                yield beat()
            else:
                yield message(topic)


def beat() -> bytes:
    return message(f"beat {shown_instant(timezone.now(), form='time')}")


def message(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


@require_GET
def strip(request: HttpRequest) -> HttpResponse:
    """What every page rests on, as it is now."""
    return render(request, "_strip_facts.html")
