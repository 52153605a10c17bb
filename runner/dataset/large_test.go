package dataset

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sparkrun/scenario/plan"
	"sparkrun/scenario/schema"
)

// writeShareGPT writes a file of about so many MB with the shape of ShareGPT's: a list of
// some kB a conversation.
func writeShareGPT(t *testing.T, path string, mb int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	r := rand.New(rand.NewPCG(1, 2))
	quoted := strings.ReplaceAll(opticks, "\n", `\n`)
	quoted = strings.ReplaceAll(quoted, `"`, `\"`)
	text := func(n int) string {
		at := r.IntN(len(quoted) - n)
		return strings.ToValidUTF8(strings.ReplaceAll(quoted[at:at+n], `\`, "/"), "")
	}
	separator := "[\n"
	for n, id := 0, 0; n < mb<<20; id++ {
		k, err := fmt.Fprintf(w, "%s{\"id\": \"c%d_0\", \"conversations\": [", separator, id)
		separator = ",\n"
		for m := range 2 * (1 + r.IntN(6)) {
			if m > 0 {
				_ = w.WriteByte(',')
			}
			more, _ := fmt.Fprintf(w, "\n  {\"from\": %q, \"value\": \"%s\"}", [2]string{"human", "gpt"}[m%2], text(100+r.IntN(1900)))
			k += more
		}
		_, _ = w.WriteString("]}")
		if n += k; err != nil {
			t.Fatal(err)
		}
	}
	_, _ = w.WriteString("\n]\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestLargeFile samples and plays a file of 104 MB with far less memory. Under the race
// detector, which finds nothing in it and takes a minute, it is smaller; make test runs
// it without as well. make large does it with 1 GB and looks at the whole process.
func TestLargeFile(t *testing.T) {
	mb, _ := strconv.Atoi(os.Getenv("LARGE_MB"))
	switch {
	case mb > 0:
	case raceDetector || testing.Short():
		mb = 8
	default:
		mb = 104
	}
	if !raceDetector {
		t.Run("sampled", func(t *testing.T) {
			largeFile(t, mb, schema.Values{"sample": int64(1000), "seed": int64(1)})
		})
	}
	t.Run("played", func(t *testing.T) { largeFile(t, mb, schema.Values{}) })
	if status, err := os.ReadFile("/proc/self/status"); err == nil && os.Getenv("LARGE_MB") != "" {
		kb, _ := strconv.Atoi(regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
		t.Logf("the process had up to %d MB", kb>>10)
		if kb > 200<<10 {
			t.Errorf("the process had %d MB, want under 200 MB", kb>>10)
		}
	}
}

func largeFile(t *testing.T, mb int, v schema.Values) {
	v["path"], v["when_exhausted"] = filepath.Join(t.TempDir(), "sharegpt.json"), schema.Plain("stop")
	writeShareGPT(t, v.String("path"), mb)
	started := time.Now()
	peak := heapPeak(t, func() {
		s, err := Read(plan.Dataset{Type: "sharegpt", Values: v}, func(p string) (io.ReadCloser, error) { return os.Open(p) })
		if err != nil {
			t.Error(err)
			return
		}
		all, err := s.play(play{ctx: t.Context(), seed: 1})
		if err != nil {
			t.Error(err)
			return
		}
		n := s.Size(1).Conversations
		for _, i := range []int64{0, n / 2, n - 1} {
			if c, err := all.script(i); err != nil || len(c.turns) == 0 {
				t.Errorf("conversation %d of %d: %v", i, n, err)
			}
		}
	})
	t.Logf("%d MB in %.1f s, heap up to %d MB", mb, time.Since(started).Seconds(), peak>>20)
	if peak > 80<<20 {
		t.Errorf("the heap grew to %d MB, want at most 80 MB", peak>>20)
	}
}

// heapPeak is the most that the heap had while f ran, as far as looking now and then shows.
func heapPeak(t *testing.T, f func()) (peak uint64) {
	t.Helper()
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			peak = max(peak, sample[0].Value.Uint64())
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	f()
	close(done)
	watch.Wait()
	return peak
}
