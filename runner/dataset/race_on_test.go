//go:build race

package dataset

// raceDetector says whether the test runs under it.
const raceDetector = true
