"""One connection listens for all open pages of a process, and pages miss nothing they read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.db.backends.utils import CursorWrapper

from accounts.news import TOPICS, UnknownTopicError, announce
from brokerage import stream

Say = Callable[[str], Awaitable[None]]


def played(scene: Callable[[stream.Listener, Say], Awaitable[None]]) -> None:
    """Play a scene with a listener that is already listening, and with a way to send words."""

    async def play() -> None:
        listener = stream.Listener()
        address = settings.DATABASE_ADDRESSES["runtime"]
        async with await psycopg.AsyncConnection.connect(address, autocommit=True) as sender:

            async def say(topic: str) -> None:
                await sender.execute("SELECT pg_notify('desk', %s)", [topic])

            async with listener.words() as first:
                while first.empty():  # until LISTEN has been sent
                    await say("day")
                    await asyncio.sleep(0.01)
                await scene(listener, say)

    asyncio.run(asyncio.wait_for(play(), timeout=20))


async def next_word(words: stream.Words) -> str:
    return await asyncio.wait_for(words.get(), timeout=10)


def test_every_page_hears_every_word_in_order(db: None) -> None:
    async def scene(listener: stream.Listener, say: Say) -> None:
        async with AsyncExitStack() as pages:
            queues = [await pages.enter_async_context(listener.words()) for _ in range(3)]
            await say("margin")
            await say("breaks")
            for words in queues:
                heard = [word async for word in after("day", words, count=2)]
                assert heard == ["margin", "breaks"]

    played(scene)


async def after(left_out: str, words: stream.Words, *, count: int) -> AsyncIterator[str]:
    while count:
        word = await next_word(words)
        if word != left_out:
            count -= 1
            yield word


def test_what_is_no_topic_is_not_passed_on(db: None) -> None:
    async def scene(listener: stream.Listener, say: Say) -> None:
        async with listener.words() as words:
            await say("margin\n\ndata: beat forever")
            await say("prices")
            assert [word async for word in after("day", words, count=1)] == ["prices"]

    played(scene)


def test_a_page_that_does_not_read_holds_up_nobody(db: None) -> None:
    async def scene(listener: stream.Listener, say: Say) -> None:
        async with listener.words() as deaf, listener.words() as words:
            for _ in range(stream.WORDS_MAX + 5):
                await say("jobs")
                assert [word async for word in after("day", words, count=1)] == ["jobs"]
            assert deaf.full()

    played(scene)


def test_the_connection_is_given_back_when_the_last_page_closes(db: None) -> None:
    count = "SELECT count(*) FROM pg_stat_activity WHERE query = 'LISTEN desk'"

    async def scene(listener: stream.Listener, say: Say) -> None:
        address = settings.DATABASE_ADDRESSES["runtime"]
        async with listener.words(), await psycopg.AsyncConnection.connect(address) as looking:
            assert await (await looking.execute(count)).fetchone() == (1,)

    played(scene)
    with connection.cursor() as cursor:
        # The server notices a closed connection a moment later.
        left = next((n for n in counted(cursor, count, times=2000) if n == 0), 1)
    assert left == 0


def counted(cursor: CursorWrapper, query: str, *, times: int) -> Iterator[int]:
    for _ in range(times):
        cursor.execute(query)
        yield cursor.fetchone()[0]


def test_a_stream_begins_with_a_beat_in_the_desks_time(db: None) -> None:
    async def first() -> bytes:
        messages = stream.messages()
        try:
            return await anext(messages)
        finally:
            await messages.aclose()  # type: ignore[attr-defined]

    said = asyncio.run(first()).decode()
    assert said.startswith("data: beat ")
    assert said.endswith((" EST\n\n", " EDT\n\n"))


def test_a_stream_ends_when_nobody_listens_for_it(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: stream.Listener) -> None:
        raise psycopg.OperationalError("the server is gone")

    async def said() -> int:
        return len([message async for message in stream.messages()])

    monkeypatch.setattr(stream.Listener, "listen", refused)
    monkeypatch.setattr(stream, "BEAT_EVERY_SECONDS", 0.01)
    assert asyncio.run(asyncio.wait_for(said(), timeout=10)) <= 2


def test_a_word_that_is_no_topic_is_refused_before_anything_is_sent(db: None) -> None:
    assert "margin" in TOPICS
    with pytest.raises(UnknownTopicError, match="no page listens to 'weather'"):
        announce("margin", "weather")
