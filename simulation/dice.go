package simulation

import (
	"math/bits"
	"math/rand/v2"
)

// dice are random numbers that depend on the town's seed and on whose they are, on nothing else: PCG, whose numbers the standard
// library keeps the same. What is drawn from them is drawn here, with integers, so that no other machine draws differently.
type dice struct{ pcg rand.PCG }

// What dice are thrown for; each its own stream.
const (
	forUnit = iota + 1
	forHome
	forOwnHome
	forKnown
	forOrder // of opening
	forStory
	forProfile
	forContact
	forAct
	forEntry
	forIDs
	forFirm
)

func throw(seed uint64, what int, n uint64) dice {
	var d dice
	d.pcg.Seed(mix(seed^uint64(what)*0x9e3779b97f4a7c15), mix(n+uint64(what)))
	return d
}

// mix spreads a number over 64 bits (the finaliser of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (d *dice) next() uint64 { return d.pcg.Uint64() }

// below draws 0 to n-1.
func (d *dice) below(n int) int {
	hi, _ := bits.Mul64(d.next(), uint64(n))
	return int(hi)
}

// between draws a to b, both among them.
func (d *dice) between(a, b int) int { return a + d.below(b-a+1) }

// chance tells whether something of a rate happens. The product with a power of two is exact on every machine.
func (d *dice) chance(rate float64) bool { return d.next()>>11 < uint64(rate*(1<<53)) }

// size draws a number around a usual one: mostly smaller, seldom much larger, at least 1/8 of it.
func (d *dice) size(usual int64) int64 {
	n := usual/8 + int64(d.below(int(usual)))
	for range 4 {
		if !d.chance(0.3) {
			break
		}
		n += int64(d.below(int(2 * usual)))
	}
	return n
}

func pick[T any](d *dice, of []T) T { return of[d.below(len(of))] }

// digits draws n digits, the first not 0.
func (d *dice) digits(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + d.below(10))
	}
	if b[0] == '0' {
		b[0] = '7'
	}
	return string(b)
}

// The alphabets of ids.
const (
	capitals = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	letters  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	hexes    = "0123456789abcdef"
)

// word draws n letters of an alphabet, as systems make their ids.
func (d *dice) word(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[d.below(len(alphabet))]
	}
	return string(b)
}

// uuid draws a UUID of version 4.
func (d *dice) uuid() string {
	hi, lo := d.next(), d.next()
	b := make([]byte, 36)
	for i := range b {
		switch i {
		case 8, 13, 18, 23:
			b[i] = '-'
			continue
		}
		b[i] = hexes[hi&15]
		hi = hi>>4 | lo<<60
		lo >>= 4
	}
	b[14], b[19] = '4', "89ab"[int(b[19])&3]
	return string(b)
}

// scatter maps 0 to m-1 onto itself without order: numbers that are given away once each, but do not look counted. Of m, the prime
// factors are 2 and 5 only.
func scatter(seed, x, m uint64) uint64 {
	return (x*6_364_137 + seed%m) % m
}
