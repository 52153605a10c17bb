package sinks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
)

// summaryNumbers are the rows of the summary's tables.
var summaryNumbers = []string{
	"throughput.output_tokens_per_s", "throughput.total_tokens_per_s", "throughput.requests_per_s",
	"metrics.ttft_ms.p50", "metrics.ttft_ms.p99", "metrics.tpot_ms.p50", "metrics.tpot_ms.p99", "metrics.itl_ms.p99", "metrics.latency_ms.p50", "metrics.latency_ms.p99",
	"requests.success_rate",
	"telemetry.watts_mean", "telemetry.joules_per_output_token", "telemetry.cost_per_million_output_tokens",
}

// summary is engines as columns: a table a number, medians over repeats.
func (x *excel) summary(r *result.Run) error {
	s := &sheet{file: x.file, name: sheetSummary}
	s.addWide(x.styles.head, r.Scenario+" "+r.ID, "sparkrun")
	if r.Simulated {
		s.addWide(x.styles.note, "Simulated: not a measurement of a real engine.")
	}
	if r.Interrupted {
		s.addWide(x.styles.note, "Interrupted: cells are missing or partial.")
	}
	s.addWide(x.styles.text, r.Version, "version")
	s.addWide(x.styles.text, r.Started.Format(time.RFC3339), "started")
	s.addWide(x.styles.text, fmt.Sprintf("%s, %s/%s, %d cores, %s", r.Host, r.OS, r.Arch, r.Cores, r.CPU), "host")
	tables := grids(r.Entries)
	for _, g := range tables {
		s.part()
		s.add(0)
		head := []any{"benchmark." + g.benchmark, ""}
		for _, c := range g.columns {
			head = append(head, c)
		}
		s.addGrid(x.styles.head, x.styles.engine, head...)
		s.head = s.row
		for i, path := range slices.Concat(summaryNumbers, x.goodput()) {
			if !g.shows(path) {
				continue
			}
			if i > 0 {
				s.part()
			}
			name := strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(path, "metrics."), "throughput."), "telemetry.")
			for _, row := range g.rows {
				line := []any{name, row}
				for _, c := range g.columns {
					if v, ok := g.value(row, c, path); ok {
						line = append(line, v.Median)
					} else if verdict := g.verdict(row, c); verdict == result.OK || verdict == result.Suspect {
						line = append(line, "–") // too few requests for such a percentile
					} else {
						line = append(line, string(verdict))
					}
				}
				s.addGrid(0, x.styles.number, line...)
				x.colour(s, path, g, row)
				if extents, several := g.extents(row, path); several {
					s.addGrid(x.styles.note, x.styles.extent, append([]any{name + " of the repeats", row}, extents...)...)
				}
			}
		}
		s.part()
		for _, row := range g.rows {
			line := []any{"verdict", row}
			for _, c := range g.columns {
				line = append(line, string(g.verdict(row, c)))
			}
			s.addGrid(0, x.styles.number, line...)
		}
		s.tail = s.row
	}
	s.addWide(x.styles.note, "Green: the best of the row. * a repeat is suspect, ! invalid or failed: their marks are below. – too few requests for this number.")
	x.comparisons(s, r.Entries)
	x.doubts(s, r.Entries)
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Search == nil {
			continue
		}
		s.part()
		s.add(0)
		s.addWide(x.styles.head, searchFound(e))
		var head []any
		for _, c := range searchColumns(e.Search) {
			head = append(head, c)
		}
		s.add(x.styles.engine, append(head, "pareto")...)
		for _, step := range byValue(e.Search) {
			s.add(x.styles.number, append(searchLine(&step), step.Pareto)...)
		}
	}
	if len(r.Thresholds) > 0 {
		s.part()
		s.add(0)
		s.addWide(x.styles.head, "cell, message", "threshold", "met")
		for _, t := range sortedThresholds(r.Thresholds) {
			met := "met"
			if !t.Pass {
				met = "NOT met"
			}
			s.addWide(x.styles.text, strings.TrimSuffix(t.Address+": "+t.Message, ": "), t.Name, met)
		}
	}
	orientation, long, err := s.fit(6, 42)
	if long && len(tables) == 1 {
		err = errors.Join(err, x.printName("Titles", sheetSummary, fmt.Sprintf("$%d:$%d", s.head, s.head)))
	}
	return errors.Join(err, x.page(sheetSummary, orientation), x.onePageWide(sheetSummary))
}

// colour makes the best engine of the last row stand out, and what is not ok: an invalid number
// is never the best.
func (x *excel) colour(s *sheet, path string, g *grid, row string) {
	var sound []string // cells that can be the best
	for i, c := range g.columns {
		if s.err != nil {
			return
		}
		at, err := excelize.CoordinatesToCellName(3+i, s.row)
		if err != nil {
			s.err = err
			return
		}
		switch verdict := g.verdict(row, c); verdict {
		case result.OK, "":
			sound = append(sound, at)
		case result.Suspect:
			sound = append(sound, at)
			s.err = x.file.SetCellStyle(s.name, at, at, x.styles.suspect)
		default:
			s.err = x.file.SetCellStyle(s.name, at, at, x.styles.invalid)
		}
	}
	if s.err != nil || len(sound) < 2 || path == "requests.success_rate" {
		return
	}
	best := "bottom"
	if strings.HasPrefix(path, "throughput.") || strings.HasPrefix(path, "goodput.") {
		best = "top"
	}
	s.err = x.file.SetConditionalFormat(s.name, strings.Join(sound, " "), []excelize.ConditionalFormatOptions{{Type: best, Criteria: "=", Value: "1", Format: &x.styles.best}})
}

// comparisons is a line for each pair of servers and number that was compared.
func (x *excel) comparisons(s *sheet, entries []result.Entry) {
	all := result.CompareServers(entries)
	pairs := slices.DeleteFunc(slices.Clone(all), func(c result.Comparison) bool { return c.Note == result.NotTested })
	if len(all) > 0 {
		s.part()
		s.add(0)
	}
	if len(pairs) < len(all) {
		s.addWide(x.styles.note, "Differences between servers: "+result.NotTested+" (that takes 4 repeats: repeat = 4).")
	}
	if len(pairs) == 0 {
		return
	}
	s.addGrid(x.styles.head, x.styles.engine, "compared", "cell", "base", "other", "base median", "other median", "change", "p", "different", "note")
	for _, c := range pairs {
		for _, path := range append([]string{result.Deciding}, result.Compared...) {
			d, ok := c.Numbers[path]
			if !ok {
				continue
			}
			line := []any{path, cellOf(&c), c.Base, c.Other, number(d.Base), number(d.Other), number(d.Change), number(d.P), nil, c.Note}
			if d.Different != nil {
				line[8] = map[bool]string{true: "yes", false: "no"}[*d.Different]
			}
			s.addGrid(0, x.styles.number, line...)
			for column, style := range map[string]int{"C": 0, "D": 0, "G": x.styles.change, "H": x.styles.p} {
				at := fmt.Sprint(column, s.row)
				s.err = errors.Join(s.err, x.file.SetCellStyle(s.name, at, at, style))
			}
		}
	}
}

func (x *excel) goodput() []string {
	var out []string
	for _, p := range paths(x.plan) {
		if strings.HasPrefix(p, "goodput.") && !strings.HasPrefix(p, "goodput.all.") {
			out = append(out, p)
		}
	}
	return out
}

// doubts are the cells that are marked or not ok, each with a line for each of its marks and for
// its cause.
func (x *excel) doubts(s *sheet, entries []result.Entry) {
	var of *doubted
	for _, d := range doubtsOf(entries) {
		if of == nil {
			s.part()
			s.add(0)
			s.addWide(x.styles.head, "", "marks and failures")
		}
		if d.of != of {
			of = d.of
			s.part()
			s.addWide(x.styles.text, strings.TrimSpace(of.address+" "+of.phase), of.sign)
		}
		s.addWide(x.styles.text, d.why, "  "+d.mark)
	}
}
