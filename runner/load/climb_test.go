package load

import (
	"slices"
	"testing"
)

func climb(n, confirm int, met func(rung, times int) bool) (c *Climb, steps []int) {
	c = NewClimb(n, confirm)
	times := make([]int, n)
	for rung, ok := c.Next(); ok && len(steps) < 1000; rung, ok = c.Next() {
		steps = append(steps, rung)
		times[rung]++
		c.Report(rung, met(rung, times[rung]))
	}
	return c, steps
}

// TestClimbFindsEveryKnee: whatever the highest rung that meets the goal is, it is found,
// in about as many steps as halving takes, and never far above it.
func TestClimbFindsEveryKnee(t *testing.T) {
	for n := 1; n <= 130; n++ {
		for knee := -1; knee < n; knee++ {
			c, steps := climb(n, 2, func(rung, _ int) bool { return rung <= knee })
			if c.Best() != knee || !c.Monotonic() {
				t.Fatalf("of %d rungs with the knee at %d it found %d by %v", n, knee, c.Best(), steps)
			}
			if len(steps) > 16 {
				t.Errorf("of %d rungs with the knee at %d it took %v", n, knee, steps)
			}
			if knee >= 0 && slices.Max(steps) > max(knee+1, 2*knee+n/8) {
				t.Errorf("of %d rungs with the knee at %d it went up to %d", n, knee, slices.Max(steps))
			}
		}
	}
}

func TestClimbConfirms(t *testing.T) {
	// The goal is met at 5 the first time only: the majority of three runs is against it.
	c, steps := climb(10, 2, func(rung, times int) bool { return rung < 5 || rung == 5 && times == 1 })
	if c.Best() != 4 || !slices.Equal(steps[len(steps)-3:], []int{4, 4, 4}) && !slices.Equal(steps[len(steps)-2:], []int{4, 4}) {
		t.Errorf("found %d by %v", c.Best(), steps)
	}
	// Missed once of three times stands.
	if c, steps := climb(10, 2, func(rung, times int) bool { return rung <= 5 && (rung != 5 || times != 2) }); c.Best() != 5 {
		t.Errorf("found %d by %v", c.Best(), steps)
	}
}

func TestClimbSaysWhatIsNotMonotonic(t *testing.T) {
	c := NewClimb(8, 0)
	for rung, met := range []bool{true, false, true} {
		c.Report(rung, met)
	}
	if c.Best() != 0 || c.Monotonic() {
		t.Errorf("found %d, monotonic %v", c.Best(), c.Monotonic())
	}
}
