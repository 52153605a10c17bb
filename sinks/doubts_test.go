package sinks

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"sparkrun/runner/result"
	"sparkrun/runner/table"
	"sparkrun/scenario/schema"
)

// TestMarksEverywhere: each mark that there is reaches every sink with its sentence, also one that
// leaves its cell ok.
func TestMarksEverywhere(t *testing.T) {
	want := map[string]string{}
	marked := func() (*result.Run, []*result.Cell) {
		run, cells := sample()
		for _, doc := range result.Marks() {
			at := 0
			if result.Note(doc.Name) {
				at = 2 // an ok one
			}
			want[doc.Name] = "why it is " + strings.ReplaceAll(doc.Name, "_", " ")
			cells[at].Entries[0].Add(doc.Name, want[doc.Name])
			run.Entries[at] = cells[at].Entries[0]
		}
		if run.Entries[2].Verdict != result.OK || len(run.Entries[2].Marks) == 0 {
			t.Fatalf("the third cell should be ok and noted: %+v", run.Entries[2])
		}
		return run, cells
	}
	for _, k := range Kinds() {
		if k.Name == "conversations" { // what was said, no results
			continue
		}
		run, cells := marked()
		dir, stdout := through(t, k.Name, schema.Values{}, run, cells...)
		text := stdout
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			text += textOf(t, path)
		}
		text = strings.ReplaceAll(text, "\\", "")
		for name, why := range want {
			if !strings.Contains(text, name) || !strings.Contains(text, why) {
				t.Errorf("sink %s lacks %s or its sentence", k.Name, name)
			}
		}
	}
}

// TestDoubtsOfRepeats: repeats with the same doubts are told together, others on their own.
func TestDoubtsOfRepeats(t *testing.T) {
	few, late := result.Mark{Name: "too_few", Why: "12 requests"}, result.Mark{Name: "client_limited", Why: "19 ms late"}
	entry := func(address, phase string, v result.Verdict, cause string, marks ...result.Mark) result.Entry {
		return result.Entry{Address: address, Phase: phase, Verdict: v, Cause: cause, Marks: marks}
	}
	var got []string
	for _, d := range doubtsOf([]result.Entry{
		entry("b[users=4]#2", "p", result.Suspect, "", few),
		entry("b[users=4]#1", "p", result.Suspect, "", few),
		entry("b[users=4]#3", "p", result.Suspect, "", few, late),
		entry("b[users=4]#10", "p", result.Suspect, "", few),
		entry("b[users=4]#10", "q", result.Suspect, "", few),
		entry("b[users=4]#4", "p", result.OK, "", few),
		entry("b[users=4]#5", "p", result.OK, ""),
		entry("b[users=16]#1", "p", result.Suspect, "", few),
		entry("b[users=16]#2", "p", result.Failed, "gone"),
		entry("b[users=16]#3", "p", result.Failed, "gone"),
	}) {
		got = append(got, fmt.Sprint(d.of.sign, " ", d.of.address, " ", d.of.phase, " ", d.text()))
	}
	want := []string{
		"suspect b[users=4]#1,#2,#10 p too_few: 12 requests",
		"suspect b[users=4]#3 p too_few: 12 requests",
		"suspect b[users=4]#3 p client_limited: 19 ms late",
		"note b[users=4]#4 p too_few: 12 requests",
		"suspect b[users=4]#10 q too_few: 12 requests",
		"suspect b[users=16]#1 p too_few: 12 requests",
		"failed b[users=16]#2,#3 p gone",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// textOf is all that a sink's file says.
func textOf(t *testing.T, path string) string {
	t.Helper()
	var all strings.Builder
	switch filepath.Ext(path) {
	case ".xlsx":
		f, err := excelize.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rows, err := f.GetRows("Summary")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, rows)
	case ".parquet":
		in, err := table.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		err = in.Rows(func(row []table.Value) error {
			for i, c := range in.Columns() {
				fmt.Fprintln(&all, row[i].Any(c.Type))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	case ".sqlite":
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		rows, err := db.Query("SELECT mark, why FROM marks")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var mark, why string
			if err := rows.Scan(&mark, &why); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&all, mark, why)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	default:
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
	}
	return all.String()
}
