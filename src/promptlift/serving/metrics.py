"""What Prometheus is told. No label holds anything that a client writes."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The counts of one server."""

    def __init__(self) -> None:
        """All at zero, in a registry of their own."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "promptlift_requests", "Requests by endpoint and status class", ["endpoint", "status"], registry=registry
        )
        self.in_flight = Gauge("promptlift_requests_in_flight", "Requests in work", registry=registry)
        self.rewrites = Counter(
            "promptlift_rewrites", "Texts that were looked at, by outcome and reason", ["outcome", "reason"],
            registry=registry,
        )  # fmt: skip
        self.rewrite_seconds = Histogram(
            "promptlift_rewrite_seconds",
            "What rewriting added to a request",
            ["outcome"],
            buckets=_FAST,
            registry=registry,
        )
        self.first_byte_seconds = Histogram(
            "promptlift_first_byte_seconds", "From a request's head to its answer's first byte", buckets=_SLOW,
            registry=registry,
        )  # fmt: skip
        self.request_seconds = Histogram(
            "promptlift_request_seconds", "From a request's head to its answer's end", buckets=_SLOW, registry=registry
        )
        self.queue_seconds = Histogram(
            "promptlift_queue_seconds", "How long prompts wait for the prompter", buckets=_FAST, registry=registry
        )
        self.queue = Gauge("promptlift_queue", "Prompts that wait", registry=registry)
        self.memory = Gauge("promptlift_memory_entries", "Prompts that are remembered", registry=registry)
        self.memory_bytes = Gauge("promptlift_memory_bytes", "What they take, roughly", registry=registry)
        self.buffered = Gauge("promptlift_buffered_bytes", "Bodies that are being looked at", registry=registry)
        self.upstream_errors = Counter(
            "promptlift_upstream_errors", "No answer, or one cut short, by kind; and answers with an error's status",
            ["kind"], registry=registry,
        )  # fmt: skip
        self.gone = Counter("promptlift_clients_gone", "Clients that left before the end", registry=registry)
        self.prompter_up = Gauge("promptlift_prompter_up", "1 if the prompter is ready", registry=registry)
        self.prompter_starts = Gauge("promptlift_prompter_starts", "How often it was started", registry=registry)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)
