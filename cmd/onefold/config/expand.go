package config

import (
	"io"
	"os"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// expand puts in what ${env:NAME} and ${file:path} stand for; "$${" is a plain "${". What was put in is not looked at
// again, and is never quoted in a diagnostic.
func (r *reader) expand(n ast.Node, path, s string) (string, bool) {
	var out strings.Builder
	for {
		i := strings.Index(s, "${")
		if i < 0 {
			out.WriteString(s)
			return out.String(), true
		}
		if i > 0 && s[i-1] == '$' {
			out.WriteString(s[:i-1] + "${")
			s = s[i+2:]
			continue
		}
		end := strings.IndexByte(s[i:], '}')
		if end < 0 {
			r.say(n, path, "${ is not closed", "write ${env:NAME} or ${file:path}, or $${ for the two characters themselves")
			return "", false
		}
		value, ok := r.secret(n, path, s[i+2:i+end])
		if !ok {
			return "", false
		}
		out.WriteString(s[:i] + value)
		s = s[i+end+1:]
	}
}

func (r *reader) secret(n ast.Node, path, ref string) (string, bool) {
	scheme, name, _ := strings.Cut(ref, ":")
	switch scheme {
	case "env":
		if r.env.Lookup != nil {
			if value, ok := r.env.Lookup(name); ok {
				return value, true
			}
		}
		r.say(n, path, "the environment has no variable "+name, "set it, or name another")
	case "file":
		return r.secretFile(n, path, name)
	default:
		r.say(n, path, "${"+scheme+":} is not known", "write ${env:NAME} or ${file:path}")
	}
	return "", false
}

// secretFile reads a secret that lies in a file of its own; one newline at its end is not part of it.
func (r *reader) secretFile(n ast.Node, path, name string) (string, bool) {
	f, err := os.Open(under(r.dir, name))
	if err != nil {
		r.say(n, path, "the file "+name+" cannot be read: "+reason(err), "a relative path starts at the folder of this file")
		return "", false
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSecretBytes+1))
	if err != nil || len(data) > MaxSecretBytes {
		r.say(n, path, "the file "+name+" cannot be read as a secret", "a secret is a file of at most 64 KiB")
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), true
}
