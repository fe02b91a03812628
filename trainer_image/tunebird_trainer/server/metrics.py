"""vLLM 0.32's metrics, where they mean something here, and two of our own. Names, help and buckets are vLLM's.

Every metric also carries `model_version`. What this server doesn't have is left out:
prefix cache, adapters, preemption, GPU.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from tunebird_trainer.server.generation import Generation, Reason

_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0,
                80.0, 160.0, 640.0, 2560.0)  # fmt: skip
_PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0)
_REQUEST = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
            960.0, 1920.0, 7680.0)  # fmt: skip
_ITERATION = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)
_HTTP_FINE = (0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 7.5, 10.0,
              30.0, 60.0)  # fmt: skip
_HTTP_COARSE = (0.1, 0.5, 1.0)
_FINISHED_REASONS = ("stop", "length", "abort", "error", "repetition")


def one_two_five(highest: int) -> tuple[float, ...]:
    """1, 2, 5, 10, 20, 50 … up to `highest`: vLLM's buckets for counts of tokens."""
    scale = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    return tuple(float(value) for value in scale if value <= highest)


class EngineMetrics:
    """Fed by the engine's thread."""

    def __init__(self, registry: CollectorRegistry, model: str, version: str, context: int):
        self._registry = registry
        self._labels = {"model_name": model, "engine": "0", "model_version": version}
        self._buckets = one_two_five(context)
        self._states()
        self._counters()
        self._lengths()
        self._latencies()

    def busy(self, running: int, waiting: int, cache_usage: float) -> None:
        self._running.set(running)
        self._waiting.set(waiting)
        self._waiting_capacity.set(waiting)
        self._cache.set(cache_usage)

    def rejected(self) -> None:
        self._rejections.inc()

    def aborted(self) -> None:
        self._finished[Reason.ABORT].inc()

    def iterated(self, tokens: int) -> None:
        self._iteration.observe(tokens)

    def stepped(self, generation: Generation, since_last: float) -> None:
        """After each token of one request."""
        self._generation_tokens.inc()
        if generation.tokens > 1:
            self._inter_token.observe(since_last)
            return
        self._prompt_tokens.inc(len(generation.prompt.tokens))
        self._prompt_source.inc(len(generation.prompt.tokens))
        self._first_token.observe(generation.times.first - generation.times.arrived)

    def finished(self, generation: Generation, reason: Reason) -> None:
        self._finished[reason].inc()
        self._observe_lengths(generation)
        times = generation.times
        self._end_to_end.observe(times.last - times.arrived)
        self._queued.observe(times.started - times.arrived)
        self._inference.observe(times.last - times.started)
        self._prefill.observe(times.first - times.started)
        self._decode.observe(times.last - times.first)
        self._per_output_token.observe((times.last - times.first) / max(generation.tokens - 1, 1))

    def _observe_lengths(self, generation: Generation) -> None:
        prompt, most = len(generation.prompt.tokens), generation.prompt.sampling.max_tokens
        self._prompt_length.observe(prompt)
        self._prefill_length.observe(prompt)
        self._answer_length.observe(generation.tokens)
        self._longest_answer.observe(generation.tokens)
        self._asked_length.observe(most)
        self._asked_answers.observe(1)

    def _states(self) -> None:
        by_reason = (
            "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
            "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). "
            "Sum of all reasons equals vllm:num_requests_waiting."
        )
        self._running = self._gauge("num_requests_running", "Number of requests in model execution batches.")
        self._waiting = self._gauge("num_requests_waiting", "Number of requests waiting to be processed.")
        self._waiting_capacity = self._gauge("num_requests_waiting_by_reason", by_reason, reason="capacity")
        self._cache = self._gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.")

    def _counters(self) -> None:
        self._prompt_tokens = self._counter("prompt_tokens", "Number of prefill tokens processed.")
        by_source, source = "prompt_tokens_by_source", "Number of prompt tokens by source."
        self._prompt_source = self._counter(by_source, source, source="local_compute")
        self._generation_tokens = self._counter("generation_tokens", "Number of generation tokens processed.")
        success = self._family("request_success", "Count of successfully processed requests.", "finished_reason")
        self._finished = {
            reason: success.labels(**self._labels, finished_reason=reason) for reason in _FINISHED_REASONS
        }
        text = "Number of admission attempts rejected by a queue limit, by reason."
        labels = ("model_name", "reason", "model_version")
        rejections = Counter("vllm:admission_rejections", text, labels, registry=self._registry)
        name, version = self._labels["model_name"], self._labels["model_version"]
        self._rejections = rejections.labels(name, "max_num_queued_reqs", version)

    def _lengths(self) -> None:
        tokens, make = self._buckets, self._histogram
        computed = "Histogram of new KV tokens computed during prefill (excluding cached tokens)."
        longest = "Histogram of maximum number of requested generation tokens."
        self._prompt_length = make("request_prompt_tokens", "Number of prefill tokens processed.", tokens)
        self._answer_length = make("request_generation_tokens", "Number of generation tokens processed.", tokens)
        self._iteration = make("iteration_tokens_total", "Histogram of number of tokens per engine_step.", _ITERATION)
        self._longest_answer = make("request_max_num_generation_tokens", longest, tokens)
        self._asked_length = make("request_params_max_tokens", "Histogram of the max_tokens request parameter.", tokens)
        self._asked_answers = make("request_params_n", "Histogram of the n request parameter.", one_two_five(20))
        self._prefill_length = make("request_prefill_kv_computed_tokens", computed, tokens)

    def _latencies(self) -> None:
        def phase(name: str) -> str:
            return f"Histogram of time spent in {name} phase for request."

        make, per_output = self._histogram, "request_time_per_output_token_seconds"
        first = "Histogram of time to first token in seconds."
        self._first_token = make("time_to_first_token_seconds", first, _FIRST_TOKEN)
        inter = "Histogram of inter-token latency in seconds."
        self._inter_token = make("inter_token_latency_seconds", inter, _PER_TOKEN)
        text = "Histogram of time_per_output_token_seconds per request."
        self._per_output_token = make(per_output, text, _PER_TOKEN)
        whole = "Histogram of e2e request latency in seconds."
        self._end_to_end = make("e2e_request_latency_seconds", whole, _REQUEST)
        self._queued = make("request_queue_time_seconds", phase("WAITING"), _REQUEST)
        self._inference = make("request_inference_time_seconds", phase("RUNNING"), _REQUEST)
        self._prefill = make("request_prefill_time_seconds", phase("PREFILL"), _REQUEST)
        self._decode = make("request_decode_time_seconds", phase("DECODE"), _REQUEST)

    def _family(self, name: str, text: str, *more: str) -> Counter:
        return Counter(f"vllm:{name}", text, (*self._labels, *more), registry=self._registry)

    def _counter(self, name: str, text: str, **more: str) -> Counter:
        return self._family(name, text, *more).labels(**self._labels, **more)

    def _gauge(self, name: str, text: str, **more: str) -> Gauge:
        gauge = Gauge(f"vllm:{name}", text, (*self._labels, *more), registry=self._registry)
        return gauge.labels(**self._labels, **more)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", text, tuple(self._labels), registry=self._registry, buckets=buckets)
        return histogram.labels(**self._labels)


class HttpMetrics:
    """What the web server counts, as vLLM's instrumentation names it; probes and scrapes are not counted, as there."""

    def __init__(self, registry: CollectorRegistry, model: str, version: str):
        self._version = version
        text = "Total number of requests by method, status and handler."
        labels = ("method", "status", "handler", "model_version")
        self._requests = Counter("http_requests", text, labels, registry=registry)
        self._sizes(registry)
        self._durations(registry)
        self._faults(registry, model)

    def answered(self, method: str, handler: str, status: int, seconds: float) -> None:
        self._requests.labels(method, f"{status // 100}xx", handler, self._version).inc()
        self._duration.labels(method, handler, self._version).observe(seconds)
        self._duration_fine.labels(self._version).observe(seconds)

    def sized(self, handler: str, request_bytes: int, response_bytes: int) -> None:
        self._received.labels(handler, self._version).observe(request_bytes)
        self._sent.labels(handler, self._version).observe(response_bytes)

    def failed(self, cause: str) -> None:
        """A request that got an error of the server's own making."""
        self._errors[cause].inc()

    def cut(self) -> None:
        """A stream that ended without its end."""
        self._cuts.inc()

    def _sizes(self, registry: CollectorRegistry) -> None:
        text = (
            "Content length of {} by handler. Only value of header is respected. Otherwise ignored. "
            "No percentile calculated. "
        )
        labels = ("handler", "model_version")
        incoming, outgoing = text.format("incoming requests"), text.format("outgoing responses")
        self._received = Summary("http_request_size_bytes", incoming, labels, registry=registry)
        self._sent = Summary("http_response_size_bytes", outgoing, labels, registry=registry)

    def _durations(self, registry: CollectorRegistry) -> None:
        coarse = (
            "Latency with only few buckets by handler. Made to be only used if aggregation by handler is important. "
        )
        fine = "Latency with many buckets but no API specific labels. Made for more accurate percentile calculations. "
        labels = ("method", "handler", "model_version")
        self._duration = Histogram(
            "http_request_duration_seconds", coarse, labels, registry=registry, buckets=_HTTP_COARSE
        )
        name = "http_request_duration_highr_seconds"
        self._duration_fine = Histogram(name, fine, ("model_version",), registry=registry, buckets=_HTTP_FINE)

    def _faults(self, registry: CollectorRegistry, model: str) -> None:
        labels = ("model_name", "model_version")
        name, text = "tunebird_request_errors", "Requests answered with a 5xx status, or failed in a stream, by cause."
        errors = Counter(name, text, (*labels, "cause"), registry=registry)
        causes = ("injected", "internal", "overloaded", "not_ready")
        self._errors = {cause: errors.labels(model, self._version, cause) for cause in causes}
        name, text = "tunebird_streams_cut", "Streams that the server closed before their end."
        self._cuts = Counter(name, text, labels, registry=registry).labels(model, self._version)


def registry() -> CollectorRegistry:
    """A fresh registry with the process's own metrics."""
    made = CollectorRegistry()
    for collector in (GCCollector, PlatformCollector, ProcessCollector):
        collector(registry=made)
    return made
