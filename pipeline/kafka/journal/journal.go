// Package journal knows the embedded broker's log as it lies on disk: it copies it while it is written, and reads how far it goes without
// a broker. The form is that of franz-go's kfake: a folder a partition, in it segments of record batches as Kafka's protocol has them.
package journal

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Extent is how far a partition's log goes.
type Extent struct {
	Topic     string `json:"topic"`
	TopicID   string `json:"topicId,omitempty"` // 32 hex digits
	Partition int32  `json:"partition"`
	Start     int64  `json:"start"`            // offset of the first record that is there
	End       int64  `json:"end"`              // offset that the next record will have
	Damage    string `json:"damage,omitempty"` // what is behind the last batch that is whole: it is lost
}

// Names that the broker gives.
const (
	topicsFile = "topics.json"
	partitions = "partitions"
	segment    = ".dat"
	index      = ".idx"
)

// attempts is how often a partition is copied that is compacted meanwhile (invariant 10).
const attempts = 20

// Copy copies the log in dir to the folder to, which is made, while a broker may write it. Every batch that was acknowledged before Copy
// was
// called is in the copy, each file ends with a whole batch, and what comes later may be in it or not: it is what a broker that is killed at
// some moment leaves behind. So a store that was copied before knows of nothing that the copy lacks.
func Copy(ctx context.Context, dir, to string) error {
	if err := os.MkdirAll(filepath.Join(to, partitions), 0o700); err != nil {
		return err
	}
	list, err := os.ReadDir(filepath.Join(dir, partitions))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, p := range list {
		if !p.IsDir() {
			continue
		}
		if err := copyPartition(ctx, filepath.Join(dir, partitions, p.Name()), filepath.Join(to, partitions, p.Name())); err != nil {
			return fmt.Errorf("copy the log of %s: %w", p.Name(), err)
		}
	}
	others, err := os.ReadDir(dir) // after the partitions: a topic without a log is empty, a log without a topic would be lost
	if err != nil {
		return err
	}
	for _, f := range others {
		if !f.Type().IsRegular() || strings.HasSuffix(f.Name(), ".tmp") {
			continue
		}
		if err := copyFile(filepath.Join(dir, f.Name()), filepath.Join(to, f.Name()), -1); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyPartition copies a partition's files, anew where compaction or retention has changed them meanwhile: then they are others, or fewer.
func copyPartition(ctx context.Context, from, to string) error {
	for range attempts {
		if err := errors.Join(ctx.Err(), os.RemoveAll(to)); err != nil {
			return err
		}
		before, err := look(from)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the topic was deleted
		}
		if err != nil {
			return err
		}
		if err := os.MkdirAll(to, 0o700); err != nil {
			return err
		}
		err = copySegments(from, to, before)
		after, lookErr := look(from)
		switch {
		case err == nil && lookErr == nil && grown(before, after):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return errors.New("the log was rewritten again and again meanwhile: try again later")
}

// look answers a partition's files by name.
func look(dir string) (map[string]fs.FileInfo, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := map[string]fs.FileInfo{}
	for _, e := range list {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && !strings.HasSuffix(e.Name(), ".tmp") {
			out[e.Name()] = info
		}
	}
	return out, nil
}

// grown tells whether files were appended to, and new ones made, and nothing else.
func grown(before, after map[string]fs.FileInfo) bool {
	for name, was := range before {
		is, ok := after[name]
		if !ok || !os.SameFile(was, is) || is.Size() < was.Size() {
			return false
		}
	}
	return true
}

func copySegments(from, to string, files map[string]fs.FileInfo) error {
	for name := range files {
		switch filepath.Ext(name) {
		case index: // with its segment
		case segment:
			s, err := scan(filepath.Join(from, name))
			if err == nil {
				err = copyFile(filepath.Join(from, name), filepath.Join(to, name), s.size)
			}
			if err != nil {
				return err
			}
			entries := strings.TrimSuffix(name, segment) + index
			err = copyFile(filepath.Join(from, entries), filepath.Join(to, entries), s.batches*indexEntry)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		default:
			if err := copyFile(filepath.Join(from, name), filepath.Join(to, name), -1); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// indexEntry is the size of what an index says of a batch.
const indexEntry = 15

// copyFile copies a file, or so many bytes of it, and sees that they rest.
func copyFile(from, to string, size int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var r io.Reader = in
	if size >= 0 {
		r = io.LimitReader(in, size)
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Sync(), out.Close())
}

// Read answers how far the log in dir goes, by topic and partition. It reads every batch and holds it against its checksum.
func Read(dir string) ([]Extent, error) {
	var topics struct {
		Topics []struct {
			Name       string
			ID         []byte // base64 in JSON
			Partitions int
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, topicsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &topics); err != nil {
		return nil, fmt.Errorf("%s: the list of topics cannot be read: %w", filepath.Join(dir, topicsFile), err)
	}
	var out []Extent
	for _, t := range topics.Topics {
		for n := range t.Partitions {
			e, err := readPartition(filepath.Join(dir, partitions, url.PathEscape(t.Name)+"-"+strconv.Itoa(n)))
			if err != nil {
				return nil, err
			}
			e.Topic, e.Partition, e.TopicID = t.Name, int32(n), fmt.Sprintf("%x", t.ID) //nolint:gosec // a broker bounds them
			out = append(out, e)
		}
	}
	return out, nil
}

func readPartition(dir string) (e Extent, err error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	var bases []int64
	for _, f := range list {
		if base, err := strconv.ParseInt(strings.TrimSuffix(f.Name(), segment), 10, 64); err == nil && strings.HasSuffix(f.Name(), segment) {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	first := true
	for _, base := range bases {
		s, err := scan(filepath.Join(dir, strconv.FormatInt(base, 10)+segment))
		if err != nil {
			return e, err
		}
		if s.batches > 0 {
			if first {
				e.Start, first = s.start, false
			}
			e.End = s.end
		}
		if s.rest > 0 {
			e.Damage = fmt.Sprintf("%d bytes behind offset %d are no whole batch", s.rest, s.end)
		}
	}
	if s := snapshotOf(dir, bases); s != nil {
		e.Start, e.End = max(e.Start, s.Start), max(e.End, s.End)
	}
	return e, nil
}

// snapshot is what the broker has noted of a partition when it last ended.
type snapshot struct {
	End      int64 `json:"high_watermark"`
	Start    int64 `json:"log_start_offset"`
	Segments []struct {
		Base int64 `json:"base_offset"`
		Size int64 `json:"size"`
	} `json:"segments"`
}

// snapshotOf answers the snapshot of a partition, if its segments are still those that it speaks of: else the broker does not heed it.
func snapshotOf(dir string, bases []int64) *snapshot {
	raw, err := os.ReadFile(filepath.Join(dir, "snapshot.json"))
	var s snapshot
	if err != nil || json.Unmarshal(raw, &s) != nil || len(s.Segments) != len(bases) || len(bases) == 0 {
		return nil
	}
	for i, seg := range s.Segments {
		info, err := os.Stat(filepath.Join(dir, strconv.FormatInt(bases[i], 10)+segment))
		if err != nil || seg.Base != bases[i] || info.Size() != seg.Size {
			return nil
		}
	}
	return &s
}

// scanned is what a segment holds.
type scanned struct {
	start, end, size, batches int64
	rest                      int64 // bytes behind the last batch that is whole
}

// Places in the head of a record batch (Kafka's protocol, "Record Batch").
const (
	atLength    = 8
	atChecksum  = 17
	atLastDelta = 23
	headBytes   = 61
	lengthBytes = 12      // that the length does not count
	maxBatch    = 1 << 30 // bytes
)

// scan reads a segment batch by batch, up to the first that is not whole.
func scan(path string) (s scanned, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	head, body := make([]byte, headBytes), []byte(nil)
	for {
		s.rest = info.Size() - s.size
		if _, err := f.ReadAt(head, s.size); errors.Is(err, io.EOF) {
			return s, nil
		} else if err != nil {
			return s, err
		}
		size := int64(binary.BigEndian.Uint32(head[atLength:])) + lengthBytes
		if size < headBytes || size > maxBatch || size > s.rest {
			return s, nil
		}
		body = slices.Grow(body[:0], int(size))[:size]
		if _, err := f.ReadAt(body, s.size); err != nil {
			return s, err
		}
		if crc32.Checksum(body[atChecksum+4:], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(body[atChecksum:]) {
			return s, nil
		}
		first := int64(binary.BigEndian.Uint64(body)) //nolint:gosec // an offset
		if s.batches == 0 {
			s.start = first
		}
		s.end = first + int64(int32(binary.BigEndian.Uint32(body[atLastDelta:]))) + 1 //nolint:gosec // as the protocol has it
		s.size += size
		s.batches++
	}
}
