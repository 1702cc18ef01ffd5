package page

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
)

// Log follows a write-ahead log: what commits have written since one looked last.
type Log struct {
	Path string
	salt uint64 // of the log as it was seen last: another one if it was begun anew
	next int64  // where the next commit's frames begin
}

const (
	logHead   = 32
	frameHead = 24
)

// Changed answers the numbers of the pages that commits wrote since the last call, some perhaps more than once; the first call answers
// all that the log holds. It sees each commit, if it is called after each one before the log can be begun anew.
func (l *Log) Changed() ([]uint32, error) {
	f, err := os.Open(l.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var head [logHead]byte
	if _, err := f.ReadAt(head[:], 0); errors.Is(err, io.EOF) {
		return nil, nil // emptied
	} else if err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[8:]))
	if salt := binary.BigEndian.Uint64(head[16:]); salt != l.salt || l.next == 0 {
		l.salt, l.next = salt, logHead
	}
	var all, open []uint32 // open: of a commit that may not be whole
	var frame [frameHead]byte
	for at := l.next; ; at += frameHead + size {
		_, err := f.ReadAt(frame[:], at)
		if errors.Is(err, io.EOF) || err == nil && binary.BigEndian.Uint64(frame[8:]) != l.salt {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		open = append(open, binary.BigEndian.Uint32(frame[0:]))
		if binary.BigEndian.Uint32(frame[4:]) != 0 { // the last of a commit tells the size of the file
			all, open = append(all, open...), open[:0]
			l.next = at + frameHead + size
		}
	}
}
