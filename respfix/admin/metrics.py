"""The numbers as Prometheus reads them.

Nothing is counted here: the families are made of the journal's tally when they are asked for. Their labels are bounded
there, and by the configured upstreams.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from respfix.admin.about import About
from respfix.admin.pulse import Pulse
from respfix.journal import Journal, Kind
from respfix.journal.entry import Entry
from respfix.journal.tally import Counts, Histogram, Tally

COUNTERS: tuple[tuple[str, str, tuple[str, ...], Callable[[Tally], Counts]], ...] = (
    # name, what it counts, labels, where it is kept
    (
        "respfix_requests",
        "Requests that have ended; kind is responses where a stream to be repaired could come back.",
        ("upstream", "kind", "status"),
        lambda tally: tally.requests,
    ),
    (
        "respfix_streams",
        "Requests for Responses that have ended, by what became of them.",
        ("upstream", "dialect", "outcome"),
        lambda tally: tally.streams,
    ),
    (
        "respfix_stream_ends",
        "Requests for Responses that have ended, by who ended them and why.",
        ("upstream", "by", "reason"),
        lambda tally: tally.ends,
    ),
    (
        "respfix_repairs",
        "Repairs, by defect; only counted, not made, with `repair: observe`.",
        ("upstream", "defect"),
        lambda tally: tally.repairs,
    ),
    (
        "respfix_defective_streams",
        "Streams in which a defect was found at least once.",
        ("upstream", "defect"),
        lambda tally: tally.repaired,
    ),
    (
        "respfix_repair_stops",
        "Streams that went on unrepaired because a bound was hit, or because of a fault in the repair.",
        ("upstream", "bound"),
        lambda tally: tally.stops,
    ),
    (
        "respfix_events",
        "Events of streams, as they came in and as they went out.",
        ("upstream", "direction"),
        lambda tally: tally.events,
    ),
    (
        "respfix_sent_bytes",
        "Bytes of answers' bodies sent to clients.",
        ("upstream",),
        lambda tally: tally.sent,
    ),
    (
        "respfix_captures",
        "Streams worth keeping: kept, alike (one with the same faults was kept lately), dropped (too many) or failed.",
        ("result",),
        lambda tally: tally.captures,
    ),
)

HISTOGRAMS: tuple[tuple[str, str, Callable[[Tally], Mapping[str, Histogram]]], ...] = (
    (
        "respfix_stream_first_byte_seconds",
        "From a request's arrival to the first byte of its answer's body from the upstream.",
        lambda tally: tally.first_byte,
    ),
    (
        "respfix_added_latency_seconds",
        "From the first byte of a stream's body to the first byte of what was made of it.",
        lambda tally: tally.added,
    ),
    (
        "respfix_stream_duration_seconds",
        "From a request's arrival to the end of its answer.",
        lambda tally: tally.duration,
    ),
)


class Numbers(Collector):
    """Reads the journal whenever it is asked."""

    def __init__(
        self, journal: Journal, pulse: Pulse, about: Callable[[], About], troubles: Callable[[], Mapping[str, str]]
    ) -> None:
        """`troubles` says for each upstream why it could not be reached when it was last looked at."""
        self._journal = journal
        self._pulse = pulse
        self._about = about
        self._troubles = troubles

    def collect(self) -> Iterator[Metric]:
        """All families; those without a value are there, so that queries and alerts find their names."""
        tally, about = self._journal.tally, self._about()
        for name, text, labels, kept in COUNTERS:
            counter = CounterMetricFamily(name, text, labels=labels)
            for key, count in kept(tally).items():
                counter.add_metric(key, count)
            yield counter
        for name, text, kept_times in HISTOGRAMS:
            yield histogram(name, text, kept_times(tally))
        yield from self._now()
        yield histogram("respfix_loop_lateness_seconds", "How late the event loop is.", self._pulse.lateness)
        yield GaugeMetricFamily("respfix_draining", "1 while respfix is stopping.", float(about.is_draining))
        yield InfoMetricFamily("respfix_build", "Which respfix this is.", {"version": about.version})

    def _now(self) -> Iterator[Metric]:
        """What is going on in this moment."""
        live = list(self._journal.live)
        streams = [entry for entry in live if entry.kind is not Kind.OTHER]
        reachable = {upstream: float(not trouble) for upstream, trouble in self._troubles().items()}
        none = dict.fromkeys(self._about().upstreams, 0)  # an alert cannot tell what is not there from what is lost
        held = Counter(none)
        for each in streams:
            held[each.upstream] += _held(each)
        yield gauge(
            "respfix_active_requests", "Requests that are running.", none | Counter(each.upstream for each in live)
        )
        yield gauge(
            "respfix_active_streams",
            "Requests for Responses that are running.",
            none | Counter(each.upstream for each in streams),
        )
        yield gauge("respfix_held_frames", "Events that wait for what they depend on.", held)
        yield gauge(
            "respfix_upstream_reachable", "1 if the upstream took a connection when it was last looked at.", reachable
        )


def _held(entry: Entry) -> int:
    return entry.report.held if entry.report is not None else 0


def gauge(name: str, text: str, values: Mapping[str, float]) -> Metric:
    """One value for each upstream."""
    family = GaugeMetricFamily(name, text, labels=("upstream",))
    for upstream, value in values.items():
        family.add_metric((upstream,), value)
    return family


def histogram(name: str, text: str, kept: Histogram | Mapping[str, Histogram]) -> Metric:
    """One histogram, or one for each upstream."""
    labelled = {(): kept} if isinstance(kept, Histogram) else {(upstream,): each for upstream, each in kept.items()}
    family = HistogramMetricFamily(name, text, labels=() if isinstance(kept, Histogram) else ("upstream",))
    for labels, each in labelled.items():
        family.add_metric(labels, list(_cumulated(each)), each.total)
    return family


def _cumulated(histogram: Histogram) -> Iterator[tuple[str, float]]:
    below = 0
    names = [*(str(float(bound)) for bound in histogram.bounds), "+Inf"]
    for name, count in zip(names, histogram.counts, strict=True):
        below += count
        yield name, below


class Exposition:
    """What `/metrics` answers; a registry of its own, so that nothing else in the process shows up."""

    def __init__(self, numbers: Numbers) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(numbers)
        ProcessCollector(registry=self._registry)  # memory, CPU, open descriptors; only on Linux

    def write(self, accept: str) -> tuple[bytes, str]:
        """The body and its content type, in the newest form that the scraper accepts."""
        try:
            encode, content_type = choose_encoder(accept)
        except (ValueError, TypeError):  # a version that is none
            encode, content_type = generate_latest, CONTENT_TYPE_PLAIN_0_0_4
        return encode(self._registry), content_type
