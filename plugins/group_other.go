//go:build !unix

package plugins

import (
	"io/fs"
	"os"
	"os/exec"
)

// Where there are no process groups, what a plugin has started outlives it.

func own(*exec.Cmd) {}

func killGroup(pid int) {
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // that it is gone is what was wanted
	}
}

func askGroup(pid int) { killGroup(pid) }

func runnable(fs.FileInfo) bool { return true }
