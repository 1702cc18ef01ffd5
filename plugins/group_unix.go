//go:build unix

package plugins

import (
	"io/fs"
	"os/exec"
	"syscall"
)

// own gives a process a group of its own, so that it is ended with all that it has started.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup ends a group at once. That there is none any more is what was wanted.
func killGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }

// askGroup asks a group to end.
func askGroup(pid int) { _ = syscall.Kill(-pid, syscall.SIGTERM) }

func runnable(info fs.FileInfo) bool { return info.Mode().Perm()&0o111 != 0 }
