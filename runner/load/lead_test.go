package load

import (
	"testing"
	"time"

	"sparkrun/runner/record"
	"sparkrun/scenario/dist"
	"sparkrun/scenario/plan"
)

// TestLead: with requests handed over ahead of their time the same ones leave at the same
// moments as without, by every way in which a phase decides.
func TestLead(t *testing.T) {
	ms := time.Millisecond
	open := plan.Phase{Name: "steady", Duration: 2 * time.Second, Rate: closed(200), Arrival: "poisson", RateOf: "requests"}
	full := open
	full.MaxInFlight = 12
	dialogues := open
	dialogues.RateOf = "conversations"
	few := open
	few.Duration, few.Requests = 0, 150
	think := plan.Phase{Name: "steady", Duration: 4 * time.Second, Concurrency: closed(4)}
	think.ThinkTime = dist.Const(float64(60 * ms))
	for name, cfg := range map[string]Config{
		"open loop":                       {Phases: []plan.Phase{open}},
		"max_concurrency":                 {Phases: []plan.Phase{full}},
		"conversations":                   {Phases: []plan.Phase{dialogues}, Source: script{turns: 3}},
		"turns of few conversations":      {Phases: []plan.Phase{open}, Source: script{turns: 50}, Conversations: plan.Conversations{Active: 8}},
		"as many requests":                {Phases: []plan.Phase{few}},
		"two phases":                      {Phases: []plan.Phase{open, open}},
		"closed loop with a pause":        {Phases: []plan.Phase{think}},
		"closed loop, the pause of turns": {Phases: []plan.Phase{think}, Source: script{turns: 4}, Conversations: plan.Conversations{Active: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			want, wantOut := play(t, cfg, 50*ms)
			cfg.Lead = Lead
			got, out := play(t, cfg, 50*ms)
			if len(got) != len(want) || len(got) < 100 {
				t.Fatalf("%d requests with a lead, %d without", len(got), len(want))
			}
			if out.Phases[0].Scheduled != wantOut.Phases[0].Scheduled || out.Phases[0].End-out.Phases[0].Start != wantOut.Phases[0].End-wantOut.Phases[0].Start {
				t.Errorf("the phase: %+v with a lead, %+v without", out.Phases[0], wantOut.Phases[0])
			}
			// Which of several that are due together goes first may differ; the times don't.
			type sent struct {
				scheduled, sent int64
				status          record.Status
			}
			left := map[sent]int{}
			for _, r := range want {
				left[sent{r.Scheduled, r.Sent, r.Status}]++
			}
			for _, r := range got {
				s := sent{r.Scheduled, r.Sent, r.Status}
				if left[s]--; left[s] < 0 {
					t.Errorf("%s: %+v is not without a lead", r.ID, s)
				}
			}
		})
	}
}
