package load

import (
	"fmt"

	"sparkrun/runner/record"
	"sparkrun/scenario/plan"
)

// aborter is a cell's rule on the share of failures among the last requests.
type aborter struct {
	rule   *plan.Abort // nil: there is none
	recent []bool      // failed, of the last requests
	why    string      // the cell is to be given up, "" if it is not
}

// add takes an ended request.
func (a *aborter) add(rec *record.Record) {
	if a.rule == nil || rec.Status == record.Cancelled {
		return
	}
	a.recent = append(a.recent, rec.Status != record.OK)
	if int64(len(a.recent)) < a.rule.OfLast {
		return
	}
	a.recent = a.recent[int64(len(a.recent))-a.rule.OfLast:]
	failed := 0
	for _, f := range a.recent {
		if f {
			failed++
		}
	}
	if share := float64(failed) / float64(len(a.recent)); share > a.rule.ErrorRate && a.why == "" {
		a.why = fmt.Sprintf("%d of the last %d requests failed, the last with %s: %s", failed, len(a.recent), rec.Status, rec.Error)
	}
}
