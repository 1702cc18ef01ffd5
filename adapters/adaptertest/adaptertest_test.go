package adaptertest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/adapters/codec"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// acme is a small adapter as an author would write one in Go.
type acme struct{}

func (acme) Map(_ context.Context, m *event.Message) ([]customer.Change, error) {
	if m.Value == nil {
		return nil, event.Ignore("tombstone", "a null says nothing in this system")
	}
	n, err := codec.JSON(m.Value, codec.DefaultLimits)
	if err != nil {
		return nil, err
	}
	id := n.Member("id")
	if id.Kind() != codec.Number || strings.Trim(id.Text(), "0123456789") != "" {
		return nil, event.Errorf(event.Permanent, "mapping", "id", "a whole number is expected: the sender must say whom it means")
	}
	change := customer.Change{Key: id.Text(), Op: customer.Patch, At: m.Time}
	if name := n.Member("name"); name.Kind() == codec.String && name.Text() != "" && !strings.Contains(name.Text(), "\x00") {
		change.Party = append(change.Party, customer.Statement{
			Path: customer.Path{Name: "fullName"}, State: customer.Set, Value: customer.Text(name.Text()),
		})
	}
	return []customer.Change{change}, nil
}

// cases of acme.
func cases() fs.FS {
	return fstest.MapFS{
		"ana.txtar": {Data: []byte(`-- message.json --
{"key": "k", "headers": {"X": "y"}}
-- value --
{"id": 207119551, "name": "Ana In\u00eas Lima", "kind": "lineup", "lineup_all": {"tags": ["a", null, 1.5]}}
-- changes.json --
[{"key": "207119551", "op": "patch", "at": "2025-01-01T00:00:00Z", "party": [{"path": "fullName", "state": "set", "value": "Ana Inês Lima"}]}]
`)},
		"nobody.txtar": {Data: []byte(`-- value --
{"name": "Ana In\u00eas Lima"}
-- error.json --
{"outcome": "dead", "reason": "mapping", "path": "id", "contains": "whole number"}
`)},
	}
}

func TestAGoodAdapterPasses(t *testing.T) {
	adaptertest.Run(t, acme{}, cases())
}

// mapFunc is an adapter that is one function.
type mapFunc func(ctx context.Context, m *event.Message) ([]customer.Change, error)

func (f mapFunc) Map(ctx context.Context, m *event.Message) ([]customer.Change, error) {
	return f(ctx, m)
}

// after is acme with something done to its answer.
func after(spoil func(m *event.Message, changes []customer.Change, err error) ([]customer.Change, error)) adapters.Source {
	return mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		changes, err := acme{}.Map(ctx, m)
		return spoil(m, changes, err)
	})
}

func TestEachLawCatches(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: twenty spoilt adapters take a minute under the race detector, which learns nothing from them")
	}
	var calls atomic.Int64
	var lock sync.Mutex
	for name, tc := range map[string]struct {
		source adapters.Source
		law    string
		says   string
	}{
		"another value": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			for i := range cs {
				cs[i].Op = customer.Upsert
			}
			return cs, err
		}), "golden", `want "patch", got "upsert"`},
		"a change that the registry refuses": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			for i := range cs {
				cs[i].Op = "sing"
			}
			return cs, err
		}), "seals", "the registry refuses"},
		"a memory": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			n := calls.Add(1)
			for i := range cs {
				cs[i].Part = strconv.FormatInt(n, 10)
			}
			return cs, err
		}), "pure", "other changes"},
		"writing to the message": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			cs, err := acme{}.Map(ctx, m)
			lock.Lock()
			defer lock.Unlock()
			m.Headers = append(m.Headers, event.Header{Key: "seen"})
			return cs, err
		}), "pure", "writes to the message"},
		"floating ids": {mapFunc(func(_ context.Context, m *event.Message) ([]customer.Change, error) {
			var v map[string]any
			if err := json.Unmarshal(m.Value, &v); err != nil {
				return nil, event.Errorf(event.Poison, "decode", "", "not JSON")
			}
			id, ok := v["id"].(float64)
			if !ok {
				return nil, event.Errorf(event.Permanent, "mapping", "id", "a whole number is expected")
			}
			return []customer.Change{{Key: strconv.FormatFloat(id, 'f', 0, 64), Op: customer.Patch}}, nil
		}), "exact ids", "floating point"},
		"ids cut to 32 bits": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			for i := range cs {
				n, _ := strconv.ParseUint(cs[i].Key, 10, 64)
				cs[i].Key = strconv.Itoa(int(uint32(n)))
			}
			return cs, err
		}), "exact ids", "something else"},
		"a panic on a null": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			n, _ := codec.JSON(m.Value, codec.DefaultLimits)
			if n != nil && n.Member("name").Kind() == codec.Null {
				panic("a null name")
			}
			return acme{}.Map(ctx, m)
		}), "null, missing, wrong", "panics"},
		"refusing what is new": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			n, _ := codec.JSON(m.Value, codec.DefaultLimits)
			if n.Len() > 4 {
				return nil, event.Errorf(event.Permanent, "schema", "", "a member is unknown")
			}
			return acme{}.Map(ctx, m)
		}), "unknown members", "other changes"},
		"taking what was cut off": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			if event.ClassOf(err) == event.Poison && err != nil {
				return []customer.Change{{Key: "1", Op: customer.Patch}}, nil
			}
			return cs, err
		}), "truncated", "want no change"},
		"replacement characters": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			c := *m
			c.Value = []byte(strings.ToValidUTF8(string(m.Value), "\ufffd"))
			return acme{}.Map(ctx, &c)
		}), "invalid UTF-8", "replacement character"},
		"a panic on size": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			var small [1 << 20]byte
			_ = small[max(0, len(m.Value)-1):]
			return acme{}.Map(ctx, m)
		}), "5 MiB", "panics"},
		"a panic on nil": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			_ = m.Value[0]
			return acme{}.Map(ctx, m)
		}), "no value", "panics"},
		"changes of nothing": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if len(m.Value) == 0 {
				return []customer.Change{{Key: string(m.Key), Op: customer.Delete}}, nil
			}
			return acme{}.Map(ctx, m)
		}), "no value", "an empty value makes"},
		"a panic without headers": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if len(m.Headers) > 0 && m.Headers[0].Value[0] != 'y' {
				return nil, nil
			}
			return acme{}.Map(ctx, m)
		}), "no headers", "panics"},
		"deaf to the context": {mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
			if ctx.Err() != nil {
				return nil, nil
			}
			return acme{}.Map(ctx, m)
		}), "cancelled", "other changes"},
		"quoting a name": {after(func(m *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			if e := (*event.Error)(nil); errors.As(err, &e) && e.Reason == "mapping" {
				n, _ := codec.JSON(m.Value, codec.DefaultLimits)
				return nil, event.Errorf(event.Permanent, "mapping", "id", "no whole number in the message of %s", n.Member("name").Text())
			}
			return cs, err
		}), "null, missing, wrong", "quotes a value"},
		"quoting what was cut off": {after(func(m *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			if event.ClassOf(err) == event.Poison && err != nil {
				return nil, event.Errorf(event.Poison, "decode", "", "not JSON: %s", strings.ReplaceAll(string(m.Value), `\u00ea`, "ê"))
			}
			return cs, err
		}), "truncated", "quotes a value"},
		"an error of no class": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			if err != nil {
				return nil, fmt.Errorf("no")
			}
			return cs, nil
		}), "golden", "no refusal"},
		"a refusal without reason": {after(func(_ *event.Message, cs []customer.Change, err error) ([]customer.Change, error) {
			if err != nil {
				return nil, event.Refusals{{Outcome: event.Dead, Err: &event.Error{Class: event.Permanent}}}
			}
			return cs, nil
		}), "golden", "without a reason"},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := adaptertest.Examine(t.Context(), tc.source, cases())
			if err != nil {
				t.Fatal(err)
			}
			caught := slices.ContainsFunc(found, func(f adaptertest.Finding) bool {
				return f.Law == tc.law && strings.Contains(f.Text, tc.says)
			})
			if !caught {
				t.Errorf("%q does not say %q: %v", tc.law, tc.says, found)
			}
		})
	}
}

// statement is an adapter of an XML system, each entry a change.
var statement = mapFunc(func(_ context.Context, m *event.Message) ([]customer.Change, error) {
	n, err := codec.XML(m.Value, codec.DefaultLimits)
	if err != nil {
		return nil, err
	}
	var changes []customer.Change
	var refused event.Refusals
	for i, entry := range n.All("Ntry") {
		part := fmt.Sprintf("Ntry[%d]", i)
		id := entry.Member("Id").Text()
		if id == "" {
			refused = append(refused, event.Refusal{
				Part: part, Outcome: event.Dead, Err: event.Errorf(event.Permanent, "mapping", part+".Id", "an id is expected"),
			})
			continue
		}
		changes = append(changes, customer.Change{Key: id, Op: customer.Patch, Part: part})
	}
	if len(refused) > 0 {
		return changes, refused
	}
	return changes, nil
})

const statementCase = `-- value --
<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:x"><Ntry><Id>12345678901234567890</Id><Nm>Ana Lima</Nm></Ntry>
<Ntry><Nm a="b">Bruno Reis</Nm></Ntry></Document>
-- changes.json --
[{"key": "12345678901234567890", "op": "patch", "part": "Ntry[0]"}]
-- error.json --
{"outcome": "dead", "reason": "mapping", "part": "Ntry[1]", "path": "Ntry[1].Id"}
`

func TestXMLAdapters(t *testing.T) {
	files := fstest.MapFS{"statement.txtar": {Data: []byte(statementCase)}}
	adaptertest.Run(t, statement, files)
	quoting := mapFunc(func(ctx context.Context, m *event.Message) ([]customer.Change, error) {
		changes, err := statement(ctx, m)
		if refused := event.Refusals(nil); errors.As(err, &refused) {
			n, _ := codec.XML(m.Value, codec.DefaultLimits)
			for i := range refused {
				refused[i].Err.Text += n.All("Ntry")[0].Member("Nm").Text()
			}
		}
		return changes, err
	})
	found, err := adaptertest.Examine(t.Context(), quoting, files)
	if err != nil || len(found) == 0 || !strings.Contains(found[0].Text, "quotes a value") {
		t.Errorf("a quoted name in XML is not caught: %v, %v", found, err)
	}
}

func TestCasesAreAsked(t *testing.T) {
	found, err := adaptertest.Examine(t.Context(), acme{}, fstest.MapFS{})
	if err != nil || len(found) != 2 {
		t.Errorf("without cases: %v, %v", found, err)
	}
	_, err = adaptertest.Examine(t.Context(), acme{}, fstest.MapFS{"x.txtar": {Data: []byte("-- y --\n")}})
	if ds := event.Diagnostics(nil); !errors.As(err, &ds) {
		t.Errorf("a broken case: %v", err)
	}
}
