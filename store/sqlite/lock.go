//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// acquire takes the lock file beside the store for this process. The system lets it go when the process ends, however it ends.
func acquire(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: the folder cannot be written: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer func() { _ = f.Close() }()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("store: %s cannot be locked: %w", path, err)
		}
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("store: process %s is using %s: stop it, or name another data folder",
			strings.TrimSpace(string(holder)), strings.TrimSuffix(path, ".lock"))
	}
	if err := f.Truncate(0); err != nil {
		return f, fmt.Errorf("store: %s cannot be written: %w", path, err)
	}
	if _, err := fmt.Fprintln(f, os.Getpid()); err != nil {
		return f, fmt.Errorf("store: %s cannot be written: %w", path, err)
	}
	return f, nil
}
