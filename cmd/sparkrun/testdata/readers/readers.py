"""Reads what three runs have left with readers that are not ours, and compares it with what
the runs say of themselves. Usage: readers.py RESULTS/SCENARIO"""
import json
import math
import pathlib
import sqlite3
import sys

import duckdb
import pandas
import pyarrow.parquet

store = pathlib.Path(sys.argv[1])
runs = sorted(p for p in store.iterdir() if not p.is_symlink())
assert len(runs) == 3, runs


def same(a, b, what):
    assert a is not None and b is not None and math.isclose(a, b, rel_tol=1e-9), f"{what}: {a} is not {b}"


# The columns and types that runner/store documents.
context = {"run_id": "string", "cell": "string", "benchmark": "string", "repeat": "int64", "phase": "string", "measured": "bool"}
fields = {
    "request_id": "string", "dataset_row": "int64", "conversation_id": "string", "turn": "int64", "history_tokens": "int64", "approx_cached_percent": "double",
    "scheduled_ns": "int64", "sent_ns": "int64", "send_lag_ms": "double", "connect_ms": "double", "reconnects": "int64", "retries": "int64", "ttfr_ms": "double", "ttft_ms": "double",
    "ttfo_ms": "double", "tpot_ms": "double", "stall_ms": "double", "latency_ms": "double", "response_time_ms": "double", "stream_end_ms": "double", "input_tokens": "int64",
    "output_tokens": "int64", "cached_tokens": "int64", "reasoning_tokens": "int64", "token_source": "string", "token_events": "int64", "tokens_per_event": "double",
    "output_tokens_per_s_per_user": "double", "asked_min_tokens": "int64", "asked_max_tokens": "int64", "answer_matches": "int64", "finish_reason": "string", "status": "string",
    "stamp": "string", "error": "string",
}
raw = {
    "phase_index": "int64", "search_step": "int64", "search_value": "double", "first_event_ns": "int64", "first_token_ns": "int64", "first_output_ns": "int64", "last_token_ns": "int64",
    "last_bare_ns": "int64", "stream_end_ns": "int64", "connect_ns": "int64", "round_trip_ns": "int64", "last_turn": "bool", "first_event_tokens": "int64", "first_output_tokens": "int64",
    "reasoning_events": "int64", "bare_events": "int64", "worker": "int64", "rank": "int64", "conversation": "int64",
}
events = {"request_id": "string", "request_row": "int64", "status": "string", "event": "int64", "arrival_ns": "int64", "itl_ms": "double"}
telemetry = {"at_ns": "int64", "source": "string", "gpu": "int64", "name": "string", "value": "double"}
content = {name: "string" for name in ["request_id", "conversation_id", "status", "system", "prompt", "answer", "reasoning", "tool_calls"]} | {"turn": "int64"}


def typed(path, want):
    got = {f.name: str(f.type) for f in pyarrow.parquet.read_schema(path)}
    axes = {n: t for n, t in got.items() if n.startswith("axis_")}
    assert axes and set(axes.values()) == {"string"}, (path, axes)
    missing = {n: t for n, t in (context | want).items() if got.get(n) != t}
    assert not missing, f"{path}: documented and not so: {missing}, there is {got}"
    compression = {pyarrow.parquet.read_metadata(path).row_group(0).column(i).compression for i in range(len(got))}
    assert compression == {"ZSTD"}, (path, compression)


total = failed = 0
for run in runs:
    summary = json.loads((run / "summary.json").read_text())
    assert not list((run / "rows").iterdir()), "lines are left"
    for path in (run / "requests").iterdir():
        typed(path, fields | raw)
    for path in (run / "events").iterdir():
        typed(path, events)
    typed(run / "content.parquet", content)
    for path in (run / "telemetry").iterdir():
        typed(path, telemetry)
    requests = pandas.concat([pandas.read_parquet(p) for p in (run / "requests").iterdir()])
    samples = pandas.concat([pandas.read_parquet(p) for p in (run / "telemetry").iterdir()])
    gaps = pandas.concat([pandas.read_parquet(p) for p in (run / "events").iterdir()])
    answered = requests[requests.status == "ok"]
    assert answered.token_events.sum() == (gaps.status == "ok").sum(), "a row a token event"
    said = pandas.read_parquet(run / "content.parquet")
    db = sqlite3.connect(run / "results.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    total += len(requests)
    assert set(requests.run_id) == {summary["run"]["id"]}
    assert len(said) == len(requests) and said[said.status == "ok"].answer.notna().all() and said.prompt.notna().all()
    bad = requests[requests.status != "ok"]
    failed += len(bad)
    # Undefined is null, and never 0 or "".
    assert bad.error.notna().all() and bad[bad.status.str.startswith("http_")].ttft_ms.isna().all()
    assert requests[requests.status == "ok"].error.isna().all() and requests.search_value.isna().all() and requests.dataset_row.isna().all()
    assert db.execute("SELECT count(*) FROM requests WHERE (status = 'ok') = (error IS NULL)").fetchone()[0] == len(requests)
    for cell in summary["cells"]:
        own = requests[(requests.cell == cell["address"]) & (requests.phase == cell["phase"])]
        assert own.measured.all() and len(own) == cell["requests"]["scheduled"]
        running = samples[(samples.cell == cell["address"]) & (samples.phase == cell["phase"]) & (samples.name == "requests_running")].value
        assert samples.value.notna().all() and samples[samples.source == "local"].gpu.isna().all()
        if len(running):
            same(running.mean(), cell["telemetry"]["requests_running_mean"], "requests_running_mean")
        for axis, value in cell["matrix"].items():
            assert set(own["axis_" + axis]) == {value}
        ok = own[own.status == "ok"]
        assert len(ok) == cell["requests"]["ok"]
        for name, stats in cell["metrics"].items():
            if name == "itl_ms":
                column = gaps[(gaps.cell == cell["address"]) & (gaps.phase == cell["phase"]) & (gaps.status == "ok")].itl_ms
            elif name in ok:
                column = ok[name]
            else:
                continue
            assert column.count() == stats["count"], (name, column.count(), stats)
            if stats["count"]:
                same(column.mean(), stats["mean"], name + " mean")
                same(column.quantile(0.5), stats["p50"], name + " p50")
                same(column.max(), stats["max"], name + " max")
        row = db.execute('SELECT "ttft_ms.p50", "requests.ok", "throughput" IS NULL FROM (SELECT *, NULL AS throughput FROM cells) WHERE cell = ? AND phase = ?', (cell["address"], cell["phase"])).fetchone()
        same(row[0], cell["metrics"]["ttft_ms"]["p50"], "ttft_ms.p50 in SQLite")
        assert row[1] == cell["requests"]["ok"]
        tokens = db.execute("SELECT sum(output_tokens), count(*), typeof(sum(output_tokens)) FROM requests WHERE cell = ? AND phase = ? AND status = 'ok'", (cell["address"], cell["phase"])).fetchone()
        same(tokens[0], cell["metrics"]["output_tokens"]["mean"] * cell["metrics"]["output_tokens"]["count"], "sum of output_tokens in SQLite")
        assert tokens[1:] == (cell["requests"]["ok"], "integer")

# A glob over the runs, one of which has another axis, unites them.
assert failed > 0, "no request failed, so nothing was undefined"
# "latest" is a link to one of them, which ** does not follow; an id need not begin with a date.
glob = f"'{store}/**/requests/*.parquet'"
united = duckdb.sql(f"SELECT run_id, axis_users, axis_rate, count(*) AS n FROM read_parquet({glob}, union_by_name = true) GROUP BY ALL").fetchall()
assert sum(r[3] for r in united) == total, (united, total)
assert {r[0] for r in united} == {p.name for p in runs} and any(r[1] is None for r in united) and any(r[2] is None for r in united), united
# The same in pandas. A glob of all folders would read the run behind the link twice.
pattern = "**/requests/*.parquet"
frame = pandas.concat([pandas.read_parquet(p) for p in store.glob(pattern)], ignore_index=True)
assert len(frame) == total and set(frame.run_id) == {p.name for p in runs}, (len(frame), total)
assert (store / "latest").is_symlink() and len(list(store.glob("*/requests/*.parquet"))) > len(list(store.glob(pattern)))
sums = duckdb.sql(f"SELECT run_id, sum(output_tokens), count(ttft_ms) FROM read_parquet({glob}, union_by_name = true) GROUP BY ALL").fetchall()
for run_id, tokens, answered in sums:
    own = frame[frame.run_id == run_id]
    same(tokens, float(own.output_tokens.sum()), "sum of output_tokens")
    assert answered == own.ttft_ms.count()
for run in runs:  # what the axis is that another run has: null, in both
    other = "axis_rate" if (frame[frame.run_id == run.name].axis_rate.isna()).all() else "axis_users"
    assert frame[frame.run_id == run.name][other].isna().all() and (frame[other].notna()).any()
print(f"{total} requests of 3 runs, {failed} of them failed")
