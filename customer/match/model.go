package match

import (
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Model is everything that a score depends on besides the two records: constants, and a snapshot of statistics that is frozen
// with it. It is data, so that a trained one can be written down, versioned and compared.
type Model struct {
	Version  string     `json:"version"`
	Snapshot Snapshot   `json:"snapshot"`
	Weights  Parameters `json:"weights"`
}

// Snapshot is what was counted in the live records when the model was made. Scores read only the snapshot, never live counts:
// otherwise they would depend on the order of arrival (invariant 4).
type Snapshot struct {
	Records    int64  `json:"records"` // live; the threshold grows with it
	Households Rate   `json:"households"`
	Given      Counts `json:"given"`
	Family     Counts `json:"family"`
	City       Counts `json:"city"`
	Postcode   Counts `json:"postcode"`
	BirthPlace Counts `json:"birthPlace"`
	Job        Counts `json:"job"`
}

// Rate tells, of the pairs of records that share family name and address, how many differ in both given name and birth date.
// Where families live it is above a half; where the shared address is the same person's, next to nothing.
type Rate struct {
	Pairs  int64 `json:"pairs"`
	Differ int64 `json:"differ"`
}

// FewPairs is how many pairs a household rate must rest on to be believed.
const FewPairs = 20

// Live tells whether families share addresses in these records. Without evidence they do: the cautious answer.
func (r Rate) Live() bool { return r.Pairs < FewPairs || r.Differ*10 >= r.Pairs }

// Counts is how often values were seen, and of how many records that have one. The values stand there as fingerprints, so that a snapshot
// that is kept holds nothing of anybody who is erased.
type Counts struct {
	Present int64            `json:"present"`
	Of      map[uint64]int64 `json:"of,omitempty"`
}

// MaxCounted bounds the values that are counted apart, the rarest are left out first (invariant 10): what is seen as rarely as these is
// taken for what was not seen.
const MaxCounted = 100_000

// fingerprint is FNV-1a.
func fingerprint(value string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(value) {
		h = (h ^ uint64(value[i])) * 1099511628211
	}
	return h
}

// Parameters are the constants of the model, all in bits. They were set by hand on public data sets; training replaces them.
type Parameters struct {
	Given, Family Name
	Cross         customer.Weight // given and family name fit only crosswise
	Middle        Vote
	Suffix        customer.Weight // junior and senior
	Kind          customer.Weight // a person and an organisation
	Birth         [birthLevels]customer.Weight
	Email         Email
	Phone         [phoneLevels]customer.Weight
	Identifier    [identifierLevels]customer.Weight
	Gender        Vote
	Place         Place
	BirthPlace    Trait
	Job           Trait
	Household     Household
	Threshold     Threshold
	Cluster       Guard
}

// Vote is what agreement adds and disagreement takes away.
type Vote struct{ Agree, Differ customer.Weight }

// Trait is what a value weighs by its frequency: within Least and Most if equal, Differ if not; Unseen is the share of records
// that a value which the reference does not know is taken to have, as one in so many.
type Trait struct {
	Least, Most, Differ customer.Weight
	Unseen              int64
}

// Name is what a name weighs: agreement by its frequency, and how much less each lesser likeness.
type Name struct {
	Trait
	Less [nameLevels]customer.Weight
}

// Email is what an e-mail address weighs.
type Email struct {
	Levels [emailLevels]customer.Weight
	Told   customer.Weight // of a name that the address spells, half of at most this much was said by the name already
	Least  customer.Weight // but so much an equal address always adds
}

// Place is what the parts of an address weigh, and between what bounds their sum is kept.
type Place struct {
	Street, StreetNear, StreetDiffer customer.Weight
	Number, NumberNear, NumberDiffer customer.Weight
	Extra                            customer.Weight
	City, Postcode                   Trait
	Near                             customer.Weight // less than equal, for a city or postcode with a slip
	Least, Most                      customer.Weight // bounds of the sum
	MostAlone                        customer.Weight // upper bound where no families share addresses
	Same, Like                       customer.Weight // from these sums on it is the same place, or one like it
}

// Household caps what people of one household share: family name, place, phone, an e-mail that is not one's own.
type Household struct {
	Silent, Against, Both customer.Weight // nothing personal agrees; given name or birth date differ; both do
	Half                  customer.Weight // the given name half agrees, family name and phone or e-mail do
	OwnEmails             customer.Weight // each has an e-mail that spells the own, different given name
}

// Threshold is what a pair must reach: half of what it could have said, within bounds, and more where there are more records.
type Threshold struct {
	Least, Most         customer.Weight
	Base                int64 // records at which nothing is added
	SizeLeast, SizeMost customer.Weight
	Possible            customer.Weight // so far below the threshold an edge is still worth a look
	Alone               customer.Weight // so far below it stays what only one shareable thing speaks for
}

// Guard is how the evidence between two clusters is averaged.
type Guard struct {
	Margin       customer.Weight // mean that joins
	Least, Most  customer.Weight // bounds of one pair's vote
	Both         customer.Weight // vote of a pair that differs in given name and birth date
	Namesake     customer.Weight // vote of a pair of one given name whose birth dates are far apart: parent and child
	Contradicted customer.Weight // vote of a pair that one personal trait speaks against
	Quiet        customer.Weight // least vote of a pair that differs in no name and no identifier
}

// DefaultVersion names the model that ships with this release.
const DefaultVersion = "2026.1"

func bits(b float64) customer.Weight { return customer.Weight(math.Round(b * float64(customer.Bits))) }

// Default answers the model that ships with us: for ten thousand people of any country who live in households.
func Default() *Model {
	return &Model{Version: DefaultVersion, Snapshot: Snapshot{Records: 10_000}, Weights: parameters()}
}

func parameters() Parameters {
	less := [nameLevels]customer.Weight{
		nameEqual: 0, nameSlip: bits(3.5), namePet: bits(3.5), namePart: bits(3.5), nameClose: bits(4), namePrefix: bits(4.5),
		nameAlike: bits(6), nameSound: bits(6),
	}
	return Parameters{
		Given:  Name{Trait: Trait{Least: bits(3), Most: bits(12), Differ: bits(-7), Unseen: 3000}, Less: less},
		Family: Name{Trait: Trait{Least: bits(3), Most: bits(13), Differ: bits(-5), Unseen: 5000}, Less: less},
		Cross:  bits(-3),
		Middle: Vote{Agree: bits(2.5), Differ: bits(-2)},
		Suffix: bits(-12),
		Kind:   bits(-12),
		Birth: [birthLevels]customer.Weight{
			birthEqual: bits(14), birthJanuary: bits(8), birthSlip: bits(7.5), birthYearOnly: bits(5), birthYearMonth: bits(4),
			birthYearDay: bits(5), birthMonthDay: bits(6), birthMonthDayFar: bits(3), birthMonthNear: bits(4), birthTwoSlips: bits(1),
			birthYearNear: bits(-0.5), birthDecade: bits(-3), birthDiffers: bits(-6.5),
		},
		Email: Email{
			Levels: [emailLevels]customer.Weight{
				emailEqual: bits(16), emailSlip: bits(12), emailLocal: bits(8), emailBox: bits(3), emailDiffers: bits(-1),
			},
			Told: bits(6), Least: bits(6),
		},
		Phone:      [phoneLevels]customer.Weight{phoneEqual: bits(13), phoneSlip: bits(8), phoneDiffers: bits(-0.5)},
		Identifier: [identifierLevels]customer.Weight{idStrong: bits(20), idSlip: bits(11), idWeak: bits(13), idDiffers: bits(-5)},
		Gender:     Vote{Agree: bits(0.9), Differ: bits(-3.5)},
		Place: Place{
			Street: bits(8), StreetNear: bits(6.5), StreetDiffer: bits(-1.5),
			Number: bits(5), NumberNear: bits(2), NumberDiffer: bits(-1),
			Extra:    bits(6),
			City:     Trait{Least: bits(0.5), Most: bits(9), Differ: bits(-1), Unseen: 64},
			Postcode: Trait{Least: bits(0.5), Most: bits(11), Differ: bits(-1), Unseen: 1000},
			Near:     bits(3), Least: bits(-3), Most: bits(17), MostAlone: bits(24), Same: bits(10), Like: bits(4),
		},
		BirthPlace: Trait{Least: bits(0.5), Most: bits(9), Differ: bits(-1.5), Unseen: 64},
		Job:        Trait{Least: bits(0.5), Most: bits(9), Differ: bits(-1), Unseen: 16},
		Household:  Household{Silent: bits(10), Against: bits(8), Both: 0, Half: bits(16.5), OwnEmails: bits(8)},
		Threshold: Threshold{
			Least: bits(13), Most: bits(18), Base: 10_000, SizeLeast: bits(-4), SizeMost: bits(10), Possible: bits(2), Alone: bits(1),
		},
		Cluster: Guard{
			Margin: bits(-2), Least: bits(-20), Most: bits(15), Both: bits(-14), Namesake: bits(-60), Contradicted: bits(-6), Quiet: bits(-4),
		},
	}
}

// frequencies answers what agreement on a value weighs: log2(.8 / p), where p is its share of the records, the reference
// counting like a thousand records.
type frequencies struct {
	trait  Trait
	known  map[uint64]customer.Weight
	unseen customer.Weight
}

const referenceRecords = 1000

// agreeing is the share of one party's records that agree in such a value.
const agreeing = .8

func newFrequencies(t Trait, seen Counts, shares map[string]float64) *frequencies {
	f := &frequencies{trait: t, known: make(map[uint64]customer.Weight, len(shares)+len(seen.Of))}
	weigh := func(count int64, p0 float64) customer.Weight {
		p := (float64(count) + referenceRecords*p0) / (float64(seen.Present) + referenceRecords)
		return min(max(bits(math.Log2(agreeing/p)), t.Least), t.Most)
	}
	least := 1 / float64(t.Unseen)
	for value, count := range seen.Of {
		f.known[value] = weigh(count, least)
	}
	for value, share := range shares {
		v := fingerprint(value)
		f.known[v] = weigh(seen.Of[v], max(share, least))
	}
	f.unseen = weigh(0, least)
	return f
}

// of answers the weight of one value.
func (f *frequencies) of(value string) customer.Weight {
	if w, ok := f.known[fingerprint(value)]; ok {
		return w
	}
	return f.unseen
}

// ofName answers the weight of a name of several words: of the rarest.
func (f *frequencies) ofName(words []string) customer.Weight {
	w := customer.Weight(0)
	for _, word := range words {
		w = max(w, f.of(word))
	}
	return w
}

// size answers what a number of records adds to the threshold: two bits for every factor of four, in such steps that a new one
// is a new model.
func (t *Threshold) size(records int64) customer.Weight {
	if records <= 0 || t.Base <= 0 {
		return 0
	}
	steps := math.Round(math.Log2(float64(records)/float64(t.Base)) / 2)
	return min(max(bits(2*steps), t.SizeLeast), t.SizeMost)
}

// Survey counts what a snapshot holds in the features of live records: how often each value occurs, and whether families share addresses
// in them. The order of the records makes no difference.
type Survey struct {
	snapshot Snapshot
	homes    map[uint64][]inhabitant // by family name and street address
}

type inhabitant struct {
	given string
	birth customer.Date
}

// Surveyed answers the snapshot of records.
func Surveyed(all []*customer.Features) Snapshot {
	var s Survey
	for _, f := range all {
		s.Add(f)
	}
	return s.Snapshot()
}

// Add counts one live record.
func (s *Survey) Add(f *customer.Features) {
	n := &s.snapshot
	n.Records++
	n.Given.see(f.Given...)
	n.Family.see(f.Family...)
	n.BirthPlace.see(f.BirthPlace)
	n.Job.see(f.Job)
	var cities, codes []string
	for i := range f.Places {
		cities, codes = append(cities, f.Places[i].City), append(codes, f.Places[i].Postcode)
	}
	n.City.see(cities...)
	n.Postcode.see(codes...)
	if len(f.Given) == 0 || len(f.Family) == 0 || f.Birth == (customer.Date{}) || len(f.Places) == 0 {
		return
	}
	if p := &f.Places[0]; p.Street != "" && p.Number != "" {
		at := fingerprint(strings.Join([]string{strings.Join(f.Family, " "), p.Street, p.Number, p.Postcode}, "\x00"))
		if s.homes == nil {
			s.homes = map[uint64][]inhabitant{}
		}
		if len(s.homes[at]) <= DefaultCap { // one more shows that there are too many
			s.homes[at] = append(s.homes[at], inhabitant{f.Given[0], f.Birth})
		}
	}
}

// Snapshot answers what was counted. Those who share family name and street address are compared in groups of at most DefaultCap.
func (s *Survey) Snapshot() Snapshot {
	out := s.snapshot
	for _, home := range s.homes {
		if len(home) > DefaultCap {
			continue
		}
		for i, a := range home {
			for _, b := range home[:i] {
				out.Households.Pairs++
				if a.given != b.given && spelling.Likeness(a.given, b.given) < 830 && birth(a.birth, b.birth) <= birthDecade {
					out.Households.Differ++
				}
			}
		}
	}
	for _, c := range []*Counts{&out.Given, &out.Family, &out.City, &out.Postcode, &out.BirthPlace, &out.Job} {
		c.bound()
	}
	return out
}

// see counts the distinct values of one record.
func (c *Counts) see(values ...string) {
	values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
	if len(values) == 0 {
		return
	}
	if c.Of == nil {
		c.Of = map[uint64]int64{}
	}
	c.Present++
	slices.Sort(values)
	for _, v := range slices.Compact(values) {
		c.Of[fingerprint(v)]++
	}
}

// bound leaves out the rarest values of too many: all that are seen as rarely as one of them, so that no order decides.
func (c *Counts) bound() {
	if len(c.Of) <= MaxCounted {
		return
	}
	counts := slices.Sorted(maps.Values(c.Of))
	least := counts[len(counts)-MaxCounted]
	of := make(map[uint64]int64, MaxCounted)
	for v, n := range c.Of {
		if n > least {
			of[v] = n
		}
	}
	c.Of = of
}
