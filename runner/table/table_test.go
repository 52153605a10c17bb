package table

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

var columns = []Column{{Name: "zebra", Type: Text, Few: true}, {Name: "id", Type: Text}, {Name: "n", Type: Whole}, {Name: "few", Type: Whole, Few: true}, {Name: "ms", Type: Real}, {Name: "ok", Type: Flag}}

// write makes a file of so many rows in groups of which the column zebra says.
func write(t testing.TB, path string, groups, rows int) (all [][]Value) {
	t.Helper()
	w, err := Create(path, columns, map[string]string{"who": "me"})
	if err != nil {
		t.Fatal(err)
	}
	for g := range groups {
		for i := range rows {
			row := []Value{TextOf(fmt.Sprintf("a name that is longer than bounds are kept %d", g)), TextOf(fmt.Sprint(i)), WholeOf(int64(i) - 3), WholeOf(7), RealOf(float64(i) / 3), FlagOf(i%2 == 0)}
			if i%3 == 0 {
				row = []Value{row[0], TextOrNull(""), {}, {}, RealOf(math.NaN()), {}}
			}
			w.Row(row)
			all = append(all, row)
		}
		w.EndGroup()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path, column, text string) (all [][]Value) {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got := r.Columns(); len(got) != len(columns) || got[0].Name != "zebra" || got[4].Type != Real || r.Meta("who") != "me" || r.Meta("nobody") != "" {
		t.Errorf("columns %v, meta %q", got, r.Meta("who"))
	}
	if err := r.RowsWhere(column, text, func(row []Value) error {
		all = append(all, append([]Value{}, row...))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestReadBack: rows come back as they were written, also around the borders of batches, and those
// of one group alone.
func TestReadBack(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, rows := range []int{0, 1, rowsPerBatch - 1, rowsPerBatch, rowsPerBatch + 1, 3000} {
		path := filepath.Join(t.TempDir(), "t.parquet")
		all := write(t, path, 3, rows)
		if back := read(t, path, "", ""); !reflect.DeepEqual(back, all) {
			t.Errorf("%d rows in 3 groups: %d rows come back, or others", rows, len(back))
		}
		for g := range 3 {
			back := read(t, path, "zebra", fmt.Sprintf("a name that is longer than bounds are kept %d", g))
			if want := all[g*rows : (g+1)*rows]; len(back) != rows || rows > 0 && !reflect.DeepEqual(back, want) {
				t.Errorf("group %d of %d rows: %d rows come back, or others", g, rows, len(back))
			}
		}
		if back := read(t, path, "zebra", "a name"); back != nil {
			t.Errorf("%d rows of nobody", len(back))
		}
	}
}

// TestNotWhole: nothing is left of a file that could not be written.
func TestNotWhole(t *testing.T) {
	dir := t.TempDir()
	w, err := Create(filepath.Join(dir, "t.parquet"), columns, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.file.Close()
	for range 10_000 {
		w.Row(make([]Value, len(columns)))
	}
	if err := w.Close(); err == nil || !strings.Contains(err.Error(), "t.parquet") {
		t.Errorf("written to a closed file: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); left != nil {
		t.Errorf("%q is left", left)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); left != nil {
		t.Errorf("%q is left", left)
	}
	if _, err := Open(filepath.Join(dir, "t.parquet")); !os.IsNotExist(err) {
		t.Errorf("no file: %v", err)
	}
}

// TestDamaged: a damaged file is an error or reads as something, and never ends the program. (What
// the library makes of arbitrary bytes is its own to fuzz: footers that claim a billion
// rows take it minutes.)
func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.parquet")
	write(t, path, 2, 5)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	read := func(b []byte) error {
		r, err := newReader(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return err
		}
		n := 0
		return r.Rows(func([]Value) error {
			if n++; n > 1<<12 {
				return fmt.Errorf("enough")
			}
			return nil
		})
	}
	if err := read(whole); err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) / 40 {
		if err := read(whole[:n*40]); err == nil {
			t.Errorf("%d of %d bytes are taken for a whole file", n*40, len(whole))
		}
	}
	wrong := 0
	for i := 0; i < len(whole); i += 19 {
		b := bytes.Clone(whole)
		b[i] ^= 0xff
		if read(b) != nil {
			wrong++
		}
	}
	if wrong == 0 {
		t.Error("no damage is noticed")
	}
}
