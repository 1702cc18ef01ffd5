// Package page knows which bytes of a page of an SQLite file are in use, and which pages a write-ahead log holds: as the file format
// defines both (sqlite.org/fileformat2.html, sections 1.6 and 4.1). SQLite itself leaves in a page what stood there before it was
// rebuilt, also with secure_delete; whoever promises that nothing stays has to know where to look.
package page

import (
	"encoding/binary"
	"errors"
)

// Most is the number of pages of a file up to which a page tells by its first byte whether it is one of a b-tree: overflow and free
// pages begin with the number of another page, whose first byte is 0 or 1 up to here. With pages of 4 KiB that is 128 GiB.
const Most = 1 << 25

// ErrDamaged is the answer for a page whose cells do not lie as they must. It is left as it is.
var ErrDamaged = errors.New("the cells of a page do not lie as they must")

// The kinds of b-tree pages, by their first byte.
const (
	interiorIndex = 2
	interiorTable = 5
	leafIndex     = 10
	leafTable     = 13
)

// Cleaner takes from pages what they do not use.
type Cleaner struct {
	Reserved int // bytes at the end of each page that are not SQLite's: byte 20 of the file
	used     []bool
}

// Clean zeroes what the page with this number does not use, in place, if it is one of a b-tree: the gap before its cells, free blocks
// but for their heads, and fragments. It says whether that changed anything. Other pages stay: with secure_delete SQLite zeroes free
// and overflow pages itself before it uses them again.
func (c *Cleaner) Clean(number uint32, page []byte) (changed bool, err error) {
	t := tree{page: page, size: len(page) - c.Reserved}
	if number == 1 {
		t.head = 100
	}
	if t.size < 480 || len(page) > 1<<16 { // what the format allows
		return false, ErrDamaged
	}
	switch page[t.head] {
	case interiorIndex, interiorTable, leafIndex, leafTable:
		t.kind = page[t.head]
	default:
		return false, nil
	}
	if len(c.used) < t.size {
		c.used = make([]bool, t.size)
	}
	t.used = c.used[:t.size]
	clear(t.used)
	if !t.mark() {
		return false, ErrDamaged
	}
	for i, used := range t.used {
		if !used && page[i] != 0 {
			page[i], changed = 0, true
		}
	}
	return changed, nil
}

// tree is a b-tree page that is looked through.
type tree struct {
	page []byte
	size int // that SQLite uses
	head int // where its header begins
	kind byte
	used []bool
}

func (t *tree) two(at int) int { return int(binary.BigEndian.Uint16(t.page[at:])) }

// mark marks the bytes in use; false if they do not lie as they must.
func (t *tree) mark() bool {
	length := 8
	if t.kind == interiorIndex || t.kind == interiorTable {
		length = 12
	}
	cells := t.two(t.head + 3)
	pointers := t.head + length
	begin := pointers + 2*cells // nothing else may lie before
	if begin > t.size {
		return false
	}
	for i := range begin {
		t.used[i] = true
	}
	for i := range cells {
		at := t.two(pointers + 2*i)
		if at < begin || !t.take(at, t.cell(at)) {
			return false
		}
	}
	// Free blocks are a list in rising order; each begins with the place of the next and its own size.
	last := 0
	for at := t.two(t.head + 1); at != 0; at = t.two(at) {
		if at <= last || at < begin || !t.take(at, 4) {
			return false
		}
		last = at
	}
	return true
}

// take marks bytes that nothing has marked yet.
func (t *tree) take(at, n int) bool {
	if n <= 0 || at+n > t.size {
		return false
	}
	for i := at; i < at+n; i++ {
		if t.used[i] {
			return false
		}
		t.used[i] = true
	}
	return true
}

// cell answers how many bytes of the page a cell takes; 0 if it reaches beyond it.
func (t *tree) cell(at int) int {
	n := 0
	if t.kind == interiorIndex || t.kind == interiorTable {
		n = 4 // the page below
	}
	if t.kind == interiorTable {
		_, k := t.varint(at + n)
		if k == 0 {
			return 0
		}
		return n + k
	}
	payload, k := t.varint(at + n)
	if k == 0 {
		return 0
	}
	n += k
	if t.kind == leafTable {
		if _, k = t.varint(at + n); k == 0 {
			return 0
		}
		n += k
	}
	return max(4, n+t.local(payload))
}

// local answers how many bytes of a payload stand in the page itself, with the number of the first overflow page.
func (t *tree) local(payload uint64) int {
	size := uint64(t.size)
	most := (size-12)*64/255 - 23
	if t.kind == leafTable {
		most = size - 35
	}
	if payload <= most {
		return int(payload)
	}
	least := (size-12)*32/255 - 23
	if part := least + (payload-least)%(size-4); part <= most {
		return int(part) + 4
	}
	return int(least) + 4
}

// varint reads a number of up to nine bytes, and says how many; none if it reaches beyond the page.
func (t *tree) varint(at int) (n uint64, length int) {
	for i := range 9 {
		if at+i >= t.size {
			return 0, 0
		}
		b := t.page[at+i]
		if i == 8 {
			return n<<8 | uint64(b), 9
		}
		n = n<<7 | uint64(b&0x7f)
		if b < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}
