//go:build !linux

package wire

import "time"

func nap(d time.Duration) { time.Sleep(d) }
