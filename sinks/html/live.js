"use strict";
// The page while the run goes on: how the running cells are, and the page anew when one has ended.
(() => {
const bar = document.createElement("div");
bar.className = "live";
document.body.prepend(bar);
const line = (text, share) => {
  const e = document.createElement("div"), t = document.createElement("span");
  if (share >= 0) { const p = document.createElement("progress"); p.value = share; e.append(p); }
  t.textContent = text;
  e.append(t);
  return e;
};
const clock = s => (s >= 3600 ? Math.floor(s / 3600) + ":" + String(Math.floor(s / 60) % 60).padStart(2, "0") : Math.floor(s / 60)) + ":" + String(Math.floor(s) % 60).padStart(2, "0");
const say = (text, ...more) => bar.replaceChildren(line(text, -1), ...more);
say("connecting …");
const events = new EventSource("events?version=" + version);
events.onmessage = m => {
  const s = JSON.parse(m.data);
  if (s.version !== version) { events.close(); location.reload(); return; }
  if (s.over) { events.close(); say("The run has ended, and this page is served no more. To keep it: sparkrun export RUN --sink html"); return; }
  say(`Running: ${s.done} of ${s.cells} cells` + (s.remaining_s >= 0 ? `, about ${clock(s.remaining_s)} left` : ""), ...s.running.map(r =>
    line(`${r.cell.replace(/^benchmark\./, "")} ${r.phase}: ${r.in_flight} in flight, ${r.ok} ok, ${r.failed} failed, ${r.output_tokens_per_s.toFixed(0)} tokens/s, TTFT ${r.ttft_mean_ms.toFixed(0)} ms`, r.done)));
};
events.onerror = () => { if (events.readyState !== EventSource.CLOSED) say("sparkrun does not answer: this is how the run was."); };
})();
