package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
	"strings"
	"sync"
)

// What pages load stands in this folder: our own style and script, and htmx and uPlot as their makers published them, each under its
// version and with its licence beside it. Nothing is built.
//
//go:embed assets
var files embed.FS

// shelf serves the assets. An address carries a print of what it leads to, so that it may be kept for ever.
type shelf struct{ assets map[string]asset }

type asset struct {
	kind  string
	print string
	plain []byte
	small func() []byte // compressed, when it is asked for the first time
}

func newShelf() *shelf {
	s := &shelf{assets: map[string]asset{}}
	entries, err := files.ReadDir("assets")
	if err != nil {
		panic(err) // the folder is in the program
	}
	for _, e := range entries {
		plain, err := files.ReadFile(path.Join("assets", e.Name()))
		if err != nil {
			panic(err) // so is the file
		}
		sum := sha256.Sum256(plain)
		s.assets[e.Name()] = asset{
			kind: kindOf(e.Name()), print: base64.RawURLEncoding.EncodeToString(sum[:9]), plain: plain,
			small: sync.OnceValue(func() []byte { return compress(plain) }),
		}
	}
	return s
}

func compress(plain []byte) []byte {
	var small bytes.Buffer
	z, _ := gzip.NewWriterLevel(&small, gzip.BestCompression)
	_, _ = z.Write(plain)
	_ = z.Close() // a buffer takes everything
	return small.Bytes()
}

// address answers where an asset is.
func (s *shelf) address(name string) string { return "/assets/" + name + "?v=" + s.assets[name].print }

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a, known := s.assets[r.PathValue("name")]
	if !known {
		http.NotFound(w, r)
		return
	}
	head := w.Header()
	head.Set("Content-Security-Policy", "default-src 'none'")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Content-Type", a.kind)
	head.Set("Vary", "Accept-Encoding")
	head.Set("Cache-Control", "no-store")
	if r.URL.Query().Get("v") == a.print {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := a.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		head.Set("Content-Encoding", "gzip")
		body = a.small()
	}
	_, _ = w.Write(body) // a reader that has gone away is nobody's error
}

// kindOf answers the type of a file, whatever the machine's own table says.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}
