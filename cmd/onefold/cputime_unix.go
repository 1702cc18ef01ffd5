//go:build unix

package main

import (
	"runtime"
	"syscall"
	"time"
)

// processorTime answers how long processors have worked for this process.
func processorTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// peakMemory answers the most bytes of memory that this process has had at once, SQLite's pages among them.
func peakMemory() int64 {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" || runtime.GOOS == "ios" {
		return int64(r.Maxrss) //nolint:unconvert // other systems have other widths
	}
	return int64(r.Maxrss) << 10 //nolint:unconvert // as above; KiB
}
