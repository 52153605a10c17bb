package metric

import "strings"

// Number is a line of the registry: what a column, a path in summary.json and a word in
// an expression mean. Definitions are those of shared metrics.
type Number struct {
	Name string
	Unit string // "ms", "ns", "tokens", "1/s", "tokens/s", "%", "1"
	Doc  string
	Text bool // a string: in the rows, not in expressions
	Stat bool // summarised: mean, percentiles …
}

// Request are the fields of one request, in the order of the raw rows. Undefined is null.
func Request() []Number { return request }

var request = []Number{
	{Name: "request_id", Text: true, Doc: "The X-Request-Id header that was sent."},
	{Name: "dataset_row", Unit: "1", Doc: "Line of the dataset's file, from 0; null where the dataset is synthetic."},
	{Name: "conversation_id", Text: true, Doc: "The dialogue that the request belongs to."},
	{Name: "turn", Unit: "1", Doc: "User turns before this one in its conversation."},
	{Name: "history_tokens", Unit: "tokens", Stat: true, Doc: "Tokens of all earlier messages of the conversation."},
	{Name: "approx_cached_percent", Unit: "%", Stat: true, Doc: "100 × history_tokens / input_tokens: how much of the prompt the server has seen before."},
	{Name: "scheduled_ns", Unit: "ns", Doc: "When the load model wanted the request to leave: closed loop, when its slot became free after think time; open loop, its arrival, fixed before the phase began. Since the run's epoch."},
	{Name: "sent_ns", Unit: "ns", Doc: "Just before the first byte of the request was written, on a connection already open."},
	{Name: "send_lag_ms", Unit: "ms", Stat: true, Doc: "sent − scheduled: the client's own fault."},
	{Name: "connect_ms", Unit: "ms", Stat: true, Doc: "Connection set-up, where one had to be made; never part of TTFT."},
	{Name: "reconnects", Unit: "1", Doc: "Connections found dead before a byte of the response and replaced."},
	{Name: "retries", Unit: "1", Doc: "Sends that failed before this one; send_lag_ms is undefined after them."},
	{Name: "replica", Unit: "1", Doc: "Which replica of the server it was sent to, from 0; null where there is one."},
	{Name: "ttfr_ms", Unit: "ms", Stat: true, Doc: "sent → the first stream event of any kind; a role chunk counts."},
	{Name: "ttft_ms", Unit: "ms", Stat: true, Doc: "sent → the first event with non-empty content, reasoning, tool call or text."},
	{Name: "ttfo_ms", Unit: "ms", Stat: true, Doc: "sent → the first output that is not reasoning."},
	{Name: "tpot_ms", Unit: "ms", Stat: true, Doc: "(last token event − first) / (output_tokens − tokens in the first event); undefined where that is less than 1 token."},
	{Name: "stall_ms", Unit: "ms", Stat: true, Doc: "The longest gap between two token events."},
	{Name: "latency_ms", Unit: "ms", Stat: true, Doc: "sent → the last token-bearing event."},
	{Name: "response_time_ms", Unit: "ms", Stat: true, Doc: "scheduled → the same end: latency without coordinated omission."},
	{Name: "stream_end_ms", Unit: "ms", Stat: true, Doc: "sent → the end of the response, after usage and [DONE]."},
	{Name: "input_tokens", Unit: "tokens", Stat: true, Doc: "Prompt tokens by the server's usage, else its /tokenize, else the scenario's tokenizer; token_source says which."},
	{Name: "output_tokens", Unit: "tokens", Stat: true, Doc: "Generated tokens, from the same source; last resort: token events."},
	{Name: "cached_tokens", Unit: "tokens", Stat: true, Doc: "Prompt tokens the server took from its prefix cache, by its usage."},
	{Name: "reasoning_tokens", Unit: "tokens", Stat: true, Doc: "Output tokens that were reasoning, by the server's usage."},
	{Name: "token_source", Text: true, Doc: "usage, tokenize, tokenizer or events."},
	{Name: "token_events", Unit: "1", Stat: true, Doc: "Stream events that bore tokens."},
	{Name: "tokens_per_event", Unit: "tokens/event", Stat: true, Doc: "output_tokens / token_events: above 1 for speculative decoding or batched streams."},
	{Name: "output_tokens_per_s_per_user", Unit: "tokens/s", Stat: true, Doc: "1000 / tpot_ms: the speed one user sees."},
	{Name: "asked_min_tokens", Unit: "tokens", Doc: "The least output that was asked for."},
	{Name: "asked_max_tokens", Unit: "tokens", Doc: "The most output that was asked for."},
	{Name: "answer_matches", Unit: "1", Doc: "1 where the answer is the dataset's, 0 where it differs; null where nobody compares (conversations { verify })."},
	{Name: "finish_reason", Text: true, Doc: "As the server said."},
	{Name: "status", Text: true, Doc: "ok, or how the request failed: http_<code> timeout idle_timeout connect_error tls_error reset stream_error truncated malformed empty cancelled unsent skipped."},
	{Name: "stamp", Text: true, Doc: "kernel: arrivals are the kernel's receive stamps; user: one clock reading per read."},
	{Name: "error", Text: true, Doc: "One sentence on what went wrong; null where ok."},
}

// ITL is the pooled gap between token events: summarised, but not a field of a request.
var ITL = Number{Name: "itl_ms", Unit: "ms", Stat: true, Doc: "Gaps between consecutive token events of all ok requests. An event with several tokens is one gap."}

// Throughput are the rates over a window.
func Throughput() []Number { return throughput }

var throughput = []Number{
	{Name: "requests_per_s", Unit: "1/s", Doc: "Requests that ended ok inside the window, a second."},
	{Name: "output_tokens_per_s", Unit: "tokens/s", Doc: "Output tokens that arrived inside the window, a second."},
	{Name: "input_tokens_per_s", Unit: "tokens/s", Doc: "Prompt tokens of requests whose first token arrived inside the window, a second."},
	{Name: "total_tokens_per_s", Unit: "tokens/s", Doc: "Input and output together."},
	{Name: "concurrency_achieved", Unit: "1", Doc: "Requests in flight, averaged over the window."},
}

// Telemetry are what nodes and servers said of themselves over a window: result.telemetry.X.
// A server's nodes are taken together, and so are its replicas.
func Telemetry() []Number { return telemetry }

var telemetry = []Number{
	{Name: "watts_mean", Unit: "W", Doc: "Power of all GPUs of the server's nodes (nvidia-smi power.draw; of a GB10 the GPU's part alone); where there are none, of the processors' packages (RAPL). Mean over the window."},
	{Name: "joules_per_output_token", Unit: "J/token", Doc: "watts_mean / output_tokens_per_s."},
	{Name: "cost_per_million_output_tokens", Unit: "price/1e6 tokens", Doc: "price_per_hour of the server's nodes over the output tokens of an hour at output_tokens_per_s; in the price's currency."},
	{Name: "gpu_utilization_percent_mean", Unit: "%", Doc: "Share of time in which a GPU did anything, mean over the window and the GPUs."},
	{Name: "gpu_clock_mhz_mean", Unit: "MHz", Doc: "SM clock, mean over the window and the GPUs."},
	{Name: "gpu_temperature_c_max", Unit: "°C", Doc: "The hottest a GPU was."},
	{Name: "gpu_memory_bytes_max", Unit: "bytes", Doc: "The most that was taken of the memory of all GPUs together; null on a GB10, whose memory is the node's."},
	{Name: "cpu_utilization_percent_mean", Unit: "%", Doc: "Share of time in which the processors were busy, mean over the window and the nodes."},
	{Name: "memory_bytes_max", Unit: "bytes", Doc: "MemTotal − MemAvailable of the node with the most, at its highest."},
	{Name: "requests_running_mean", Unit: "1", Doc: "Requests in the engine's batch, by its own gauge."},
	{Name: "requests_waiting_mean", Unit: "1", Doc: "Requests in the engine's queue, by its own gauge."},
	{Name: "requests_waiting_max", Unit: "1", Doc: "The most that waited."},
	{Name: "kv_cache_percent_max", Unit: "%", Doc: "The fullest that the engine's KV cache was."},
	{Name: "preemptions", Unit: "1", Doc: "Sequences that the engine put aside for want of KV cache."},
	{Name: "draft_acceptance_rate", Unit: "1", Doc: "Of the tokens that speculative decoding drafted, the share that was accepted."},
}

// Samples are what is sampled, in telemetry/*.parquet. A counter counts since the start of
// its engine.
func Samples() []Number { return samples }

var samples = []Number{
	{Name: "gpu_power_watts", Unit: "W", Doc: "nvidia-smi power.draw."},
	{Name: "gpu_utilization_percent", Unit: "%", Doc: "nvidia-smi utilization.gpu."},
	{Name: "gpu_temperature_c", Unit: "°C", Doc: "nvidia-smi temperature.gpu."},
	{Name: "gpu_clock_mhz", Unit: "MHz", Doc: "nvidia-smi clocks.sm."},
	{Name: "gpu_memory_used_bytes", Unit: "bytes", Doc: "nvidia-smi memory.used."},
	{Name: "gpu_clocks_event_reasons", Unit: "bits", Doc: "nvidia-smi clocks_event_reasons.active: 8, 64, 128 slowed down by the hardware, by its heat, by its power brake; 32 by the driver for heat; 4 at its power limit; 1 idle."},
	{Name: "cpu_utilization_percent", Unit: "%", Doc: "Busy time of all processors since the sample before, of /proc/stat."},
	{Name: "cpu_power_watts", Unit: "W", Doc: "Power of all processor packages since the sample before, of RAPL, where the user may read it."},
	{Name: "memory_used_bytes", Unit: "bytes", Doc: "MemTotal − MemAvailable."},
	{Name: "memory_free_bytes", Unit: "bytes", Doc: "MemFree: what a GB10 gives its GPU without asking for more."},
	{Name: "page_cache_bytes", Unit: "bytes", Doc: "Cached."},
	{Name: "swap_used_bytes", Unit: "bytes", Doc: "SwapTotal − SwapFree."},
	{Name: "requests_running", Unit: "1", Doc: "Gauge of the engine."},
	{Name: "requests_waiting", Unit: "1", Doc: "Gauge of the engine."},
	{Name: "kv_cache_percent", Unit: "%", Doc: "Gauge of the engine."},
	{Name: "prompt_tokens", Unit: "tokens", Doc: "Counter of the engine."},
	{Name: "generation_tokens", Unit: "tokens", Doc: "Counter of the engine."},
	{Name: "requests_finished", Unit: "1", Doc: "Counter of the engine."},
	{Name: "preemptions", Unit: "1", Doc: "Counter of the engine."},
	{Name: "draft_tokens", Unit: "tokens", Doc: "Counter of the engine."},
	{Name: "accepted_draft_tokens", Unit: "tokens", Doc: "Counter of the engine."},
	{Name: "prefix_cache_hit_tokens", Unit: "tokens", Doc: "Counter of the engine."},
}

// Counts are the request counts of an entry: result.requests.X.
func Counts() []Number { return counts }

var counts = []Number{
	{Name: "scheduled", Unit: "1", Doc: "Requests that the load model wanted to send."},
	{Name: "ok", Unit: "1", Doc: "Requests that succeeded."},
	{Name: "failed", Unit: "1", Doc: "All others, unsent and skipped ones included."},
	{Name: "success_rate", Unit: "1", Doc: "ok / scheduled, cancelled ones of an interrupt left out."},
}

// Window are the numbers of the window itself: result.window.X.
func Window() []Number { return window }

var window = []Number{
	{Name: "seconds", Unit: "s", Doc: "Its length."},
	{Name: "drift", Unit: "1", Doc: "How far the output-token rate drifted over it, as a share of its mean: Theil and Sen's slope of one-second bins; null below 10 of them."},
	{Name: "trend_p", Unit: "1", Doc: "Probability of such a trend in a rate that has none (Mann-Kendall, corrected for autocorrelation); not_steady is p < 0.01 and a drift over 5 %."},
	{Name: "quiet_ms", Unit: "ms", Doc: "Longest stretch of it without a token while requests were in flight; null where stream events are not kept."},
}

// Statistics are the words after a summarised number: result.ttft_ms.p99.
var Statistics = []string{"count", "mean", "std", "min", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "p9999", "max"}

// TurnFields are the fields that are summarised for the first turns of conversations and
// for the later ones: result.turns.first.X, result.turns.later.X.
var TurnFields = []string{"ttft_ms", "tpot_ms", "latency_ms", "input_tokens", "cached_tokens"}

// Goodput are the words after result.goodput.<slo>.
var Goodput = []string{"requests_per_s", "slo_attainment"}

// ResultPaths are the paths below result. that a scenario with these custom metrics and
// slos has. Those under metrics and throughput may be written without that word.
func ResultPaths(metrics, slos []string) []string {
	var paths []string
	fields := []string{ITL.Name}
	for _, f := range request {
		if f.Stat {
			fields = append(fields, f.Name)
		}
	}
	for _, f := range append(fields, metrics...) {
		for _, s := range Statistics {
			paths = append(paths, "metrics."+f+"."+s)
		}
	}
	for _, n := range throughput {
		paths = append(paths, "throughput."+n.Name)
		if n.Name != "concurrency_achieved" { // an average over a window
			paths = append(paths, "whole_run."+n.Name)
		}
	}
	for _, n := range counts {
		paths = append(paths, "requests."+n.Name)
	}
	for _, s := range append([]string{"all"}, slos...) {
		for _, w := range Goodput {
			paths = append(paths, "goodput."+s+"."+w)
		}
	}
	for _, n := range window {
		paths = append(paths, "window."+n.Name)
	}
	for _, n := range telemetry {
		paths = append(paths, "telemetry."+n.Name)
	}
	for _, t := range []string{"first", "later"} {
		paths = append(paths, "turns."+t+".count")
		for _, f := range TurnFields {
			for _, s := range Statistics {
				paths = append(paths, "turns."+t+"."+f+"."+s)
			}
		}
	}
	return paths
}

// SearchValue is the path of what a search has found: only cells with a search have it.
const SearchValue = "search.value"

// FullPath is a path of ResultPaths for what a scenario may write short: ttft_ms.p99 for
// metrics.ttft_ms.p99, output_tokens_per_s for throughput.output_tokens_per_s.
func FullPath(path string) string {
	first, _, _ := strings.Cut(path, ".")
	switch first {
	case "metrics", "throughput", "whole_run", "requests", "goodput", "window", "turns", "telemetry", "search":
		return path
	}
	for _, n := range throughput {
		if n.Name == path {
			return "throughput." + path
		}
	}
	return "metrics." + path
}
