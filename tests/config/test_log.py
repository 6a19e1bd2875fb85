from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import pytest
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from hypothesis import given
from hypothesis import strategies as st

from config import log
from config.secrets import Secret


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hidden = set(log._secrets)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    log._secrets.clear()
    log._secrets.update(hidden)


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    log.set_up(level=logging.DEBUG, stream=stream)
    return stream


logger = logging.getLogger("test.log")


def test_a_record_is_priority_event_and_fields(out: io.StringIO) -> None:
    logger.info(
        "segment_sealed", extra={"number": 7, "path": "/a b", "cause": None, "quote": 'x"y\\'}
    )
    assert out.getvalue() == '<6>segment_sealed number=7 path="/a b" cause=None quote="x\\"y\\\\"\n'


@pytest.mark.parametrize(
    ("level", "prefix"),
    [("debug", "<7>"), ("info", "<6>"), ("warning", "<4>"), ("error", "<3>"), ("critical", "<2>")],
)
def test_priorities_are_those_of_syslog(out: io.StringIO, level: str, prefix: str) -> None:
    getattr(logger, level)("event")
    assert out.getvalue() == f"{prefix}event\n"


def test_context_belongs_to_its_task(out: io.StringIO) -> None:
    async def camera(name: str) -> None:
        with log.context(camera=name):
            await asyncio.sleep(0)
            logger.info("event", extra={"n": 1})

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for name in ("a", "b"):
                group.create_task(camera(name))

    asyncio.run(main())
    logger.info("event")
    assert out.getvalue() == "<6>event camera=a n=1\n<6>event camera=b n=1\n<6>event\n"


def test_registered_secrets_are_left_out_everywhere(out: io.StringIO) -> None:
    log.hide(Secret('hun"ter\\2'))
    try:
        raise ValueError('no hun"ter\\2 here')
    except ValueError:
        logger.exception('with hun"ter\\2', extra={"field": ['hun"ter\\2'], "f2": 'hun"ter\\2'})
    assert "ter\\" not in out.getvalue()
    assert out.getvalue().count(log.REDACTED) >= 3
    assert out.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://admin:hunter2@192.0.2.1:554/s",
        "Error opening 'RTSP://admin:hunter2@h/x': Connection refused",
        "rtsp://admin:hun@hunter2@h/",
        "http://hunter2@h/",
        "rtsp://h/user=admin&password=hunter2&channel=1",
        "rtsp://h/?passwd=hunter2",
    ],
)
def test_credentials_in_urls_are_left_out(out: io.StringIO, url: str) -> None:
    logger.warning("camera_lost", extra={"detail": url})
    assert "hunter2" not in out.getvalue()
    assert "192.0.2.1" in out.getvalue() or "192.0.2.1" not in url


def test_urls_without_credentials_stay_whole() -> None:
    text = "rtsp://192.0.2.1:554/a?b=c@d http://h/ mail@x"
    assert log.redact(text) == text


@given(st.text(max_size=100), st.text(max_size=100))
def test_any_text_makes_one_printable_line(event: str, value: str) -> None:
    record = logging.makeLogRecord({"msg": event, "args": None, "levelno": 20, "k": value})
    line = log.JournalFormatter().format(record)
    assert line.isprintable()
    assert len(line) <= log.LINE_CHARS_MAX


def test_a_record_of_any_length_is_cut(out: io.StringIO) -> None:
    logger.info("event", extra={"who": "x" * 100_000})
    assert len(out.getvalue()) == log.LINE_CHARS_MAX + 1


def test_people_get_a_readable_form() -> None:
    stream = Terminal()
    log.set_up(stream=stream)
    try:
        raise ValueError("rtsp://u:hunter2@h/")
    except ValueError:
        logger.exception("broken", extra={"camera": "a"})
    lines = stream.getvalue().split("\n")
    assert lines[0].endswith("error   broken camera=a")
    assert lines[1].startswith("Traceback")
    assert "hunter2" not in stream.getvalue()


def test_third_parties_are_quiet_below_warning(out: io.StringIO) -> None:
    logging.getLogger("zeep.transports").debug("<Envelope>")
    logging.getLogger("apscheduler.executors").info("ran")
    assert out.getvalue() == ""


def test_a_job_that_the_end_breaks_off_is_no_error_but_one_that_fails_is(out: io.StringIO) -> None:
    async def fails() -> None:
        raise ValueError("of its own")

    async def run() -> None:
        jobs = AsyncIOScheduler()
        jobs.add_job(asyncio.sleep, args=[60])
        jobs.add_job(fails)
        jobs.start()
        while "of its own" not in out.getvalue():
            await asyncio.sleep(0.01)
        jobs.shutdown(wait=False)
        await asyncio.sleep(0.1)

    asyncio.run(run())
    assert "CancelledError" not in out.getvalue()
