//go:build linux || darwin

package main

import "syscall"

// diskSpace answers how many bytes are free for us on the disk of a folder, and how many it has.
func diskSpace(dir string) (free, capacity int64) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, 0
	}
	block := int64(s.Bsize)                                 //nolint:unconvert // 32 bits on darwin
	return int64(s.Bavail) * block, int64(s.Blocks) * block //nolint:gosec // no disk has 2^63 bytes
}
