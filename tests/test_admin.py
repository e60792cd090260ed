"""What operators see: health, metrics, the status page's JSON, and who may see it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import histories
import pytest
from aiohttp import ClientSession, web
from histories import UPSTREAM, end, running, stream
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from respfix.admin import About, Desk, health
from respfix.admin.page import PAGE, POLICY
from respfix.admin.pulse import Pulse
from respfix.admin.status import status
from respfix.admin.verdict import Level, how_it_ended, judge
from respfix.config import Address
from respfix.journal import Entry, Journal, Kind, Outcome
from respfix.relay.guard import HostGuard
from respfix.stream import Ending
from respfix.stream.defects import DEFECTS

OTHER = "https://other.example"


@dataclass
class Service:
    """What a desk needs to know of the service it tells about."""

    journal: Journal = field(default_factory=Journal)
    troubles: dict[str, str] = field(default_factory=lambda: {UPSTREAM: ""})
    is_draining: bool = False
    repair: str = "on"
    slowness: float = 0.0  # seconds that a check takes
    checked: int = 0

    def about(self) -> About:
        """What it is."""
        return About("1.2.3", self.repair, ("http://127.0.0.1:8081",), tuple(self.troubles), self.is_draining)

    def checks(self) -> health.Checks:
        """How its upstreams are asked."""

        def check_of(upstream: str) -> Any:
            async def check() -> str:
                self.checked += 1
                await asyncio.sleep(self.slowness)
                return self.troubles[upstream]

            return check

        return {upstream: check_of(upstream) for upstream in self.troubles}


@dataclass
class Looker:
    """Somebody who asks a desk."""

    session: ClientSession
    url: str

    async def ask(self, path: str, method: str = "GET", **options: Any) -> tuple[int, str, Mapping[str, str]]:
        """Status, text and headers."""
        async with self.session.request(method, self.url + path, **options) as answer:
            return answer.status, await answer.text(), answer.headers


@contextlib.asynccontextmanager
async def looking(service: Service) -> AsyncIterator[Looker]:
    """A desk on a port of its own, and somebody to ask it."""
    desk = Desk(service.journal, HostGuard([Address("127.0.0.1", 0)]).admits, service.about, service.checks)
    desk.start()
    runner = web.ServerRunner(web.Server(desk))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with ClientSession() as session:
            yield Looker(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await desk.stop()
        await runner.cleanup()


async def test_a_respfix_that_answers_is_alive_also_while_it_stops() -> None:
    """Who kills it then cuts the streams that it lets finish."""
    async with looking(Service(is_draining=True, troubles={UPSTREAM: "Connection refused"})) as looker:
        assert (200, "alive\n") == (await looker.ask("/healthz"))[:2]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (Service(), (200, f"ready\n{UPSTREAM}: reachable\n")),
        (Service(troubles={}), (200, "ready\n")),
        (
            Service(troubles={UPSTREAM: "Connection refused"}),
            (503, f"not ready\n{UPSTREAM}: Connection refused\n"),
        ),
        (
            Service(troubles={UPSTREAM: "Connection refused", OTHER: ""}),
            (200, f"ready\n{UPSTREAM}: Connection refused\n{OTHER}: reachable\n"),
        ),
        (Service(is_draining=True), (503, "stopping: running streams may end, new requests get a 503\n")),
    ],
)
async def test_readiness_says_whether_requests_can_be_taken(service: Service, expected: tuple[int, str]) -> None:
    """Not while it stops, and not when nobody is there to answer; one of several upstreams is enough."""
    async with looking(service) as looker:
        assert expected == (await looker.ask("/readyz"))[:2]


async def test_who_hammers_respfix_does_not_hammer_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    """All who ask in the same few seconds share one look at it, also those who come while it lasts."""
    service = Service(slowness=0.05)
    async with looking(service) as looker:
        paths = ["/readyz", "/status.json", "/metrics"] * 20
        answers = await asyncio.gather(*(looker.ask(path) for path in paths))

        assert [200] * 60 == [answer[0] for answer in answers]
        assert service.checked == 1
        monkeypatch.setattr(health, "FRESH", 0.0)
        looker_after = health.Health(service.checks)
        await looker_after.troubles()
        await looker_after.troubles()
        assert service.checked == 3


async def test_one_who_leaves_while_it_is_looked_does_not_spoil_it_for_the_others() -> None:
    """The first to ask only started it."""
    looker = health.Health(Service(slowness=0.05).checks)
    first, second = (asyncio.create_task(looker.troubles()) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()

    assert {UPSTREAM: ""} == await second


async def test_an_upstream_that_takes_no_connection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe has its own patience, a second by default."""
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    looker = health.Health(Service(slowness=30).checks)

    assert {UPSTREAM: "no connection within 0.05 s"} == await looker.troubles()


async def test_a_look_that_is_not_over_ends_with_the_service() -> None:
    """No task is left behind."""
    looker = health.Health(Service(slowness=30).checks)
    asking = asyncio.create_task(looker.troubles())
    await asyncio.sleep(0.01)
    await looker.close()

    with pytest.raises(asyncio.CancelledError):
        await asking


def values(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Every sample of an exposition, by its name and the values of its labels; the only upstream is left out."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "upstream")
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


async def test_the_metrics_count_what_the_journal_knows() -> None:
    """Each of the issue's questions has a family."""
    journal = Journal()
    end(journal, stream(1, 4.2, {"empty-part": 3, "missing-usage": 1}), 4.2)
    idle = stream(1, 4.2, {})
    idle.end(Ending.IDLE, is_clean=False)
    end(journal, idle, 4.2)
    bound = stream(1, 4.2, {})
    assert bound.report is not None
    bound.report.stopped = "too-much-held"
    end(journal, bound, 4.2)
    journal.begin(running(5.0, held=7))
    journal.begin(Entry.of("GET", "/v1/models", Kind.OTHER, UPSTREAM))
    async with looking(Service(journal)) as looker:
        code, text, headers = await looker.ask("/metrics")

    found = values(text)
    assert (200, "text/plain; version=0.0.4; charset=utf-8") == (code, headers["Content-Type"])
    assert {("codex", "repaired"): 1, ("codex", "failed"): 1, ("codex", "untouched"): 1} == found[
        "respfix_streams_total"
    ]
    assert {("empty-part",): 3, ("missing-usage",): 1} == found["respfix_repairs_total"]
    assert {("empty-part",): 1, ("missing-usage",): 1} == found["respfix_defective_streams_total"]
    assert {("upstream", "complete"): 2, ("respfix", "idle"): 1} == found["respfix_stream_ends_total"]
    assert {("too-much-held",): 1} == found["respfix_repair_stops_total"]
    assert {("responses", "200"): 3} == found["respfix_requests_total"]
    assert {("in",): 156, ("out",): 158} == found["respfix_events_total"]
    assert {(): 3 * 14_220} == found["respfix_sent_bytes_total"]
    assert {(): 1} == found["respfix_active_streams"]
    assert {(): 2} == found["respfix_active_requests"]
    assert {(): 7} == found["respfix_held_frames"]
    assert {(): 1} == found["respfix_upstream_reachable"]
    assert found["respfix_stream_first_byte_seconds_bucket"]["1.0",] == 3
    assert found["respfix_stream_first_byte_seconds_bucket"]["0.5",] == 0
    assert found["respfix_added_latency_seconds_bucket"]["0.00025",] == 3
    assert found["respfix_stream_duration_seconds_count"] == {(): 3}
    assert found["respfix_build_info"] == {("1.2.3",): 1}


async def test_the_metrics_can_be_asked_for_as_openmetrics() -> None:
    """As Prometheus asks first."""
    async with looking(Service(histories.broken())) as looker:
        accept = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"}
        code, text, headers = await looker.ask("/metrics", headers=accept)

    assert code == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_a_scraper_that_asks_nonsense_gets_the_plain_form() -> None:
    """The version may be anything."""
    async with looking(Service()) as looker:
        accept = {"Accept": "application/openmetrics-text; version=x.y, */*"}
        code, _, headers = await looker.ask("/metrics", headers=accept)

    assert (200, "text/plain") == (code, headers["Content-Type"].partition(";")[0])


def test_the_metrics_keep_to_the_conventions_of_prometheus() -> None:
    """A prefix, base units, `_total` for counters and for nothing else, a help text, few labels."""
    service = Service(histories.crowded())
    desk = Desk(service.journal, HostGuard([]).admits, service.about, service.checks)
    text = desk._exposition.write("")[0].decode()
    families: list[Metric] = list(text_string_to_metric_families(text))

    assert len(families) > 15
    for family in families:
        assert re.fullmatch(r"(respfix|process)(_[a-z]+)+", family.name)
        assert family.documentation
        assert not family.name.endswith(("_ms", "_milliseconds", "_kb", "_count", "_total"))
        assert len(family.samples) < 200
        for sample in family.samples:
            assert (family.type == "counter") == sample.name.endswith(("_total", "_created"))
            assert len(sample.labels) <= 3


async def test_the_status_has_what_the_page_shows() -> None:
    """One answer, made of the journal alone."""
    service = Service(histories.broken())
    async with looking(service) as looker:
        code, text, headers = await looker.ask("/status.json")
    facts = json.loads(text)

    assert (200, "application/json; charset=utf-8") == (code, headers["Content-Type"])
    assert ("1.2.3", "on", False) == (facts["version"], facts["repair"], facts["is_draining"])
    assert [(UPSTREAM, "repaired", True)] == [
        (verdict["upstream"], verdict["level"], verdict["is_reachable"]) for verdict in facts["verdicts"]
    ]
    assert (3, 3, 100, 60) == (facts["live_streams"], len(facts["live"]), len(facts["past"]), len(facts["minutes"]))
    assert {"at", "bytes", "dialect", "ended_by", "events_in", "events_out", "first_byte", "held", "how", "method"} | {
        *("outcome", "path", "repairs", "seconds", "status", "terminal", "upstream")
    } == set().union(*facts["past"]) - {"why"}
    recent = sum(sum(each.get(name, 0) for name in Outcome) for each in facts["minutes"])
    assert 0.9 * facts["totals"]["streams"] < recent <= facts["totals"]["streams"]
    assert {"first_byte": 0.84, "added": 0.00021} == {name: facts["times"][name] for name in ("first_byte", "added")}


def test_the_status_says_first_what_breaks_most_clients() -> None:
    """A companion that is in every frame must not hide the reason of a blank reply."""
    service = Service(histories.broken())
    facts = status(service.journal, service.about(), {}, Pulse())
    weights = [len(DEFECTS[defect["slug"]].breaks) for defect in facts["defects"]]

    assert sorted(weights, reverse=True) == weights
    assert next(iter(facts["past"][0]["repairs"])) == facts["defects"][0]["slug"] == "missing-item-id"


def test_a_crowd_is_shown_in_part_and_counted_whole() -> None:
    """Two thousand streams are nobody's reading."""
    service = Service(histories.crowded())
    facts = status(service.journal, service.about(), {}, Pulse())

    assert (150, 100) == (facts["live_streams"], len(facts["live"]))


@pytest.mark.parametrize("name", ["empty", "healthy", "broken", "failing", "crowded"])
def test_a_status_is_made_quickly(name: str) -> None:
    """The page asks every two seconds, and meanwhile no stream moves on; here it took 1 ms."""
    service = Service(getattr(histories, name)())
    pulse = Pulse()
    took = []
    for _ in range(5):
        started = time.perf_counter()
        json.dumps(status(service.journal, service.about(), {}, pulse))
        took.append(time.perf_counter() - started)

    assert min(took) < 0.02


def days(*, untouched: int = 0, repaired: int = 0, failed: int = 0, defective: int = 0, left: int = 0) -> list[Entry]:
    """Streams that ended so."""
    entries = [stream(1, 1, {}) for _ in range(untouched)]
    entries += [stream(1, 1, {"incomplete-item": 2, "neutral-keys": 9}) for _ in range(repaired)]
    entries += [stream(1, 1, {"incomplete-item": 2}, is_repaired=False) for _ in range(defective)]
    for _ in range(failed):
        entries.append(stream(1, 1, {}))
        entries[-1].end(Ending.CUT, is_clean=False)
    for _ in range(left):
        entries.append(stream(1, 1, {}))
        entries[-1].by, entries[-1].why = "client", "early"
    return entries


@pytest.mark.parametrize(
    ("trouble", "past", "repair", "level", "title", "text"),
    [
        ("", [], "on", Level.QUIET, "Waiting for a stream", "What comes through respfix is judged and shown here."),
        ("", days(left=5), "on", Level.QUIET, "Waiting for a stream", "What comes"),
        ("", days(untouched=1), "on", Level.HEALTHY, "The upstream is healthy", "The only stream so far left byte"),
        (
            "",
            [*days(repaired=40), *days(untouched=20)],
            "on",
            Level.HEALTHY,
            "The upstream is healthy",
            "The last 20 streams left byte for byte as they came.",
        ),
        (
            "",
            days(untouched=3, repaired=9, failed=1),
            "on",
            Level.REPAIRED,
            "The upstream is broken; respfix repairs it",
            "9 of the last 13 streams were repaired; first of all incomplete-item. One brought no whole answer.",
        ),
        (
            "",
            days(repaired=30),
            "on",
            Level.REPAIRED,
            "The upstream is broken; respfix repairs it",
            "All of the last 20 streams were repaired",
        ),
        (
            "",
            days(untouched=6, failed=2),
            "on",
            Level.BROKEN,
            "The upstream is failing",
            "2 of the last 8 streams brought no whole answer; the last: the connection to the upstream broke.",
        ),
        (
            "",
            days(defective=1),
            "observe",
            Level.BROKEN,
            "The upstream is broken, and respfix only watches",
            "The only stream so far was wrong and left so (repair: observe); always incomplete-item.",
        ),
        ("", days(untouched=3), "off", Level.QUIET, "respfix only relays", "Streams pass without being looked at"),
        (
            "Connection refused",
            days(untouched=30),
            "on",
            Level.BROKEN,
            "The upstream does not answer",
            "Connection refused. Requests get a 502 until it does; respfix goes on as soon as it is back.",
        ),
    ],
)
def test_the_verdict_says_whether_the_upstream_is_broken(  # noqa: PLR0913, PLR0917 (a table)
    trouble: str, past: list[Entry], repair: str, level: Level, title: str, text: str
) -> None:
    """At a glance, judged by the newest streams that the upstream is answerable for."""
    verdict = judge(UPSTREAM, trouble, past, repair)

    assert (level, title) == (verdict.level, verdict.title)
    assert verdict.text.startswith(text)


def test_each_upstream_is_judged_by_its_own_streams() -> None:
    """One may be healthy beside a broken one."""
    past = [*days(repaired=30), *(stream(1, 1, {}, OTHER) for _ in range(30))]

    assert [Level.REPAIRED, Level.HEALTHY] == [judge(each, "", past, "on").level for each in (UPSTREAM, OTHER)]


def refused(status: int, code: str) -> Entry:
    """A request that respfix answered itself."""
    entry = Entry.of("POST", "/v1/responses", Kind.RESPONSES, UPSTREAM)
    entry.status = status
    entry.fail(code)
    return entry


def answered(status: int) -> Entry:
    """A request that the upstream answered without a stream."""
    entry = Entry.of("POST", "/v1/responses", Kind.RESPONSES, UPSTREAM)
    entry.status = status
    entry.end(Ending.COMPLETE, is_clean=True)
    return entry


def with_terminal(word: str) -> Entry:
    """A stream that ended with this event."""
    entry = stream(1, 1, {})
    assert entry.report is not None
    entry.report.terminal = f"response.{word}"
    return entry


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (days(untouched=1)[0], "complete"),
        (days(left=1)[0], "the client left early"),
        (days(failed=1)[0], "the connection to the upstream broke"),
        (stream(1, 1, {"truncated-stream": 1}), "the upstream broke off"),
        (with_terminal("incomplete"), "incomplete, as the upstream said"),
        (with_terminal("failed"), "the upstream said that it failed"),
        (answered(200), "complete"),
        (answered(429), "the upstream answered 429"),
        (answered(500), "the upstream answered 500"),
        (refused(502, "upstream_unreachable"), "respfix answered 502 (upstream_unreachable)"),
    ],
)
def test_how_a_stream_ended_is_said_in_words(entry: Entry, words: str) -> None:
    """Who ended it, and why."""
    assert words == how_it_ended(entry)


async def test_a_page_of_another_site_cannot_read_the_status() -> None:
    """It may point its own name at 127.0.0.1, but the browser still sends that name."""
    async with looking(Service()) as looker:
        for path in ("/", "/healthz", "/metrics", "/readyz", "/status.json", "/x"):
            code, text, _ = await looker.ask(path, headers={"Host": "evil.example"})

            assert code == 403
            assert "respfix" in text
            assert "evil" not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_nothing_can_be_done_but_looking(method: str) -> None:
    """There is no button, and no preflight is answered."""
    async with looking(Service()) as looker:
        code, _, headers = await looker.ask("/status.json", method, headers={"Origin": "https://evil.example"})

    assert (405, "GET, HEAD") == (code, headers["Allow"])
    assert [] == [name for name in headers if name.startswith("Access-Control")]


async def test_head_is_get_without_the_body() -> None:
    """For monitors that save bytes."""
    async with looking(Service()) as looker:
        for path in ("/", "/healthz", "/metrics", "/readyz", "/status.json"):
            code, text, headers = await looker.ask(path, "HEAD")

            assert (200, "") == (code, text)
            assert int(headers["Content-Length"]) > 0


async def test_other_paths_are_not_here_and_are_not_repeated() -> None:
    """What was asked for may be a secret."""
    async with looking(Service()) as looker:
        code, text, _ = await looker.ask("/sk-canary?key=sk-canary")

    assert (404, "nothing is here; try /, /healthz, /metrics, /readyz, /status.json\n") == (code, text)


async def test_every_answer_tells_the_browser_to_trust_nothing_else() -> None:
    """Nothing from elsewhere is loaded, framed, guessed or kept; errors included."""
    async with looking(Service()) as looker:
        for path in ("/", "/status.json", "/metrics", "/x"):
            headers = (await looker.ask(path))[2]

            assert POLICY == headers["Content-Security-Policy"]
            assert ("nosniff", "no-store", "no-referrer", "DENY") == tuple(
                headers[name]
                for name in ("X-Content-Type-Options", "Cache-Control", "Referrer-Policy", "X-Frame-Options")
            )


def test_the_policy_names_the_pages_own_style_and_script_and_nothing_else() -> None:
    """A script that got onto the page would not run."""
    for tag in ("style", "script"):
        (part,) = re.findall(rf"(?s)<{tag}>(.*?)</{tag}>", PAGE)
        digest = base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()

        assert f"{tag}-src 'sha256-{digest}'" in POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY


def test_the_page_asks_nobody_else() -> None:
    """No font, no library, no picture from elsewhere; the one address in it is the name of SVG."""
    assert {"http://www.w3.org/2000/svg", "http://…/status.json"} == set(re.findall(r"https?://[^\s\"'`<]+", PAGE))
    assert not re.search(r"\bon\w+=|style=|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", PAGE)
    assert not re.search(r"<script[^>]+src|@import|url\(", PAGE)


async def test_the_pulse_sees_that_the_loop_is_late() -> None:
    """What blocks it is late for every stream."""
    pulse = Pulse()
    pulse.start()
    await asyncio.sleep(0.4)
    time.sleep(0.4)  # noqa: ASYNC251 (that is what is to be seen)
    await asyncio.sleep(0.1)
    await pulse.stop()

    assert pulse.lateness.counts[-1] == 0
    assert 0.2 < pulse.last < 2
