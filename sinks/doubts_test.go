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
