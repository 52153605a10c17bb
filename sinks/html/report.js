"use strict";
// The report of a run: everything is made from the JSON in #data.
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
const colors = ["#2f7ed8", "#e4572e", "#2e9e5b", "#9b5de5", "#d9a404", "#0fa3b1", "#d6336c", "#7a8288"];

// el makes an element: attributes, then children (text or elements).
function el(tag, attrs, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (k.startsWith("on")) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== null && v !== false) e.setAttribute(k, v === true ? "" : v);
  }
  for (const c of children.flat()) if (c !== null && c !== undefined) e.append(c);
  return e;
}

// at reads a path of an entry as expressions name it: "metrics.ttft_ms.p50".
const at = (e, path) => path.split(".").reduce((o, k) => (o === null || o === undefined ? null : o[k]), e);

function short(v) {
  if (v === null || v === undefined) return "–";
  const a = Math.abs(v);
  if (Number.isInteger(v) && a < 1e6) return String(v);
  return a >= 1e6 ? v.toExponential(2) : a >= 100 ? v.toFixed(0) : a >= 10 ? v.toFixed(1) : a >= 0.1 || a === 0 ? v.toFixed(2) : v.toPrecision(3);
}

const server = e => e.server.replace(/^server\./, "");
const why = e => [e.cause].concat(e.marks.map(m => m.name + ": " + m.why)).filter(Boolean).join("\n");

// ---- what is shown: the entries that the filters leave
const live = location.protocol.startsWith("http"); // the page is loaded again with every cell: it keeps what was chosen
const hidden = new Set(live ? JSON.parse(sessionStorage["hidden " + data.run.id] || "[]") : []); // "axis=value"
const keep = () => { if (live) { sessionStorage["hidden " + data.run.id] = JSON.stringify([...hidden]); sessionStorage.theme = document.documentElement.dataset.theme || ""; } };
if (live && sessionStorage.theme) document.documentElement.dataset.theme = sessionStorage.theme;
const axisNames = [...new Set(data.cells.flatMap(e => e.axes || Object.keys(e.matrix)))];
const valueOf = (e, axis) => (axis === "server" ? server(e) : e.matrix[axis]);
const filterAxes = [...new Set(["server", ...axisNames])];
const shown = () => data.cells.filter(e => !filterAxes.some(a => hidden.has(a + "=" + valueOf(e, a))));

// loadAxis is the axis that goes up along a line: concurrency, rate, or the first of numbers.
function loadAxis(entries) {
  const numeric = axisNames.filter(a => entries.some(e => a in e.matrix) && entries.every(e => !(a in e.matrix) || (e.matrix[a] !== "" && !isNaN(e.matrix[a]))));
  return numeric.find(a => /concurrency|rate|users/.test(a)) || numeric[0];
}

// lines groups entries by all but the load axis; repeats become one point, their median.
function lines(entries, load) {
  const out = new Map();
  for (const e of entries) {
    const rest = axisNames.filter(a => a !== load && a !== "server" && a in e.matrix).map(a => a + "=" + e.matrix[a]);
    const phases = new Set(entries.map(x => x.phase));
    const name = [server(e), ...rest, phases.size > 1 ? e.phase : ""].filter(Boolean).join(" ");
    if (!out.has(name)) out.set(name, new Map());
    const x = load && load in e.matrix ? Number(e.matrix[load]) : 0;
    if (!out.get(name).has(x)) out.get(name).set(x, []);
    out.get(name).get(x).push(e);
  }
  return [...out].map(([name, points]) => ({ name, points: [...points].sort((a, b) => a[0] - b[0]).map(([load, entries]) => ({ load, entries })) }));
}

// colorOf gives a line its colour, the same in every chart and whatever is filtered.
const lineNames = [];
const colorOf = name => { let i = lineNames.indexOf(name); if (i < 0) i = lineNames.push(name) - 1; return i; };

function median(values) {
  const v = values.filter(x => x !== null && x !== undefined && isFinite(x)).sort((a, b) => a - b);
  return v.length ? (v[(v.length - 1) >> 1] + v[v.length >> 1]) / 2 : null;
}
const pick = (entries, path) => median(entries.map(e => at(e, path)));

// range is the least and the greatest of the repeats, "" of one.
function range(entries, path) {
  const all = entries.map(e => at(e, path)).filter(v => v !== null && v !== undefined);
  return all.length > 1 ? `${short(Math.min(...all))}–${short(Math.max(...all))}` : "";
}

// ---- charts
let plots = [];
let printing = false;
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// steps are 1, 2 and 5 times the powers of ten between two numbers: the ticks of a log axis.
function steps(lo, hi) {
  const out = [];
  for (let p = Math.floor(Math.log10(lo)); p <= Math.log10(hi); p++) for (const m of [1, 2, 5]) { const v = m * 10 ** p; if (v >= lo && v <= hi) out.push(v); }
  return out.length > 1 ? out : [lo, hi];
}

// chart draws series of points {x, y, tip} in their own order. o: x, y, y2 (titles), logX,
// logY, ticks (of x), bands (stretches of x).
function chart(title, sub, series, o) {
  series = series.map((s, i) => ({ color: colors[(s.colorIndex ?? i) % colors.length], ...s, points: s.points.filter(p => p.x !== null && p.y !== null && (!o.logY || p.y > 0) && (!o.logX || p.x > 0)) })).filter(s => s.points.length);
  if (!series.length && !o.always) return null;
  if (!series.length) return Object.assign(el("figure", {}, el("figcaption", {}, title), el("p", { class: "dim" }, `${o.y}: no values. A p99 takes 100 requests.`)), { draw() {} });
  const box = el("div"), tip = el("div", { class: "tip" });
  const fig = el("figure", { class: o.wide ? "wide" : null }, el("figcaption", {}, title, sub ? el("span", {}, sub) : null), box, tip);
  const draw = () => {
    const xs = [...new Set(series.flatMap(s => s.points.map(p => p.x)))].sort((a, b) => a - b);
    const index = new Map(xs.map((x, i) => [x, i]));
    const table = [xs, ...series.map(s => { const c = new Array(xs.length).fill(null); for (const p of s.points) c[index.get(p.x)] = p.y; return c; })];
    const k = printing ? 2 : 1; // on paper a chart is drawn twice as large and shown at half its size
    const bars = s => u => { // beside those of the other series
      const p = new Path2D(), w = 9 * k * devicePixelRatio, left = (series.indexOf(s) - series.length / 2) * w;
      for (const q of s.points) { const y = u.valToPos(q.y, "y", true); p.rect(u.valToPos(q.x, "x", true) + left, y, w - 1, Math.max(1, u.valToPos(0, "y", true) - y)); }
      return { stroke: p, fill: p };
    };
    const path = s => u => { // through the points in their own order, which may go back in x
      const p = new Path2D();
      s.points.forEach((q, i) => { const x = u.valToPos(q.x, "x", true), y = u.valToPos(q.y, s.scale || "y", true); i ? p.lineTo(x, y) : p.moveTo(x, y); });
      return { stroke: p, fill: null };
    };
    const axis = (scale, label, more) => ({ scale, label, stroke: css("--fg"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, labelSize: 18 * k, size: (scale === "x" ? 34 : 54) * k, font: `${11 * k}px system-ui`, labelFont: `${11 * k}px system-ui`, values: (u, v) => v.map(x => (x === null ? "" : short(x).replace(/\.0+$/, ""))), ...more });
    const range = log => (u, lo, hi) => {
      if (lo === null) return [0, 1];
      if (log) return lo === hi ? [lo / 2, hi * 2] : [lo / 1.15, hi * 1.15];
      const pad = (hi - lo || hi || 1) * 0.06;
      return [lo >= 0 && (o.zero || lo - pad < (hi - lo) * 0.25) ? 0 : lo - pad, hi + pad];
    };
    const scales = { x: { time: false, distr: o.logX ? 3 : 1, range: range(o.logX) }, y: { distr: o.logY ? 3 : 1, range: range(o.logY) } };
    const log = (u, i, lo, hi) => steps(lo, hi), own = { filter: (u, v) => v };
    const axes = [axis("x", o.x, o.ticks ? { splits: () => o.ticks, ...own } : o.logX ? { splits: log, ...own } : {}), axis("y", o.y, o.logY ? { splits: log, ...own } : {})];
    if (o.y2) { scales.y2 = { range: range(false) }; axes.push(axis("y2", o.y2, { side: 1, grid: { show: false } })); }
    const u = new uPlot({
      width: printing ? (o.wide ? 1340 : 640) : Math.max(260, box.clientWidth || 420), height: 250 * k, scales, axes, legend: { live: false }, cursor: { drag: { x: true, y: false }, points: { show: false } },
      series: [{}, ...series.map(s => ({ label: s.name, scale: s.scale || "y", stroke: s.color, width: 1.8 * k, dash: s.dash && s.dash.map(d => d * k), spanGaps: true, ...(o.bars ? { fill: s.color, paths: bars(s), points: { show: false } } : { paths: s.points.length > 1 ? path(s) : () => null, points: { show: s.points.length < 60, size: 6 * k, fill: s.color } }) }))],
      hooks: {
        drawClear: [u => { for (const b of o.bands || []) { u.ctx.fillStyle = b.measure ? css("--soft") : css("--warn"); const x0 = u.valToPos(b.from, "x", true), x1 = u.valToPos(b.to, "x", true); u.ctx.fillRect(x0, u.bbox.top, x1 - x0, u.bbox.height); u.ctx.fillStyle = css("--dim"); u.ctx.font = `${11 * k * devicePixelRatio}px system-ui`; u.ctx.textAlign = "left"; u.ctx.fillText(b.name, x0 + 4, u.bbox.top + 12 * k * devicePixelRatio, Math.max(1, x1 - x0 - 6)); } }],
        setCursor: [u => {
          let best = null, near = 30;
          series.forEach((s, i) => { if (u.series[i + 1].show) for (const p of s.points) { const d = Math.hypot(u.valToPos(p.x, "x") - u.cursor.left, u.valToPos(p.y, s.scale || "y") - u.cursor.top); if (d < near) { near = d; best = { s, p }; } } });
          tip.style.display = best && u.cursor.left >= 0 ? "block" : "none";
          if (!best) return;
          tip.textContent = best.s.name + "\n" + (best.p.tip || `${o.x}: ${short(best.p.x)}\n${o.y}: ${short(best.p.y)}`);
          const left = u.over.offsetLeft + u.valToPos(best.p.x, "x"), top = box.offsetTop + u.over.offsetTop + u.valToPos(best.p.y, best.s.scale || "y");
          tip.style.left = Math.min(left + 14, Math.max(0, fig.clientWidth - tip.offsetWidth - 6)) + "px"; tip.style.top = Math.max(0, top - tip.offsetHeight - 8) + "px";
        }],
      },
    }, table, box);
    plots.push({ u, box, draw });
  };
  fig.draw = draw;
  return fig;
}

// byLoad is a chart of a path over another, a line an engine, its points along the load axis.
function byLoad(title, entries, load, xPath, xTitle, ys, yTitle, o) {
  const all = lines(entries, load);
  const series = all.flatMap(l => ys.map(y => ({
    name: l.name + (y.label ? " " + y.label : ""), colorIndex: colorOf(l.name), dash: y.dash,
    points: l.points.map(p => {
      const x = xPath === "load" ? p.load : pick(p.entries, xPath), v = y.of ? median(p.entries.map(y.of)) : pick(p.entries, y.path);
      const marks = [...new Set(p.entries.flatMap(e => e.marks.map(m => m.name)))];
      return { x, y: v, tip: [load ? `${load} = ${p.load}` : "", xPath === "load" ? "" : `${xTitle}: ${short(x)}`, `${yTitle}: ${short(v)}`, p.entries.length > 1 ? `median of ${p.entries.length} repeats` + (y.path ? ", " + range(p.entries, y.path) : "") : "", marks.join(" ")].filter(Boolean).join("\n") };
    }),
  })));
  const ticks = xPath === "load" ? [...new Set(all.flatMap(l => l.points.map(p => p.load)))].sort((a, b) => a - b) : null;
  return chart(title, o.sub, series, { x: xTitle, y: yTitle, ticks, ...o });
}

const perUser = e => { const v = at(e, "metrics.tpot_ms.p50"); return v ? 1000 / v : null; };
const percentiles = name => [{ path: `metrics.${name}.p50`, label: "p50" }, { path: `metrics.${name}.p90`, label: "p90", dash: [6, 4] }, { path: `metrics.${name}.p99`, label: "p99", dash: [2, 3] }];

function loadCharts(entries, load) {
  const out = "throughput.output_tokens_per_s";
  return [
    byLoad("Throughput against latency", entries, load, out, "output tokens/s", [{ path: "metrics.ttft_ms.p50" }], "TTFT p50 (ms)", { logY: true, sub: "down and right is better" }),
    byLoad("Throughput against speed for a user", entries, load, out, "output tokens/s", [{ of: perUser }], "tokens/s and user", { sub: "up and right is better" }),
    byLoad("TTFT by " + load, entries, load, "load", load, percentiles("ttft_ms"), "TTFT (ms)", { logY: true, logX: true }),
    byLoad("TPOT by " + load, entries, load, "load", load, percentiles("tpot_ms"), "TPOT (ms)", { logX: true }),
    byLoad("Throughput by " + load, entries, load, "load", load, [{ path: out }], "output tokens/s", { logX: true }),
    byLoad("Latency by " + load, entries, load, "load", load, percentiles("latency_ms"), "latency (ms)", { logY: true, logX: true }),
  ];
}

// errorRate is the share of failed requests by status, bars beside each other.
function errorRate(entries, load) {
  const series = lines(entries, load).flatMap(l => {
    const statuses = [...new Set(l.points.flatMap(p => p.entries.flatMap(e => Object.keys(e.requests.by_status || {}))))].filter(s => s !== "ok");
    return (statuses.length ? statuses : [""]).map(status => ({
      name: [l.name, status].join(" ").trim(), points: l.points.filter(p => p.entries.some(e => e.requests.scheduled)).map(p => {
        const count = p.entries.reduce((n, e) => n + ((status && e.requests.by_status[status]) || 0), 0), all = p.entries.reduce((n, e) => n + e.requests.scheduled, 0);
        return { x: p.load, y: 100 * count / all, tip: `${load} = ${p.load}\n${count} of ${all} requests${status ? " " + status : " failed"}` };
      }),
    }));
  });
  const ticks = [...new Set(series.flatMap(s => s.points.map(p => p.x)))].sort((a, b) => a - b);
  return chart("Error rate", series.some(s => s.points.some(p => p.y > 0)) ? "by status" : "no request failed", series, { x: load, y: "failed (%)", bars: true, logX: true, ticks, always: true, zero: true });
}

// genai-bench's eight charts, from our numbers.
function eightCharts(entries, load) {
  const out = "throughput.output_tokens_per_s", total = "throughput.total_tokens_per_s", rps = "throughput.requests_per_s";
  const speed = { path: "metrics.output_tokens_per_s_per_user.mean" }, ttft = { path: "metrics.ttft_ms.mean" };
  return [
    byLoad("Output speed per request", entries, load, out, "output tokens/s", [speed], "tokens/s and request", { always: true }),
    byLoad("Mean TTFT", entries, load, out, "output tokens/s", [ttft], "TTFT (ms)", { logY: true, always: true }),
    byLoad("Mean latency", entries, load, rps, "requests/s", [{ path: "metrics.latency_ms.mean" }], "latency (ms)", { always: true }),
    errorRate(entries, load),
    byLoad("Output speed per request", entries, load, total, "input + output tokens/s", [speed], "tokens/s and request", { always: true }),
    byLoad("Mean TTFT", entries, load, total, "input + output tokens/s", [ttft], "TTFT (ms)", { logY: true, always: true }),
    byLoad("P90 latency", entries, load, rps, "requests/s", [{ path: "metrics.latency_ms.p90" }], "latency (ms)", { always: true }),
    byLoad("P99 latency", entries, load, rps, "requests/s", [{ path: "metrics.latency_ms.p99" }], "latency (ms)", { always: true }),
  ];
}

const byAddress = (a, b) => a.address.localeCompare(b.address, "en", { numeric: true });
const key = e => e.address + " " + e.phase;
const cellName = e => [server(e), ...Object.entries(e.matrix).filter(([a]) => a !== "server").map(([a, v]) => a + "=" + v)].join(" ") + (data.cells.some(x => x.repeat > 1) ? " #" + e.repeat : "");

function distribution(title, entries, field, unit) {
  const load = loadAxis(entries), dashes = [null, [6, 4], [2, 3], [10, 4, 2, 4]];
  const series = entries.map(e => ({ name: cellName(e), colorIndex: colorOf(lines([e], load)[0].name), dash: dashes[(e.repeat - 1) % dashes.length], points: (data.distributions[key(e)]?.[field] || []).map((v, q) => ({ x: v, y: q, tip: `${q} % within ${short(v)} ${unit}` })) }));
  return chart(title, "share of the values below", series, { x: unit, y: "%", logX: true });
}

const bands = t => t.phases.map(p => ({ from: p.start_s, to: p.end_s, name: p.name, measure: p.measure }));

function timeline(e) {
  const t = data.timelines[e.address];
  if (!t) return null;
  const over = (values, unit) => values.map((v, i) => ({ x: (i + 0.5) * t.bin_s, y: v, tip: `at ${short((i + 0.5) * t.bin_s)} s: ${short(v)} ${unit}` }));
  const series = [{ name: "output tokens/s", colorIndex: 0, points: over(t.output_tokens_per_s, "tokens/s") }, { name: "in flight", colorIndex: 3, scale: "y2", points: over(t.in_flight, "in flight") }];
  if (t.failed_per_s.some(v => v > 0)) series.push({ name: "failed/s", colorIndex: 1, scale: "y2", points: over(t.failed_per_s, "failed/s") });
  return chart("Timeline", cellName(e), series, { x: "s", y: "output tokens/s", y2: "in flight", wide: true, zero: true, bands: bands(t) });
}

// telemetry is what nodes and server said of themselves over a cell's time: GPUs, and the engine.
function telemetry(e) {
  const t = data.timelines[e.address];
  if (!t || !t.telemetry) return [];
  const lines = list => list.filter(l => t.telemetry[l.path]).map(l => ({ ...l, points: t.telemetry[l.path].flatMap((v, i) => (v === null ? [] : [{ x: (i + 0.5) * t.bin_s, y: v, tip: `at ${short((i + 0.5) * t.bin_s)} s: ${short(v)} ${l.unit}` }])) }));
  const draw = (title, series, o) => (series.some(s => !s.scale) ? chart(title, cellName(e), series, { x: "s", wide: true, zero: true, bands: bands(t), ...o, y2: series.some(s => s.scale) ? o.y2 : null }) : null);
  return [
    draw("Power and temperature", lines([{ path: "watts", name: "power", unit: "W", colorIndex: 0 }, { path: "gpu_temperature_c", name: "GPU temperature", unit: "°C", colorIndex: 1 }, { path: "gpu_clock_mhz", name: "GPU clock", unit: "MHz", colorIndex: 3, scale: "y2" }]), { y: "W, °C", y2: "MHz" }),
    draw("Engine", lines([{ path: "requests_running", name: "running", unit: "running", colorIndex: 0 }, { path: "requests_waiting", name: "waiting", unit: "waiting", colorIndex: 1 }, { path: "kv_cache_percent", name: "KV cache", unit: "% of the KV cache", colorIndex: 3, scale: "y2" }]), { y: "requests", y2: "KV cache (%)" }),
  ];
}

function grid(figures) {
  const g = el("div", { class: "charts" }, figures.filter(Boolean));
  queueMicrotask(() => figures.filter(Boolean).forEach(f => f.isConnected && f.draw()));
  return g;
}

// ---- tables
const numbers = [
  { path: "throughput.output_tokens_per_s", title: "output tokens/s", up: true }, { path: "metrics.ttft_ms.p50", title: "TTFT p50 (ms)" }, { path: "metrics.ttft_ms.p99", title: "TTFT p99 (ms)" },
  { path: "metrics.tpot_ms.p50", title: "TPOT p50 (ms)" }, { path: "metrics.latency_ms.p50", title: "latency p50 (ms)" }, { path: "requests.success_rate", title: "success rate", up: true },
  { path: "telemetry.watts_mean", title: "power (W)" }, { path: "telemetry.joules_per_output_token", title: "J per output token" }, { path: "telemetry.cost_per_million_output_tokens", title: "cost per 1e6 output tokens" },
];

const sign = v => ({ suspect: "*", invalid: "!", failed: "!" })[v] || "";
const worse = ["ok", "suspect", "skipped", "invalid", "failed"];
const worst = entries => entries.map(e => e.verdict).reduce((a, b) => (worse.indexOf(b) > worse.indexOf(a) ? b : a), "ok");
const sound = entries => entries.every(e => e.verdict === "ok" || e.verdict === "suspect"); // what may be called the best

// rowOf names the row of a cell in the grid: its axes but for the server, and its phase where there are several.
const rowOf = entries => {
  const phases = new Set(entries.map(e => e.phase)).size > 1;
  return e => axisNames.filter(a => a !== "server" && a in e.matrix).map(a => a + "=" + e.matrix[a]).concat(phases ? e.phase : []).join(", ") || e.phase;
};

// inShort is a line a server: the best that it reached, and where.
function inShort(entries) {
  const row = rowOf(entries), slos = [...new Set(entries.flatMap(e => Object.keys(e.goodput || {})))].filter(s => s !== "all"), load = loadAxis(entries);
  const servers = [...new Set(entries.map(server))].map(name => {
    const places = Object.entries(entries.filter(e => server(e) === name).reduce((o, e) => ((o[row(e)] ||= []).push(e), o), {}));
    const best = (path, up) => places.filter(([, es]) => sound(es) && pick(es, path) !== null).map(([r, es]) => ({ r, es, v: pick(es, path) })).sort((a, b) => (up ? b.v - a.v : a.v - b.v))[0];
    const most = slo => load && places.filter(([, es]) => sound(es) && median(es.map(e => e.goodput[slo] && e.goodput[slo].slo_attainment)) >= 0.95).map(([r, es]) => ({ r, es, v: Number(es[0].matrix[load]) })).sort((a, b) => b.v - a.v)[0];
    return { name, verdicts: entries.filter(e => server(e) === name).reduce((o, e) => ({ ...o, [e.verdict]: (o[e.verdict] || 0) + 1 }), {}),
      cells: [best("throughput.output_tokens_per_s", true), best("metrics.ttft_ms.p50"), best("metrics.output_tokens_per_s_per_user.p50", true), ...slos.map(most)] };
  });
  const ups = [true, false, true, ...slos.map(() => true)];
  const bests = ups.map((up, i) => { const v = servers.map(s => s.cells[i] && s.cells[i].v).filter(x => x !== undefined && !isNaN(x)); return servers.length > 1 && new Set(v).size > 1 ? (up ? Math.max(...v) : Math.min(...v)) : null; });
  const heads = ["most output tokens/s", "shortest TTFT p50 (ms)", "most tokens/s for a user", ...slos.map(s => `most ${load || "load"} with 95 % in slo ${s}`)];
  return el("div", { class: "scroll" }, el("table", { class: "short" }, el("thead", {}, el("tr", {}, el("th", { class: "text" }, "in short"), heads.map(h => el("th", {}, h)), el("th", { class: "text" }, "cells"))),
    el("tbody", {}, servers.map(s => el("tr", {}, el("td", { class: "text" }, el("b", {}, s.name)), s.cells.map((c, i) => el("td", { class: c && c.v === bests[i] ? "best" : "" }, c ? [short(c.v) + sign(worst(c.es)), el("div", { class: "dim small" }, c.r)] : "–")),
      el("td", { class: "text" }, Object.entries(s.verdicts).sort((a, b) => worse.indexOf(a[0]) - worse.indexOf(b[0])).map(([v, n]) => n + " " + v).join(", ")))))));
}

// differences says which servers differ by more than their repeats do.
function differences(name, entries) {
  const there = new Set(entries.map(server)), all = (data.differences || []).filter(d => d.benchmark === name && there.has(d.base) && there.has(d.other));
  if (!all.length) return [];
  if (!all.some(d => d.tested)) return [el("p", { class: "dim small" }, `Differences between servers: ${data.notTested} (that takes 4 repeats: repeat = 4).`)];
  return [el("details", { open: all.length <= 12 }, el("summary", {}, "Differences between servers in output_tokens_per_s (Mann-Whitney over the repeats, p < 0.05)"),
    plain(["cell", "", ""], all.map(d => [["text", d.cell], ["text", `${d.other} against ${d.base}`], ["wrap" + (d.different ? " best" : ""), d.text]])))];
}

function comparison(entries) {
  const servers = [...new Set(entries.map(server))], row = rowOf(entries);
  const rows = [...new Set(entries.map(row))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const slos = [...new Set(entries.flatMap(e => Object.keys(e.goodput || {})))].filter(s => s !== "all").map(s => ({ path: `goodput.${s}.slo_attainment`, title: "share in slo " + s, up: true }));
  const all = [...numbers, ...slos].filter(n => entries.some(e => { const v = at(e, n.path); return v !== null && v !== undefined; }));
  const body = all.flatMap(n => rows.map((r, i) => {
    const cells = servers.map(s => entries.filter(e => server(e) === s && row(e) === r));
    const values = cells.map(c => (c.length && sound(c) ? pick(c, n.path) : null)), known = values.filter(v => v !== null);
    const best = known.length > 1 && new Set(known).size > 1 ? (n.up ? Math.max(...known) : Math.min(...known)) : null;
    return el("tr", { class: i === 0 ? "first" : "" }, i === 0 ? el("td", { class: "text", rowspan: rows.length }, n.title) : [], el("td", { class: "text" }, r), cells.map((c, j) => {
      const v = pick(c, n.path), verdict = worst(c), between = range(c, n.path);
      return el("td", { class: [v !== null && v === best ? "best" : "", verdict === "ok" ? "" : verdict].join(" "), title: [c.length > 1 ? `median of ${c.length} repeats` : "", ...c.map(why)].filter(Boolean).join("\n") || null },
        !c.length ? "" : v === null ? (verdict === "ok" || verdict === "suspect" ? "–" : verdict) : [short(v) + sign(verdict), between ? el("span", { class: "dim small" }, ` ${between}`) : ""]);
    }));
  }));
  return [el("div", { class: body.length > 60 ? "scroll tall" : "scroll" }, el("table", { class: "compared" }, el("thead", {}, el("tr", {}, el("th"), el("th"), servers.map(s => el("th", {}, s)))), el("tbody", {}, body))),
    el("p", { class: "dim small" }, "Bold on green: the best of the row. * a repeat is suspect, ! invalid or failed: see Marks and failures. – too few requests for this number." + (entries.some(e => e.repeat > 1) ? " Medians of the repeats, with the least and the greatest." : ""))];
}

function cellTable(entries) {
  entries = [...entries].sort(byAddress);
  const columns = [
    { title: "cell", of: e => e.address, text: true }, { title: "phase", of: e => e.phase, text: true }, { title: "verdict", of: e => e.verdict, text: true },
    { title: "ok", of: e => e.requests.ok }, { title: "failed", of: e => e.requests.failed },
    ...["requests_per_s", "output_tokens_per_s", "total_tokens_per_s", "concurrency_achieved"].map(n => ({ title: n, of: e => at(e, "throughput." + n) })),
    ...["ttft_ms", "tpot_ms", "itl_ms", "latency_ms"].flatMap(m => ["p50", "p90", "p99"].map(p => ({ title: m + " " + p, of: e => at(e, `metrics.${m}.${p}`) }))),
    { title: "marks", of: e => e.marks.map(m => m.name).join(" "), text: true },
  ];
  let sorted = null, up = true;
  const search = el("input", { type: "search", placeholder: "filter cells", oninput: () => fill() });
  const body = el("tbody");
  const fill = () => {
    let list = entries.filter(e => e.address.toLowerCase().includes(search.value.toLowerCase()) || e.marks.some(m => m.name.includes(search.value)));
    if (sorted) list = [...list].sort((a, b) => { const x = sorted.of(a), y = sorted.of(b); return (x === null) - (y === null) || (sorted.text ? String(x).localeCompare(y, "en", { numeric: true }) : x - y) * (up ? 1 : -1); });
    body.replaceChildren(...list.map(e => el("tr", { title: why(e) || null }, columns.map(c => el("td", { class: (c.text ? "text " : "") + (c.title === "verdict" ? e.verdict : "") }, c.text ? c.of(e) : short(c.of(e)))))));
  };
  fill();
  return el("div", {}, el("div", { class: "filters" }, search), el("div", { class: entries.length > 40 ? "scroll tall" : "scroll" }, el("table", { class: "dense" }, el("thead", {}, el("tr", {}, columns.map(c => el("th", { class: "sort" + (c.text ? " text" : ""), onclick: () => { up = sorted === c ? !up : true; sorted = c; fill(); } }, c.title)))), body)));
}

function searchTable(e) {
  const s = e.search;
  const steps = [...s.steps].sort((a, b) => a.value - b.value);
  const found = s.value === null ? `no ${s.vary} meets ${s.goal}` : `the highest ${s.vary} that meets ${s.goal} is ${short(s.value)}`;
  const points = steps.filter(x => x.output_tokens_per_s !== null && x.output_tokens_per_s_per_user !== null);
  return [
    el("h3", {}, `Search ${s.name}, ${e.address}: ${found}`),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, [s.vary, "goal", "output tokens/s", "tokens/s and user", "requests/s", "TTFT p50 (ms)", "TPOT p50 (ms)", "in flight"].map(t => el("th", {}, t)))),
      el("tbody", {}, steps.map(x => el("tr", {}, el("td", {}, short(x.value)), el("td", { class: x.met ? "best" : "failed" }, x.met ? "met" : "missed"), ["output_tokens_per_s", "output_tokens_per_s_per_user", "requests_per_s", "ttft_ms", "tpot_ms", "concurrency_achieved"].map(k => el("td", {}, short(x[k])))))))),
    grid([chart("What was tried", "Pareto", [{ name: "met", points: points.filter(x => x.met).map(x => ({ x: x.output_tokens_per_s, y: x.output_tokens_per_s_per_user, tip: `${s.vary} ${short(x.value)}` })) }, { name: "missed", points: points.filter(x => !x.met).map(x => ({ x: x.output_tokens_per_s, y: x.output_tokens_per_s_per_user, tip: `${s.vary} ${short(x.value)}` })) }], { x: "output tokens/s", y: "tokens/s and user" })]),
  ];
}

// highlight colours HCL: comments, strings, block types and attributes, numbers.
function highlight(text) {
  const pre = el("pre");
  const token = /(#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/)|("(?:[^"\\]|\\.)*")|(^[ \t]*[A-Za-z_][\w-]*)(?=[^\n]*[{=])|\b(\d+(?:\.\d+)?)\b/gm;
  let from = 0;
  for (const m of text.matchAll(token)) {
    pre.append(text.slice(from, m.index), el("span", { class: m[1] ? "c" : m[2] ? "s" : m[3] ? "k" : "n" }, m[0]));
    from = m.index + m[0].length;
  }
  pre.append(text.slice(from));
  return pre;
}

const list = pairs => el("dl", {}, pairs.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, String(v))]));

// plain is a table of texts; a cell is [class, text].
const plain = (head, rows) => el("div", { class: "scroll" }, el("table", {},
  head.length ? el("thead", {}, el("tr", {}, head.map(t => el("th", { class: "text" }, t)))) : null,
  el("tbody", {}, rows.map(r => el("tr", {}, r.map(([c, t]) => el("td", { class: c }, t)))))));

// ---- the page
function filters(render) {
  const sets = filterAxes.map(a => [a, [...new Set(data.cells.map(e => valueOf(e, a)).filter(v => v !== undefined))]]).filter(([, v]) => v.length > 1);
  return el("div", { class: "filters" }, sets.map(([axis, values]) => el("fieldset", {}, el("legend", {}, axis), values.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).map(v =>
    el("label", {}, el("input", { type: "checkbox", checked: !hidden.has(axis + "=" + v), onchange: ev => { ev.target.checked ? hidden.delete(axis + "=" + v) : hidden.add(axis + "=" + v); keep(); render(); } }), " " + v)))));
}

// choice is a select over entries and what it shows of the chosen one.
function choice(label, options, show) {
  const box = el("div");
  const select = el("select", { onchange: () => box.replaceChildren(show(options[select.value].value)) }, options.map((o, i) => el("option", { value: i }, o.name)));
  box.append(show(options[0].value));
  return el("div", {}, el("div", { class: "filters" }, el("label", {}, label + " ", select)), box);
}

function benchmark(name, entries) {
  const load = loadAxis(entries), out = [el("h2", {}, "benchmark." + name), inShort(entries), ...differences(name, entries), ...comparison(entries)];
  for (const e of entries) if (e.search) out.push(...searchTable(e));
  if (load) out.push(el("h3", {}, "Load"), grid(loadCharts(entries, load)));
  const measured = entries.filter(e => e.requests.ok > 0).sort(byAddress);
  if (measured.length) {
    const loads = load ? [...new Set(measured.map(e => e.matrix[load]))].sort((a, b) => a - b) : [];
    const groups = (loads.length ? loads.map(l => ({ name: `${load} = ${l}`, value: measured.filter(e => e.matrix[load] === l) })) : [{ name: "all cells", value: measured }]).reverse();
    out.push(el("h3", {}, "Distributions"), choice("of", groups, es => grid([distribution("TTFT", es, "ttft_ms", "ms"), distribution("Gaps between token events (ITL)", es, "itl_ms", "ms"), distribution("TPOT", es, "tpot_ms", "ms"), distribution("Latency", es, "latency_ms", "ms")])));
    out.push(el("h3", {}, "Over time"), choice("cell", measured.map(e => ({ name: cellName(e), value: e })), e => grid([timeline(e), ...telemetry(e)])));
  }
  if (load) {
    const fill = () => { if (details.children.length === 1) details.append(grid(eightCharts(entries, load))); };
    const details = el("details", { ontoggle: () => { if (details.open) fill(); } }, el("summary", {}, "The eight charts of genai-bench, from these numbers"));
    details.fill = fill;
    out.push(details);
  }
  out.push(el("h3", {}, "All cells"), cellTable(entries));
  return out;
}

function render() {
  plots.forEach(p => p.u.destroy());
  plots = [];
  const entries = shown();
  results.replaceChildren(...data.benchmarks.flatMap(b => { const own = entries.filter(e => e.benchmark === b); return own.length ? benchmark(b, own) : []; }));
}

function redraw() {
  const old = plots;
  plots = [];
  for (const p of old) { p.u.destroy(); if (p.box.isConnected) p.draw(); }
}

const run = data.run, verdicts = {};
for (const e of data.cells) verdicts[e.verdict] = (verdicts[e.verdict] || 0) + 1;
const theme = el("button", { class: "theme", onclick: () => { const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches; document.documentElement.dataset.theme = dark ? "light" : "dark"; keep(); redraw(); } }, "light / dark");
const results = el("div");
const doubts = [...data.cells].sort(byAddress).flatMap(e => (e.cause ? [["", e.cause]] : []).concat(e.marks.map(m => [m.name, m.why])).map(([mark, text]) => ({ e, mark, text })));
const thresholds = [...data.thresholds].sort((a, b) => a.name.localeCompare(b.name) || a.pass - b.pass || byAddress(a, b));

// summaryLine says what a reader must know before any number.
function summaryLine() {
  const not = thresholds.filter(t => !t.pass).length, bad = data.cells.filter(e => e.verdict !== "ok").length;
  return el("p", {}, [
    thresholds.length ? el("a", { href: "#thresholds", class: "badge " + (not ? "failed" : "best") }, not ? `${not} of ${thresholds.length} thresholds not met` : thresholds.length === 1 ? "threshold met" : `all ${thresholds.length} thresholds met`) : null,
    bad ? el("a", { href: "#marks", class: "badge suspect" }, `${bad} of ${data.cells.length} cells not ok: see why`) : data.cells.length ? el("span", { class: "badge best" }, "all cells ok") : null,
  ].filter(Boolean));
}
page.append(
  el("header", {}, el("h1", {}, run.scenario), el("span", { class: "dim" }, run.id), el("span", { class: "dim" }, Object.entries(verdicts).map(([v, n]) => n + " " + v).join(", ")), el("div", {}, theme)),
  ...[run.simulated ? "Simulated: not a measurement of a real engine." : "", run.interrupted ? "Interrupted: cells are missing or partial." : ""].filter(Boolean).map(t => el("p", { class: "note" }, t)),
  summaryLine(),
  filters(render), results,
);
if (thresholds.length) page.append(el("h2", { id: "thresholds" }, "Thresholds"), plain(["threshold", "cell", "met", "why not"], thresholds.map(t => [["text", t.name], ["text", t.address], ["text " + (t.pass ? "best" : "failed"), t.pass ? "yes" : t.undecided ? "undecided" : "no"], ["wrap", t.message || ""]])));
if (doubts.length) {
  const given = new Set(doubts.map(d => d.mark));
  page.append(el("h2", { id: "marks" }, "Marks and failures"), plain([], doubts.map(d => [["text " + d.e.verdict, d.e.verdict === "ok" ? "note" : d.e.verdict], ["text", d.e.address], ["text", d.mark], ["wrap", d.text]])),
    el("h3", {}, "What these marks mean"), list(data.markDocs.filter(([name]) => given.has(name))));
}
const errors = data.cells.flatMap(e => e.errors.map(x => [["", String(x.count)], ["text", x.status], ["text", e.address], ["wrap", x.message]]));
if (errors.length) page.append(el("h3", {}, "Failed requests"), plain([], errors));
page.append(
  el("h2", {}, "Scenario"), ...data.files.map(f => el("details", { open: data.files.length === 1 }, el("summary", {}, f.name), highlight(f.text))),
  el("h3", {}, "Variables"), list(data.variables),
  el("h2", {}, "Environment"), list([["sparkrun", run.version], ["started", run.started], ["ended", run.ended], ["load from", `${run.host}, ${run.os}/${run.arch}, ${run.cores} cores, ${run.cpu}`], ...data.servers]),
  el("h2", {}, "What the words mean"), el("details", {}, el("summary", {}, "marks"), list(data.markDocs)), el("details", {}, el("summary", {}, "metrics"), list(data.metricDocs)),
);
render();
let wait;
addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(redraw, 150); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
let before, closed = [];
addEventListener("beforeprint", () => {
  before = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  closed = [...document.querySelectorAll("details:not([open])")];
  printing = true;
  for (const d of closed) { d.open = true; if (d.fill) d.fill(); }
  redraw();
});
addEventListener("afterprint", () => {
  before ? (document.documentElement.dataset.theme = before) : delete document.documentElement.dataset.theme;
  for (const d of closed) d.open = false;
  printing = false;
  redraw();
});
})();
