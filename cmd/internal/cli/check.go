package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sparkrun/runner/dataset"
	"sparkrun/scenario"
	"sparkrun/scenario/plan"
)

// readAtPlan is the size in bytes up to which plan and validate read a dataset's file;
// apply reads all.
const readAtPlan = 64 << 20

// datasets reads each dataset once; the cells share what was read.
type datasets struct {
	say  io.Writer // told of files that take a while; nil: nobody
	mu   sync.Mutex
	read map[string]*dataset.Set // by address
}

func (ds *datasets) get(d *plan.Dataset) (*dataset.Set, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if s := ds.read[d.Address]; s != nil {
		return s, nil
	}
	s, err := dataset.Read(*d, openFile)
	if err != nil {
		return nil, err
	}
	if ds.read == nil {
		ds.read = map[string]*dataset.Set{}
	}
	ds.read[d.Address] = s
	return s, nil
}

// check reads the datasets of a plan, large files only if all is set, notes in the plan
// how much there is, and says what is wrong with them.
func (ds *datasets) check(s *scenario.Scenario, all bool) hcl.Diagnostics {
	var diags hcl.Diagnostics
	for i := range s.Plan.Datasets {
		d := &s.Plan.Datasets[i]
		if info, err := os.Stat(d.Values.String("path")); err == nil && info.Size() > readAtPlan {
			if !all {
				continue
			}
			if ds.say != nil {
				fmt.Fprintf(ds.say, "Reading   %s: %s, %d MB\n", d.Address, d.Values.String("path"), info.Size()>>20)
			}
		}
		say := func(severity hcl.DiagnosticSeverity, summary, detail string, args ...any) {
			diags = append(diags, &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: datasetRange(s, d.Name)})
		}
		set, err := ds.get(d)
		if err != nil {
			say(hcl.DiagError, "Dataset that can't be used", "%s: %v.", d.Address, err)
			continue
		}
		for _, note := range set.Notes() {
			say(hcl.DiagWarning, "Dataset with gaps", "%s: %s.", d.Address, note)
		}
		d.Has = amount(s.Plan, d, set)
		if needs, has := d.Needs, d.Has; d.Values.String("when_exhausted") == "stop" && has.Conversations >= 0 && (needs.Turns > has.Turns || needs.Conversations > has.Conversations) {
			say(hcl.DiagWarning, "Dataset that is too small", `%s has %d conversations with %d turns, and a cell needs more (%s): it will end early. Add to the dataset, or set when_exhausted = "repeat".`, d.Address, has.Conversations, has.Turns, needs)
		}
	}
	for _, d := range diags {
		if d.Severity == hcl.DiagWarning {
			s.Plan.Warnings = append(s.Plan.Warnings, d.Detail)
		}
	}
	return diags
}

// amount is what a dataset has for the first of its cells: the seed of another one may
// draw a few turns more or less.
func amount(p *plan.Plan, d *plan.Dataset, set *dataset.Set) *plan.Amount {
	for i := range p.Cells {
		c := &p.Cells[i]
		if c.Dataset != d.Address {
			continue
		}
		size := set.Size(c.Seed)
		a := &plan.Amount{Conversations: size.Conversations, Turns: -1}
		if size.Conversations >= 0 {
			a.Turns = 0
		}
		for turns, n := range size.Turns {
			if most := c.Conversations.MaxTurns; most > 0 {
				turns = min(turns, most)
			}
			a.Turns += turns * n
		}
		return a
	}
	return nil
}

// datasetRange is where a dataset says its file, or where its block begins.
func datasetRange(s *scenario.Scenario, name string) *hcl.Range {
	for _, f := range s.Files {
		body, ok := f.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		for _, b := range body.Blocks {
			if b.Type != "dataset" || len(b.Labels) != 1 || b.Labels[0] != name {
				continue
			}
			if a, ok := b.Body.Attributes["path"]; ok {
				return a.Expr.Range().Ptr()
			}
			return b.DefRange().Ptr()
		}
	}
	return nil
}
