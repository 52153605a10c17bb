package result

import (
	"encoding/json"
	"math"
	"testing"

	"sparkrun/runner/load"
	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// TestTimeline: two requests over three seconds. The first has 4 tokens, at 0.5, 1.5, 1.6
// and 2.5 s, in flight from 0 to 2.5 s; the second fails after 0.5 s at 1.5.
func TestTimeline(t *testing.T) {
	a := stream(1000, 4, 1500, 2500, 2600, 3500)
	a.StreamEnd = a.LastToken
	b := record.Record{Sent: 2000 * msec, StreamEnd: 2500 * msec, Status: 500}
	c := &Cell{
		Plan: &plan.Cell{Phases: []plan.Phase{{Name: "steady", Measure: true}}}, Records: []record.Record{a, b},
		Outcome: load.Outcome{Phases: []load.PhaseOutcome{{Name: "steady", Measure: true, Start: 1000 * msec, End: 4000 * msec}}},
	}
	tl := NewTimeline(c)
	got, _ := json.Marshal(tl)
	want := `{"bin_s":1,"output_tokens_per_s":[1,2,1,0],"in_flight":[1,1.5,0.5,0],"failed_per_s":[0,1,0,0],"phases":[{"name":"steady","measure":true,"start_s":0,"end_s":3}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// Two nodes and an engine, of which the bin from second 1 has two samples and the next none.
	c.Samples = joined(series("n1", 0, "gpu_power_watts", 90, 40, 50, 60), series("n2", 0, "gpu_power_watts", 90, 10, 20, 30), []record.Sample{{At: 1500 * msec, From: "n1", Name: "gpu_power_watts", Value: 60}, {At: 3500 * msec, From: "s", GPU: -1, Name: "requests_waiting", Value: 7}, {At: 5 * msec, From: "s", GPU: -1, Name: "kv_cache_percent", Value: 7}})
	got, _ = json.Marshal(NewTimeline(c).Telemetry)
	if want := `{"requests_waiting":[null,null,7,null],"watts":[60,70,90,null]}`; string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A long cell has no more bins than people can see.
	c.Outcome.Phases[0].End = 10_000_000 * msec
	if tl = NewTimeline(c); len(tl.InFlight) > mostBins+1 || math.Abs(tl.BinSeconds-10_000/600.0) > 1 {
		t.Errorf("%d bins of %v s", len(tl.InFlight), tl.BinSeconds)
	}
}

func TestDistributions(t *testing.T) {
	var records []record.Record
	for i := range int64(101) { // TTFT 1 to 101 ms, gaps of 1 and 3 ms
		records = append(records, stream(1000, 3, 1001+i, 1002+i, 1005+i))
	}
	c := &Cell{Plan: &plan.Cell{Phases: []plan.Phase{{Name: "steady", Measure: true}}}, Records: records}
	d := Distributions(c, &Entry{Phase: "steady"})
	if d["ttft_ms"][0] != 1 || d["ttft_ms"][50] != 51 || d["ttft_ms"][100] != 101 || d["itl_ms"][10] != 1 || d["itl_ms"][90] != 3 {
		t.Errorf("ttft %v, itl %v", d["ttft_ms"], d["itl_ms"])
	}
	if d := Distributions(c, &Entry{Phase: "other"}); d["ttft_ms"] != nil || d["itl_ms"] != nil {
		t.Errorf("of nothing: %v", d)
	}
}
