package storetest

import (
	"encoding/binary"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
)

// What the benchmarks move: groups as the pipeline makes them when it is busy, and keys as the matcher gives them.
const (
	group   = 500 // records a transaction
	keysOf  = 12  // of one record
	benched = "email phone name+birth name+postcode family+birth identifier strong place given+place phone+family year+family link"
)

// Bench measures a store that holds so many records. open answers a fresh, empty one. Each figure is of one group, one transaction
// or one call; the size held is part of what it means.
func Bench(b *testing.B, held int, open func(b *testing.B) Store) {
	s := open(b)
	b.Cleanup(func() { _ = s.Close() })
	Fill(b, s, held)
	next, version := held, int64(1)
	b.Run("apply 500 new", func(b *testing.B) {
		measured(b, func() customer.Delta { next += group; return newcomers(next-group, group) }, func(d customer.Delta) { benchApply(b, s, d) })
	})
	b.Run("apply 500 updates", func(b *testing.B) {
		measured(b, func() customer.Delta { version++; return updates(held, version) }, func(d customer.Delta) { benchApply(b, s, d) })
	})
	ids, keys := make([]customer.RecordID, group), make([]customer.Key, 0, group*keysOf)
	for i := range group {
		n := spread(i*104729, held)
		ids[i], keys = benchID(n), append(keys, benchKeys(n)...)
	}
	for name, ask := range map[string]func(customer.View) error{
		"holders of 6000 keys": func(v customer.View) error { _, err := v.Holders(b.Context(), keys, 101); return err },
		"components of 500":    func(v customer.View) error { _, err := v.Components(b.Context(), ids); return err },
		"records of 500":       func(v customer.View) error { _, err := v.Records(b.Context(), ids); return err },
	} {
		b.Run(name, func(b *testing.B) {
			measured(b, func() any { return nil }, func(any) { benchView(b, s, ask) })
		})
	}
	b.Run("relay 500", func(b *testing.B) {
		measured(b, func() any { return nil }, func(any) {
			if _, err := s.Pending(b.Context(), 0, group); err != nil {
				b.Fatal(err)
			}
		})
	})
}

// BenchCounts measures what it costs to ask a store that holds so many records how much it holds.
func BenchCounts(b *testing.B, held int, open func(b *testing.B) Store) {
	s := open(b)
	b.Cleanup(func() { _ = s.Close() })
	Fill(b, s, held)
	for b.Loop() {
		if c, err := s.Counts(b.Context()); err != nil || c.Records != int64(held) || c.Outbox != int64(held) {
			b.Fatal(c, err)
		}
	}
}

// Fill lets a store hold so many records, each with its keys and a customer of its own.
func Fill(b *testing.B, s Store, held int) {
	b.Helper()
	for from := 0; from < held; from += group {
		benchApply(b, s, newcomers(from, min(group, held-from)))
	}
}

// updates changes records that are far apart, no one twice.
func updates(held int, version int64) (d customer.Delta) {
	for i := range min(group, held) {
		n := (i*(held/min(group, held)) + int(version)*7) % held
		r := benchRecord(n)
		r.Revision = version
		d.Records, d.Customers = append(d.Records, r), append(d.Customers, benchCustomer(n, version))
	}
	return d
}

// costs reports what a loop cost a record: time, and processor time, which says more where others use the machine too.
type costs struct {
	b   *testing.B
	cpu time.Duration
	on  time.Duration // when the clock was started last
}

func (c *costs) start() { c.on = used(c.b); c.b.StartTimer() }
func (c *costs) stop()  { c.b.StopTimer(); c.cpu += used(c.b) - c.on }

func (c *costs) report() {
	records := float64(c.b.N) * group
	c.b.ReportMetric(float64(c.b.Elapsed().Microseconds())/records, "us/record")
	c.b.ReportMetric(float64(c.cpu.Microseconds())/records, "cpu-us/record")
}

// used answers the processor time of this process, of all its threads.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs what a loop does, counting only what comes after prepare.
func measured[T any](b *testing.B, prepare func() T, run func(T)) {
	c := &costs{b: b}
	for b.Loop() {
		b.StopTimer()
		with := prepare()
		c.start()
		run(with)
		c.stop()
		b.StartTimer()
	}
	c.report()
}

// spread picks one of the held records, far from the one before.
func spread(n, held int) int { return int(mix(uint64(n)) % uint64(max(1, held))) } //nolint:gosec // below held

func mix(x uint64) uint64 { // the finaliser of SplitMix64
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func benchID(n int) (out customer.RecordID) {
	binary.BigEndian.PutUint64(out[:8], mix(uint64(n)))
	binary.BigEndian.PutUint64(out[8:], uint64(n))
	return out
}

func benchKeys(n int) []customer.Key {
	out := make([]customer.Key, 0, keysOf)
	start := 0
	for i := range len(benched) + 1 {
		if i == len(benched) || benched[i] == ' ' {
			hash := mix(uint64(n*keysOf + len(out)))
			if len(out) == 0 {
				hash = mix(uint64(n % 1000)) // shared by many: over its cap
			}
			out = append(out, customer.Key{Type: benched[start:i], Hash: hash})
			start = i + 1
		}
	}
	return out
}

func benchNode(n int) (id customer.NodeID) {
	binary.BigEndian.PutUint64(id[:], mix(uint64(n)))        //nolint:gosec // not negative
	binary.BigEndian.PutUint64(id[8:], mix(uint64(n)+1<<40)) //nolint:gosec // not negative
	return id
}

func benchRecord(n int) *customer.Record {
	v := version(strconv.Itoa(n))
	r := &customer.Record{ID: benchID(n), Source: "shop", Key: strconv.Itoa(n), Born: at, Revision: 1, Scopes: []customer.Scope{{
		Name: "sequence:s", Head: v, Snapshot: v,
	}}}
	for _, p := range []customer.Path{
		{Name: "birthDate"}, {Name: "email", ID: "0"}, {Name: "familyName"}, {Name: "givenName"}, {Name: "phone", ID: "0"},
	} {
		r.Scopes[0].Cells = append(r.Scopes[0].Cells, customer.Cell{
			Path: p, State: customer.Set, Value: customer.Text("value " + strconv.Itoa(n)), Version: v,
			At: at, Event: "shop/shop.webhooks/0/" + strconv.Itoa(n),
		})
	}
	return r
}

func benchCustomer(n int, version int64) *customer.Customer {
	r := benchRecord(n)
	c := &customer.Customer{
		ID: benchID(n).Birth(0), Version: version, Status: customer.Active, CreatedAt: at, UpdatedAt: at,
		Members: []customer.Member{{Record: r.ID, Source: r.Source, Key: r.Key}},
	}
	for _, cell := range r.Scopes[0].Cells {
		c.Attributes = append(c.Attributes, customer.Attribute{Path: cell.Path, Rule: "only", Claim: customer.Claim{
			Value: cell.Value, Source: r.Source, Key: r.Key, Version: cell.Version, At: cell.At, Event: cell.Event,
		}})
	}
	return c
}

func newcomers(from, n int) customer.Delta {
	d := customer.Delta{}
	for i := from; i < from+n; i++ {
		id := benchID(i)
		d.Records = append(d.Records, benchRecord(i))
		d.Keys = append(d.Keys, customer.KeySet{Node: benchNode(i), Keys: benchKeys(i)})
		d.Members = append(d.Members, customer.Membership{
			Record: id, Component: id, Customer: id.Birth(0), Live: true, Node: benchNode(i),
		})
		d.Customers = append(d.Customers, benchCustomer(i, 1))
	}
	return d
}

func benchApply(b *testing.B, s Store, d customer.Delta) {
	b.Helper()
	if err := s.Update(b.Context(), func(tx customer.Tx) error { return tx.Apply(b.Context(), &d) }); err != nil {
		b.Fatal(err)
	}
}

func benchView(b *testing.B, s Store, fn func(customer.View) error) {
	b.Helper()
	if err := s.View(b.Context(), fn); err != nil {
		b.Fatal(err)
	}
}
