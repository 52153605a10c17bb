package table

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
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

// TestRows: rows that are given many at a time are those that are given one by one, however runs
// of the same value lie to batches, pages and groups; the bounds of a column are its values'.
func TestRows(t *testing.T) {
	columns := []Column{{Name: "few", Type: Text, Few: true}, {Name: "own", Type: Text, Few: true, Filled: true}, {Name: "i", Type: Whole, Filled: true}, {Name: "n", Type: Whole}, {Name: "ms", Type: Real}}
	few := []Value{TextOf("m"), TextOf("b"), {}, TextOf("x"), TextOf("b"), TextOf("")}
	names := []string{"delta", "alpha", "omega", "beta"}
	var files [2]string
	var want [][]Value
	for k := range files {
		files[k] = filepath.Join(t.TempDir(), "t.parquet")
		w, err := Create(files[k], columns, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, n := range []int{1, 3, rowsPerBatch, 0, 2, 3 * rowsPerBatch, rowsPerGroup, 5, 1} {
			own := TextOf(strings.Clone(names[i%len(names)])) // elsewhere than the same name before
			at, ms := make([]int64, n), make([]float64, n)
			for r := range n {
				at[r], ms[r] = int64(i*r), float64(r)/2
				if r%5 == 0 {
					ms[r] = math.NaN()
				}
			}
			if k == 0 {
				w.Rows(n, []Cells{{Same: few[i%len(few)]}, {Same: own}, {Wholes: at}, {Wholes: at}, {Reals: ms}})
				continue
			}
			for r := range n {
				row := []Value{few[i%len(few)], own, WholeOf(at[r]), WholeOf(at[r]), RealOf(ms[r])}
				w.Row(row)
				want = append(want, row)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range files {
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := r.Rows(func(row []Value) error {
			if !reflect.DeepEqual(row, want[n]) {
				return fmt.Errorf("row %d is %v, not %v", n, row, want[n])
			}
			n++
			return nil
		}); err != nil || n != len(want) {
			t.Errorf("%d of %d rows: %v", n, len(want), err)
		}
		rest := want
		for g, group := range r.in.RowGroups() {
			rows := rest[:group.NumRows()]
			rest = rest[len(rows):]
			for c, chunk := range group.ColumnChunks()[:2] {
				var texts []string
				for _, row := range rows {
					if !row[c].Null() {
						texts = append(texts, row[c].Text())
					}
				}
				low, high, ok := chunk.(*parquet.FileColumnChunk).Bounds()
				if got, want := [2]string{low.String(), high.String()}, [2]string{slices.Min(texts), slices.Max(texts)}; !ok || got != want {
					t.Errorf("bounds of column %d in group %d: %q, want %q", c, g, got, want)
				}
			}
		}
		if groups := len(r.in.RowGroups()); groups != 2 {
			t.Errorf("%d groups, want 2", groups)
		}
		r.Close()
	}
}

// TestFilled: a null where there is none is an error.
func TestFilled(t *testing.T) {
	for name, add := range map[string]func(*Writer){
		"Row":   func(w *Writer) { w.Row([]Value{{}}) },
		"Rows":  func(w *Writer) { w.Rows(1, []Cells{{}}) },
		"Reals": func(w *Writer) { w.Rows(1, []Cells{{Reals: []float64{math.NaN()}}}) },
	} {
		w, err := Create(filepath.Join(t.TempDir(), "t.parquet"), []Column{{Name: "full", Type: Real, Filled: true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		add(w)
		if err := w.Close(); err == nil || !strings.Contains(err.Error(), "column full must have a value in every row") {
			t.Errorf("%s: %v", name, err)
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
