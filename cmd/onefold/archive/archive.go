// Package archive packs a folder of files into a backup and takes it apart again: a folder, or one file in the form of tar, with a manifest
// that says what belongs to it and how it can be told from damage. A backup has its name only when it is whole.
package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Edition is the form of a backup that this version writes and reads.
const Edition = "onefold-backup/1"

// Limits of what is read of a backup (invariant 10).
const (
	MaxManifest = 256 << 20 // bytes
	MaxFiles    = 1_000_000
)

const (
	manifestName = "manifest.json"
	partial      = ".partial" // of the name of a backup that is being made
)

// File is one file of a backup.
type File struct {
	Path   string `json:"path"` // with slashes, below the backup
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Manifest says what a backup is. Details belong to who makes it.
type Manifest struct {
	Edition   string          `json:"edition"`
	Version   string          `json:"version"` // of the program that made it
	CreatedAt time.Time       `json:"createdAt"`
	Details   json.RawMessage `json:"details"`
	Files     []File          `json:"files"`
}

// Damage is what is wrong with a file of a backup.
type Damage struct {
	Path string `json:"path"`
	What string `json:"what"`
}

// ErrNone tells that there is no backup at a place.
var ErrNone = errors.New("this is no backup of Onefold")

// Single tells whether a backup of that name is one file: its name ends in .tar.
func Single(path string) bool { return strings.HasSuffix(path, ".tar") }

// Write makes a backup at path, which must not be there yet: fill writes its files into a folder, and answers the details.
func Write(ctx context.Context, path, version string, now time.Time, fill func(dir string) (details any, err error)) (*Manifest, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	dir := path + partial
	if err := os.RemoveAll(dir); err != nil { // of a backup that broke off
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	details, err := fill(dir)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Edition: Edition, Version: version, CreatedAt: now.UTC()}
	if m.Details, err = json.Marshal(details); err != nil {
		return nil, err
	}
	if m.Files, err = sums(ctx, dir); err != nil {
		return nil, err
	}
	if err := m.save(dir); err != nil {
		return nil, err
	}
	if Single(path) {
		return m, m.pack(ctx, dir, path)
	}
	if err := syncFolders(dir); err != nil {
		return nil, err
	}
	return m, errors.Join(os.Rename(dir, path), syncFolder(filepath.Dir(path)))
}

// sums answers every file below a folder, in order.
func sums(ctx context.Context, dir string) (out []File, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return errors.Join(err, ctx.Err())
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		sum, n, err := digest(f)
		out = append(out, File{Path: filepath.ToSlash(name), Bytes: n, SHA256: sum})
		return errors.Join(err, f.Close())
	})
	return out, err
}

func digest(in io.Reader) (sum string, n int64, err error) {
	h := sha256.New()
	n, err = io.Copy(h, in)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

func (m *Manifest) save(dir string) error {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, manifestName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(raw, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// pack writes a folder as one file, the manifest first.
func (m *Manifest) pack(ctx context.Context, dir, path string) (err error) {
	draft := path + partial + ".tar"
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(draft) }()
	w := tar.NewWriter(f)
	for _, name := range append([]string{manifestName}, m.names()...) {
		if err = errors.Join(ctx.Err(), add(w, dir, name, m.CreatedAt)); err != nil {
			break
		}
	}
	if err = errors.Join(err, w.Close(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(draft, path), syncFolder(filepath.Dir(path)))
}

func (m *Manifest) names() (out []string) {
	for _, f := range m.Files {
		out = append(out, f.Path)
	}
	return out
}

func add(w *tar.Writer, dir, name string, at time.Time) error {
	f, err := os.Open(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), ModTime: at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

// Read answers a backup's manifest, without looking at its files. ErrNone is in the chain of what is no backup.
func Read(path string) (*Manifest, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return nil, err
	}
	var r io.Reader
	if info.IsDir() {
		f, err := os.Open(filepath.Join(path, manifestName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: %w: it has no %s", path, ErrNone, manifestName)
		}
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		r = f
	} else {
		t := tar.NewReader(in)
		if h, err := t.Next(); err != nil || h.Name != manifestName {
			return nil, fmt.Errorf("%s: %w: it does not begin with %s", path, ErrNone, manifestName)
		}
		r = t
	}
	var m Manifest
	if err := json.NewDecoder(io.LimitReader(r, MaxManifest)).Decode(&m); err != nil {
		return nil, fmt.Errorf("%s: %w: its manifest cannot be read", path, ErrNone)
	}
	return &m, m.check(path)
}

// check answers why a manifest cannot be worked with. Whoever writes one could name any file of the machine.
func (m *Manifest) check(path string) error {
	if m.Edition != Edition {
		return fmt.Errorf("%s: %w of the form %s: it is %q", path, ErrNone, Edition, m.Edition)
	}
	if len(m.Files) > MaxFiles {
		return fmt.Errorf("%s: %w: it names more than %d files", path, ErrNone, MaxFiles)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) || f.Path == manifestName {
			return fmt.Errorf("%s: %w: it names a file outside of itself", path, ErrNone)
		}
	}
	return nil
}

// Extract reads every file of a backup and hands those that are as they were written to the folder to; with no folder they are looked at
// only. It answers what is damaged or missing; that is not in the folder.
func (m *Manifest) Extract(ctx context.Context, path, to string) ([]Damage, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	left := map[string]File{}
	for _, f := range m.Files {
		left[f.Path] = f
	}
	var found []Damage
	one := func(name string, in io.Reader) error {
		f, named := left[name]
		if !named {
			return nil
		}
		delete(left, name)
		what, err := f.copy(ctx, in, to)
		if what != "" {
			found = append(found, Damage{name, what})
		}
		return err
	}
	if info.IsDir() {
		err = m.walk(path, one)
	} else {
		err = walkTar(path, one)
	}
	for name := range left {
		found = append(found, Damage{name, "it is missing"})
	}
	slices.SortFunc(found, func(a, b Damage) int { return strings.Compare(a.Path, b.Path) })
	return found, err
}

func (m *Manifest) walk(path string, one func(string, io.Reader) error) error {
	for _, name := range m.names() {
		f, err := os.Open(filepath.Join(path, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(one(name, f), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// walkTar reads a tar up to where it is damaged: what comes behind is missing.
func walkTar(path string, one func(string, io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if err != nil {
			return nil // the end, or damage: what is not read is told as missing
		}
		if err := one(h.Name, t); err != nil {
			return err
		}
	}
}

// copy reads a file, and answers how it differs from what it should be. One that does not is put into the folder to.
func (f File) copy(ctx context.Context, in io.Reader, to string) (what string, err error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if to == "" {
		return f.differs(in)
	}
	target := filepath.Join(to, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return "", err
	}
	file, err := os.OpenFile(target, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	what, err = f.differs(io.TeeReader(in, file))
	err = errors.Join(err, file.Sync(), file.Close())
	if what != "" {
		err = errors.Join(err, os.Remove(target))
	}
	return what, err
}

// differs reads a file to its end, and answers how it differs from what it should be.
func (f File) differs(in io.Reader) (what string, err error) {
	sum, n, err := digest(in)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it is cut off", nil
	case err != nil:
		return "", err
	case n != f.Bytes:
		return fmt.Sprintf("it has %d bytes and should have %d", n, f.Bytes), nil
	case sum != f.SHA256:
		return "its content is another than was written", nil
	}
	return "", nil
}

func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = syncFolder(path)
		}
		return err
	})
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
