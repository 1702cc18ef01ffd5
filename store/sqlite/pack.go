package sqlite

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/onefold/onefold/customer"
)

// packer writes a body: numbers as varints, texts and versions by their place among those written before, so that what many cells of a
// record have in common (their version, their message) is written once.
type packer struct {
	b        []byte
	texts    []string
	versions []customer.Version
}

func (p *packer) num(n int64)   { p.b = binary.AppendVarint(p.b, n) }
func (p *packer) len(n int)     { p.b = binary.AppendUvarint(p.b, uint64(n)) }
func (p *packer) id(b [16]byte) { p.b = append(p.b, b[:]...) }

func (p *packer) flag(f bool) { p.b = append(p.b, byte(flag(f))) }

// text writes 0 and the text itself where it is new, else the number of its place.
func (p *packer) text(s string) {
	behind := max(0, len(p.texts)-window)
	if i := slices.Index(p.texts[behind:], s); i >= 0 {
		p.len(behind + i + 1)
		return
	}
	p.texts = append(p.texts, s)
	p.len(0)
	p.len(len(s))
	p.b = append(p.b, s...)
}

func (p *packer) version(v customer.Version) {
	behind := max(0, len(p.versions)-window)
	if i := slices.Index(p.versions[behind:], v); i >= 0 {
		p.len(behind + i + 1)
		return
	}
	p.versions = append(p.versions, v)
	p.len(0)
	p.text(string(v.Source.Kind))
	p.text(v.Source.Value)
	p.text(v.Source.Scope)
	p.num(v.Mapping)
	p.b = binary.BigEndian.AppendUint64(p.b, v.Hash)
}

// time keeps the instant to the nanosecond and the offset that it was written with, but not the name of its zone.
func (p *packer) time(t time.Time) {
	i := instantOf(t)
	p.num(i[0])
	p.len(int(i[1]))
	p.num(i[2])
}

func (p *packer) path(path customer.Path) {
	p.text(path.Name)
	p.text(path.ID)
}

func (p *packer) value(v customer.Value) {
	p.text(v.Text)
	names := make([]string, 0, len(v.Parts))
	for name := range v.Parts {
		names = append(names, name)
	}
	slices.Sort(names)
	p.len(len(names))
	for _, name := range names {
		p.text(name)
		p.text(v.Parts[name])
	}
}

// amount keeps the digits as they were written (invariant 8); no currency, no amount.
func (p *packer) amount(a customer.Amount) {
	p.text(a.Currency())
	if !a.IsZero() {
		p.text(a.Decimal())
	}
}

// window is how many of the last texts, and of the last versions, are looked at for one that is the same: else a record with many of
// them would cost the square of their number. What is further back is written again, and takes a place again: the reader counts the same.
const window = 100

// unpacker reads what a packer wrote. After the first fault everything is zero, and bad tells.
type unpacker struct {
	form     byte
	b        []byte
	bad      bool
	texts    []string
	versions []customer.Version
}

func (u *unpacker) fail() { u.b, u.bad = nil, true }

func (u *unpacker) num() int64 {
	n, size := binary.Varint(u.b)
	if size <= 0 {
		u.fail()
		return 0
	}
	u.b = u.b[size:]
	return n
}

// len reads a number of bytes, or of elements of a byte at least: never more than there are left.
func (u *unpacker) len() int {
	n := u.place()
	if n > len(u.b) {
		u.fail()
		return 0
	}
	return n
}

func (u *unpacker) place() int {
	n, size := binary.Uvarint(u.b)
	if size <= 0 || n > 1<<31 {
		u.fail()
		return 0
	}
	u.b = u.b[size:]
	return int(n)
}

func (u *unpacker) take(n int) []byte {
	if n > len(u.b) {
		u.fail()
		return make([]byte, n)
	}
	out := u.b[:n]
	u.b = u.b[n:]
	return out
}

func (u *unpacker) id() [16]byte { return [16]byte(u.take(16)) }
func (u *unpacker) flag() bool   { return u.take(1)[0] == 1 }

func (u *unpacker) text() string {
	switch i := u.place(); {
	case u.bad, i > len(u.texts):
		u.fail()
		return ""
	case i > 0:
		return u.texts[i-1]
	}
	s := string(u.take(u.len()))
	u.texts = append(u.texts, s)
	return s
}

func (u *unpacker) version() (v customer.Version) {
	switch i := u.place(); {
	case u.bad, i > len(u.versions):
		u.fail()
		return v
	case i > 0:
		return u.versions[i-1]
	}
	v.Source = customer.SourceVersion{Kind: customer.VersionKind(u.text()), Value: u.text(), Scope: u.text()}
	v.Mapping = u.num()
	v.Hash = binary.BigEndian.Uint64(u.take(8))
	u.versions = append(u.versions, v)
	return v
}

func (u *unpacker) time() time.Time {
	return instant{u.num(), int64(u.place()), u.num()}.time()
}

func (u *unpacker) path() customer.Path { return customer.Path{Name: u.text(), ID: u.text()} }

func (u *unpacker) value() (v customer.Value) {
	v.Text = u.text()
	if n := u.len(); n > 0 {
		v.Parts = make(map[string]string, n)
		for range n {
			name := u.text()
			v.Parts[name] = u.text()
		}
	}
	return v
}

func (u *unpacker) amount() (a customer.Amount) {
	if currency := u.text(); currency != "" {
		var err error
		if a, err = customer.NewAmount(u.text(), currency); err != nil {
			u.fail()
		}
	}
	return a
}

// many reads a list; nil where it is empty.
func many[T any](u *unpacker, read func() T) []T {
	n := u.len()
	if n == 0 {
		return nil
	}
	out := make([]T, 0, min(n, window)) // a damaged number must not cost memory
	for i := 0; i < n && !u.bad; i++ {
		out = append(out, read())
	}
	return out
}
