// Package lexicon is what the shipped tables know of people's names: how many bear one, whether it is rather a given or a family name, and
// which names are pet forms of which. It is the same under every model.
package lexicon

import (
	"embed"
	"math"
	"strconv"
	"strings"

	"github.com/onefold/onefold/customer"
)

// tables holds the reference tables of names; where they come from stands beside them.
//
//go:embed tables/given.txt tables/family.txt tables/world.txt tables/nicknames.txt
var tables embed.FS

// Names is what the shipped tables know of names, the same under every model: the share of all people who bear one, the largest
// over the countries. A name that is common anywhere is never rare.
type Names struct {
	Given, Family map[string]float64
	Sex           map[string]byte            // m or f, where one of them bears a given name ten times as often
	Role          map[string]customer.Weight // how much rather a word is a given name than a family name
}

// rareShare stands for the share of a name that a table does not hold, where a name's role or sex is asked for.
const rareShare = 1.0 / 20_000

// ReadNames reads the tables, all of them.
func ReadNames() *Names {
	r := &Names{Given: map[string]float64{}, Family: map[string]float64{}, Sex: map[string]byte{}, Role: map[string]customer.Weight{}}
	male, female := map[string]float64{}, map[string]float64{}
	raise := func(shares map[string]float64, name string, share float64) { shares[name] = max(shares[name], share) }
	counted("tables/family.txt", func(name string, share float64, _ string) { raise(r.Family, name, share) })
	counted("tables/given.txt", func(name string, share float64, sex string) {
		raise(r.Given, name, share)
		switch sex {
		case "m":
			raise(male, name, 2*share)
		case "f":
			raise(female, name, 2*share)
		}
	})
	estimated(func(kind, name string, share float64) {
		switch kind {
		case "s":
			raise(r.Family, name, share)
		case "m":
			raise(male, name, share)
			raise(r.Given, name, share/2)
		case "f":
			raise(female, name, share)
			raise(r.Given, name, share/2)
		}
	})
	for name, share := range r.Given {
		switch m, f := male[name], female[name]; {
		case m >= 10*f && m > 0:
			r.Sex[name] = 'm'
		case f >= 10*m && f > 0:
			r.Sex[name] = 'f'
		}
		r.Role[name] = inBits(math.Log2((share + rareShare) / (r.Family[name] + rareShare)))
	}
	for name, share := range r.Family {
		r.Role[name] = inBits(math.Log2((r.Given[name] + rareShare) / (share + rareShare)))
	}
	return r
}

// counted reads a table of counts: how many people, then a line a name, with how many of them bear it and of which sex they are.
func counted(file string, each func(name string, share float64, sex string)) {
	first, rest, _ := strings.Cut(table(file), "\n")
	people, _ := strconv.ParseInt(first, 10, 64)
	for line := range strings.Lines(rest) {
		words := append(strings.Fields(line), "")
		n, _ := strconv.ParseInt(words[1], 10, 64)
		each(words[0], float64(n)/float64(people), words[2])
	}
}

// estimated reads the table of other countries: a line a country and kind of name, with shares in hundred-thousandths.
func estimated(each func(kind, name string, share float64)) {
	for line := range strings.Lines(table("tables/world.txt")) {
		words := strings.Fields(line)
		if words[0] == "#" {
			continue
		}
		for i := 2; i+1 < len(words); i += 2 {
			n, _ := strconv.ParseInt(words[i+1], 10, 64)
			each(words[1], words[i], float64(n)/100_000)
		}
	}
}

func inBits(b float64) customer.Weight {
	return customer.Weight(math.Round(b * float64(customer.Bits)))
}

func table(file string) string {
	text, err := tables.ReadFile(file)
	if err != nil {
		panic(err) // the table is part of the program
	}
	return string(text)
}

// Pets is the table of short and pet forms of given names. An entry is a formal name and the forms it goes by.
type Pets struct {
	opens map[string]int32   // entry of the formal name
	in    map[string][]int32 // entries that the name is a form in
}

// ReadPets reads the table.
func ReadPets() Pets {
	p := Pets{opens: map[string]int32{}, in: map[string][]int32{}}
	entry := int32(0)
	for line := range strings.Lines(table("tables/nicknames.txt")) {
		words := strings.Fields(line)
		at, again := p.opens[words[0]]
		if !again {
			at = entry
			p.opens[words[0]] = at
			entry++
		}
		for _, word := range words[1:] {
			p.in[word] = append(p.in[word], at)
		}
	}
	return p
}

// Direct tells whether one name is a pet form of the other.
func (p Pets) Direct(a, b string) bool { return p.petOf(a, b) || p.petOf(b, a) }

func (p Pets) petOf(pet, formal string) bool {
	at, ok := p.opens[formal]
	if !ok {
		return false
	}
	for _, e := range p.in[pet] {
		if e == at {
			return true
		}
	}
	return false
}

// Class tells whether both are pet forms of a third.
func (p Pets) Class(a, b string) bool {
	for _, e := range p.in[a] {
		for _, f := range p.in[b] {
			if e == f {
				return true
			}
		}
	}
	return false
}
