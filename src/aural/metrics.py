"""What the server counts, for Prometheus. One object, made by the app and handed down."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Every metric of the server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Counter(
            "aural_requests", "Requests by route and HTTP status", ["route", "status"], registry=registry
        )
        self.request_s = Histogram(
            "aural_request_seconds", "Time to the last byte", ["route"], buckets=_LATENCY_S, registry=registry
        )
        self.in_flight = Gauge("aural_requests_in_flight", "Requests being answered", registry=registry)
        self.audio_s = Counter("aural_audio_seconds", "Seconds of audio transcribed", ["model"], registry=registry)
        self.decode_s = Histogram(
            "aural_audio_decode_seconds", "Time to decode a body to PCM", buckets=_LATENCY_S, registry=registry
        )
        self.queue_depth = Gauge("aural_queue_clips", "Clips waiting", ["model"], registry=registry)
        self.queue_audio_s = Gauge(
            "aural_queue_audio_seconds", "Seconds of audio waiting", ["model"], registry=registry
        )
        self.queue_wait_s = Histogram(
            "aural_queue_wait_seconds", "Time a clip waited", ["model"], buckets=_LATENCY_S, registry=registry
        )
        self.batch_clips = Histogram(
            "aural_batch_clips", "Clips in a batch", ["model"], buckets=_BATCH, registry=registry
        )
        self.batch_padding = Histogram(
            "aural_batch_padding_ratio",
            "Share of a batch that is padding: 1 - audio / (longest clip x clips)",
            ["model"],
            buckets=(0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0),
            registry=registry,
        )
        self.engine_s = Counter("aural_engine_seconds", "Time engines were hearing", ["model"], registry=registry)
        self.busy_share = Gauge(
            "aural_busy_share",
            "Share of their time that the ready replicas were hearing, over the last 15 s or so: what to scale by",
            ["model"],
            registry=registry,
        )
        self.rtfx = Gauge("aural_rtfx", "Audio seconds per engine second, smoothed", ["model"], registry=registry)
        self.redone = Counter(
            "aural_redone_clips", "Clips heard again in the full window", ["model"], registry=registry
        )
        self.suppressed = Counter(
            "aural_suppressed_segments", "Stretches that gave no text", ["model", "reason"], registry=registry
        )
        self.refused = Counter("aural_refused", "Requests refused at the door", ["code"], registry=registry)
        self.restarts = Counter(
            "aural_worker_restarts", "Workers that had to be replaced", ["model"], registry=registry
        )
        self.replicas = Gauge("aural_replicas", "Replicas by state", ["model", "state"], registry=registry)
        self.live_streams = Gauge("aural_live_sessions", "Live sessions that are open", registry=registry)
        self.live_finals = Counter("aural_live_finals", "Utterances heard to their end", registry=registry)
        self.loop_lag_s = Histogram(
            "aural_event_loop_lag_seconds",
            "How late a timer of the event loop fires",
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
            registry=registry,
        )
        self.insights = Counter("aural_insight_utterances", "Utterances that were looked at", registry=registry)
        self.insights_skipped = Counter(
            "aural_insight_skipped", "Orders for which there was no room, or no time", registry=registry
        )
        self.insight_s = Histogram(
            "aural_insight_seconds", "Time from an utterance to its insights", buckets=_LATENCY_S, registry=registry
        )
        self.alerts = Counter("aural_alerts", "Alerts by rule", ["rule"], registry=registry)
        self.webhooks = Counter("aural_webhooks", "Webhook deliveries by outcome", ["outcome"], registry=registry)
        self.llm = Counter(
            "aural_llm_requests", "Questions to the language model by outcome", ["code"], registry=registry
        )
        self.llm_s = Histogram(
            "aural_llm_seconds", "Time from question to answer", buckets=_LATENCY_S, registry=registry
        )
        self.llm_tokens = Counter("aural_llm_tokens", "Tokens of the language model", ["kind"], registry=registry)
        self.llm_cost = Counter(
            "aural_llm_cost", "What the language model cost, by the prices of the settings", registry=registry
        )
