"""What is written down of a request: the entry, the numbers, the log in both of its forms."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections import Counter
from typing import Any

import pytest

from respfix.journal import Entry, Journal, Kind, Outcome
from respfix.journal.lines import FORMATS, Scribe, write_as, write_to_stderr
from respfix.journal.tally import MINUTES, Histogram, Tally
from respfix.stream import Ending, Report

UPSTREAM = "http://127.0.0.1:8080"
CANARY = "sk-canary"


def entry_for(*, status: int | None = 200, **changes: Any) -> Entry:
    """A request that could bring a stream."""
    entry = Entry.of("POST", "/v1/responses", Kind.RESPONSES, UPSTREAM)
    entry.status = status
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


def report_of(terminal: str | None = "completed", **defects: int) -> Report:
    """What the repair says of a stream; a defect's name with underscores."""
    counts = Counter({slug.replace("_", "-"): count for slug, count in defects.items()})
    return Report(counts, events_in=20, events_out=25, terminal=terminal and f"response.{terminal}")


def ended(entry: Entry, ending: Ending = Ending.COMPLETE, *, is_clean: bool = True) -> Entry:
    """The entry, ended like this."""
    entry.end(ending, is_clean=is_clean)
    return entry


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/v1/responses?key=sk-canary", "/v1/responses"),
        ("/v1/responses#key=sk-canary", "/v1/responses"),
        ("http://bob:sk-canary@host/v1", "-"),
        ("sk-canary", "-"),
        ("/" + "x" * 300, "/" + "x" * 199 + "…"),
    ],
)
def test_an_entry_takes_a_path_without_what_may_be_secret_in_it(target: str, path: str) -> None:
    """Queries, fragments and absolute targets carry keys; a long path would make a long line."""
    assert path == Entry.of("GET", target).path


def test_a_line_is_one_line_whatever_the_path_is() -> None:
    """A log is read by programs and by terminals, and both obey control characters."""
    entry = Entry.of("GET", "/a\r\nb\x1b[31m\u2028é\udcff")

    assert str(entry).startswith(r"GET /a??b?[31m?\xe9? - ")


@pytest.mark.parametrize(
    ("entry", "outcome"),
    [
        (ended(entry_for(report=report_of())), Outcome.UNTOUCHED),
        (ended(entry_for()), Outcome.UNTOUCHED),
        (ended(entry_for(report=report_of(empty_part=3))), Outcome.REPAIRED),
        (ended(entry_for(report=report_of("incomplete", empty_part=3))), Outcome.REPAIRED),
        (ended(entry_for(report=report_of(empty_part=3), is_repaired=False)), Outcome.DEFECTIVE),
        (ended(entry_for(report=report_of(None, truncated_stream=1), is_repaired=False)), Outcome.FAILED),
        (ended(entry_for(report=report_of("failed", truncated_stream=1))), Outcome.FAILED),
        (ended(entry_for(report=report_of("failed")), Ending.IDLE, is_clean=False), Outcome.FAILED),
        (ended(entry_for(report=report_of("failed"))), Outcome.FAILED),
        (ended(entry_for(status=502)), Outcome.FAILED),
        (ended(entry_for(status=None)), Outcome.FAILED),
        (ended(entry_for(status=429)), Outcome.REJECTED),
    ],
)
def test_an_outcome_says_what_became_of_a_request(entry: Entry, outcome: Outcome) -> None:
    """In a word, by which the views colour it."""
    assert outcome is entry.outcome


def test_a_client_that_leaves_after_the_terminal_event_has_got_what_it_wanted() -> None:
    """Codex closes the connection then; before that, somebody gave up."""
    late, early = entry_for(report=report_of(empty_part=1)), entry_for(report=report_of(terminal=None))
    waiting = entry_for(status=None)
    for entry in (late, early, waiting):
        entry.leave()

    assert (Outcome.REPAIRED, "client") == (late.outcome, late.ended_by)
    assert (Outcome.LEFT, "client (early)") == (early.outcome, early.ended_by)
    assert (Outcome.LEFT, "client (early)") == (waiting.outcome, waiting.ended_by)


def test_a_journal_knows_who_is_on_the_way_and_who_came_last() -> None:
    """The last hundred of those that could bring a stream; others are only counted."""
    journal = Journal()
    running = entry_for()
    journal.begin(running)
    for number in range(150):
        entry = ended(entry_for(sent=number))
        journal.begin(entry)
        journal.end(entry)
    other = Entry.of("GET", "/v1/models")
    journal.begin(other)
    journal.end(other)

    assert [running] == list(journal.live)
    assert list(range(50, 150)) == [entry.sent for entry in journal.past]
    assert {("responses", "200"): 150, ("other", "none"): 1} == {
        key[1:]: count for key, count in journal.tally.requests.items()
    }


def test_the_tally_counts_repairs_streams_ends_and_bounds() -> None:
    """Each once for a stream, when it ends."""
    tally = Tally()
    tally.add(ended(entry_for(report=report_of(empty_part=3, missing_usage=1), dialect="codex", sent=100)))
    stopped = report_of(empty_part=2)
    stopped.stopped = "too-many-items"
    tally.add(ended(entry_for(report=stopped), Ending.CUT, is_clean=False))

    assert {(UPSTREAM, "codex", "repaired"): 1, (UPSTREAM, "default", "failed"): 1} == tally.streams
    assert {(UPSTREAM, "empty-part"): 5, (UPSTREAM, "missing-usage"): 1} == tally.repairs
    assert {(UPSTREAM, "empty-part"): 2, (UPSTREAM, "missing-usage"): 1} == tally.repaired
    assert {(UPSTREAM, "upstream", "complete"): 1, (UPSTREAM, "upstream", "cut"): 1} == tally.ends
    assert {(UPSTREAM, "too-many-items"): 1} == tally.stops
    assert {(UPSTREAM, "in"): 40, (UPSTREAM, "out"): 50} == tally.events
    assert {(UPSTREAM,): 100} == tally.sent


def test_the_times_of_a_stream_are_counted_below_their_bounds() -> None:
    """How long the upstream took to begin, and what respfix added to it."""
    tally = Tally()
    tally.add(ended(entry_for(first_in=0.3, first_out=0.3002)))

    assert [0, 0, 1, *[0] * 9] == tally.first_byte[UPSTREAM].counts
    assert [0, 1, *[0] * 9] == tally.added[UPSTREAM].counts


def test_a_histogram_takes_a_bound_as_below_itself_and_everything_beyond() -> None:
    """As Prometheus's `le`."""
    histogram = Histogram((1, 2))
    for value in (0, 1, 1.5, 2, 7):
        histogram.add(value)

    assert ([2, 2, 1], 11.5) == (histogram.counts, histogram.total)


def test_the_last_hour_is_kept_by_the_minute() -> None:
    """For the plot; a minute in which nothing ended has no place."""
    tally = Tally()
    for minute in range(MINUTES + 10):
        for _ in range(2):
            tally.add(ended(entry_for(at=60.0 * minute, report=report_of(empty_part=3))))

    assert [60 * minute for minute in range(10, MINUTES + 10)] == [minute.start for minute in tally.minutes]
    assert ({"repaired": 2}, 6) == (tally.minutes[0].outcomes, tally.minutes[0].repairs)


def test_a_hostile_upstream_cannot_make_the_numbers_grow() -> None:
    """It may answer with any status."""
    tally = Tally()
    for status in range(100, 1000):
        tally.add(ended(entry_for(status=status)))

    assert len(tally.requests) < 80


def line_of(form: str, entry: Entry) -> str:
    """The entry as the log has it."""
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "%s", "args": (entry,), "created": 1.5})
    return FORMATS[form]().format(record)


def test_a_line_for_machines_has_the_facts_as_json() -> None:
    """Names that a log processor can count by; what is not known is not there."""
    entry = ended(entry_for(report=report_of(empty_part=3), dialect="codex", sent=9, first_in=0.25, status=200))
    entry.started, entry.ended = 1.0, 3.5

    assert {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "method": "POST",
        "path": "/v1/responses",
        "status": 200,
        "dialect": "codex",
        "upstream": UPSTREAM,
        "seconds": 2.5,
        "first_byte": 0.25,
        "bytes": 9,
        "events_in": 20,
        "events_out": 25,
        "repairs": {"empty-part": 3},
        "terminal": "response.completed",
        "ended_by": "upstream",
        "outcome": "repaired",
    } == json.loads(line_of("json", entry))


def test_a_line_for_people_has_the_same_in_words() -> None:
    """Short enough to be read."""
    entry = ended(entry_for(report=report_of(empty_part=3), dialect="codex", sent=9))
    entry.started, entry.ended = 1.0, 3.5

    assert line_of("human", entry).endswith(
        "INFO POST /v1/responses 200 2.500s 9B dialect=codex upstream=http://127.0.0.1:8080 events=20/25 "
        "terminal=response.completed repairs=empty-part:3 ended by upstream"
    )


def test_what_is_no_request_is_a_message() -> None:
    """The start, the stop, warnings."""
    record = logging.makeLogRecord({"levelname": "WARNING", "msg": "it is %d", "args": (5,), "created": 0.0})

    assert {"time": "1970-01-01T00:00:00.000Z", "level": "warning", "message": "it is 5"} == json.loads(
        FORMATS["json"]().format(record)
    )


class Terminal(io.StringIO):
    """One that is stopped (Ctrl-S) until it goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()

    def write(self, text: str) -> int:
        """Wait, as a write to a full pipe does."""
        self.goes_on.wait(10)
        return super().write(text)


def test_a_log_that_nobody_reads_makes_nobody_wait() -> None:
    """It is bounded, and says what it lost."""
    out = Terminal()
    scribe = Scribe(out)
    for number in range(10_000):
        scribe.handle(logging.makeLogRecord({"msg": f"line {number}"}))
    out.goes_on.set()
    scribe.close()

    lines = out.getvalue().splitlines()
    assert ["line 0", "line 1"] == lines[:2]
    assert 4000 < len(lines) < 4200
    assert lines[-1] in {f"{lost} log lines are lost" for lost in range(5800, 6000)}


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    """A full disk, or a reader that left."""

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device", text)

    scribe = Scribe(Full())
    scribe.handle(logging.makeLogRecord({"msg": "x"}))
    scribe.handle(logging.makeLogRecord({"msg": "y"}))
    scribe.close()

    assert not scribe._thread.is_alive()


def test_the_log_is_written_in_the_form_that_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One writer, whose form a reload may change; everybody's records go through it."""
    root = logging.Logger("root")  # noqa: LOG001 (not the real one)
    monkeypatch.setattr(
        logging, "getLogger", lambda name="": root if not name else logging.Logger.manager.getLogger(name)
    )
    for form in ("human", "json"):
        write_to_stderr(form)
    write_as("human")
    (scribe,) = root.handlers
    root.warning("people")
    write_as("json")
    root.warning("machines")
    scribe.close()

    people, machines = capsys.readouterr().err.splitlines()
    assert people.endswith(" WARNING people")
    assert "machines" == json.loads(machines)["message"]
