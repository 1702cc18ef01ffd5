package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/cmd/onefold/archive"
)

func made(t *testing.T, name string, files map[string]string) (path string, m *archive.Manifest) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	m, err := archive.Write(t.Context(), path, "v1", time.Unix(0, 0), func(dir string) (any, error) {
		for name, text := range files {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
		return map[string]int{"n": len(files)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return path, m
}

// What is packed comes out again, from a folder and from one file; a file that is damaged does not.
func TestRoundTrip(t *testing.T) {
	files := map[string]string{"a": "one", "b/c": strings.Repeat("two", 100_000), "b/empty": ""}
	for _, name := range []string{"backup", "backup.tar"} {
		t.Run(name, func(t *testing.T) {
			path, written := made(t, name, files)
			if leftovers, err := filepath.Glob(path + ".*"); err != nil || len(leftovers) > 0 {
				t.Error(leftovers, err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Error(info.Mode(), err)
			}
			m, err := archive.Read(path)
			if err != nil || !cmp.Equal(m.Files, written.Files) || m.Version != "v1" || !bytes.Contains(m.Details, []byte("3")) {
				t.Fatal(m, err)
			}
			to := t.TempDir()
			if damage, err := m.Extract(t.Context(), path, to); err != nil || len(damage) > 0 {
				t.Fatal(damage, err)
			}
			for name, text := range files {
				if raw, err := os.ReadFile(filepath.Join(to, name)); err != nil || string(raw) != text {
					t.Error(name, len(raw), err)
				}
			}
			if _, err := archive.Write(t.Context(), path, "", time.Time{}, nil); !errors.Is(err, os.ErrExist) {
				t.Error("it was written over:", err)
			}
		})
	}
}

// A tar that is cut off anywhere is told, with each file that it lacks, and gives no file that is not whole.
func TestCutTar(t *testing.T) {
	files := map[string]string{"a": strings.Repeat("x", 3_000), "b": strings.Repeat("y", 3_000)}
	path, m := made(t, "backup.tar", files)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := 0; cut < len(raw)-1_024; cut += 500 {
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		to := t.TempDir()
		damage, err := m.Extract(t.Context(), path, to)
		if err != nil {
			t.Fatal(cut, err)
		}
		got, err := os.ReadDir(to)
		if err != nil || len(got)+len(damage) != len(files) || cut < len(raw)-2_048 && len(damage) == 0 {
			t.Errorf("cut at %d of %d: %v and %v, %v", cut, len(raw), got, damage, err)
		}
	}
}

// What is no backup is refused, and so is one that would write outside of the folder.
func TestStrangers(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": "{", "another form": `{"edition":"onefold-backup/9"}`, "no form": `{}`,
		"climbs":   `{"edition":"onefold-backup/1","files":[{"path":"../../etc/passwd"}]}`,
		"absolute": `{"edition":"onefold-backup/1","files":[{"path":"/etc/passwd"}]}`,
		"itself":   `{"edition":"onefold-backup/1","files":[{"path":"manifest.json"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "manifest.json"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if m, err := archive.Read(dir); !errors.Is(err, archive.ErrNone) {
				t.Error(m, err)
			}
		})
	}
	if m, err := archive.Read(t.TempDir()); !errors.Is(err, archive.ErrNone) {
		t.Error(m, err)
	}
	// a tar with a file that its manifest does not name
	m := archive.Manifest{Edition: archive.Edition}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range map[string][]byte{"../evil": []byte("x")} {
		for _, f := range []struct {
			name string
			text []byte
		}{{"manifest.json", raw}, {name, text}} {
			if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(f.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	path, to := filepath.Join(t.TempDir(), "x.tar"), t.TempDir()
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if damage, err := m.Extract(t.Context(), path, to); err != nil || len(damage) > 0 {
		t.Error(damage, err)
	}
	if _, err := os.Lstat(filepath.Join(to, "..", "evil")); !errors.Is(err, os.ErrNotExist) {
		t.Error("a file was written outside of the folder:", err)
	}
}
