package simulation

import (
	"embed"
	"slices"
	"strconv"
	"strings"
)

//go:embed tables/*.txt
var files embed.FS

// country indexes the countries that the town's people live in.
type country uint8

// The countries.
const (
	us country = iota
	de
	es
	it
	ch
	fr
	countries
)

// nation is what is settled about a country.
type nation struct {
	code, name, dial, currency string
	iban                       string // country code of the accounts that its people hold; empty: numbers without an IBAN
	bic                        string
	share                      int     // of the town's people, in a hundred
	sharesName                 float64 // of couples
	common                     float64 // of families: their name stands in the table; the others' is put together, for the long tail
}

func nations() [countries]nation {
	return [countries]nation{
		us: {"US", "United States", "+1", "USD", "", "TOWNUS33XXX", 40, 0.80, 1},
		de: {"DE", "Germany", "+49", "EUR", "DE", "TOWNDEFFXXX", 20, 0.75, 0.25},
		es: {"ES", "Spain", "+34", "EUR", "ES", "TOWNESMMXXX", 12, 0, 1},
		it: {"IT", "Italy", "+39", "EUR", "IT", "TOWNITMMXXX", 10, 0.05, 0.15},
		ch: {"CH", "Switzerland", "+41", "CHF", "CH", "TOWNCHZZXXX", 10, 0.70, 0.30},
		fr: {"FR", "France", "+33", "EUR", "FR", "TOWNFRPPXXX", 8, 0.75, 0.15},
	}
}

// place is a city.
type place struct{ name, region, code, zip, area string }

// gazette is what one country's people, firms and streets are called.
type gazette struct {
	nation
	given   [2]weighted // male, female
	family  weighted
	parts   [3][]string // family names beyond the table are put together of these: some have a first, all a middle and an end
	streets []string
	trades  []string
	forms   []string
	cities  weighted
	places  []place
}

// weighted draws names as often as they occur.
type weighted struct {
	names []string
	until []int
}

func (w *weighted) add(name string, weight int) {
	if n := len(w.until); n > 0 {
		weight += w.until[n-1]
	}
	w.names, w.until = append(w.names, name), append(w.until, weight)
}

func (w *weighted) index(d *dice) int {
	i, found := slices.BinarySearch(w.until, d.below(w.until[len(w.until)-1]))
	if found {
		i++
	}
	return i
}

func (w *weighted) draw(d *dice) string { return w.names[w.index(d)] }

// rewrite is one way in which a part of a name is misread or misheard.
type rewrite struct{ where, from, to string }

// tables are the names and places that the town is made of, and the ways to get them wrong.
type tables struct {
	countries [countries]gazette
	nicknames map[string][]string
	ocr       []rewrite
	sounds    []rewrite
}

// newTables reads the tables of the program; that they read is tested.
func newTables() *tables {
	t := &tables{nicknames: map[string][]string{}}
	for cc, n := range nations() {
		g := &t.countries[cc]
		g.nation = n
		rows("tables/"+strings.ToLower(n.code)+".txt", g.read)
	}
	rows("tables/nicknames.txt", func(r []string) { t.nicknames[r[0]] = strings.Fields(r[1]) })
	rows("tables/ocr.txt", func(r []string) { t.ocr = append(t.ocr, rewrite{"all", r[1], r[0]}, rewrite{"all", r[0], r[1]}) })
	rows("tables/sounds.txt", func(r []string) { t.sounds = append(t.sounds, rewrite{r[0], r[1], r[2]}) })
	return t
}

// rows calls fn for each line of a table.
func rows(file string, fn func([]string)) {
	b, err := files.ReadFile(file)
	if err != nil {
		panic("simulation: " + err.Error()) // the tables are part of the program
	}
	for line := range strings.Lines(string(b)) {
		fn(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
	}
}

func (g *gazette) read(r []string) {
	weight := func(i int) int {
		n, err := strconv.Atoi(r[i])
		if err != nil {
			panic("simulation: " + err.Error()) // as above
		}
		return n
	}
	switch r[0] {
	case "m":
		g.given[0].add(r[1], weight(2))
	case "f":
		g.given[1].add(r[1], weight(2))
	case "s":
		g.family.add(r[1], weight(2))
	case "fore":
		g.parts[0] = append(g.parts[0], r[1])
	case "head":
		g.parts[1] = append(g.parts[1], r[1])
	case "tail":
		g.parts[2] = append(g.parts[2], r[1])
	case "street":
		g.streets = append(g.streets, r[1])
	case "trade":
		g.trades = append(g.trades, r[1])
	case "form":
		g.forms = append(g.forms, r[1])
	case "city":
		g.cities.add(r[1], weight(6))
		g.places = append(g.places, place{name: r[1], region: r[2], code: r[3], zip: r[4], area: r[5]})
	}
}

// country draws where somebody lives.
func (t *tables) country(d *dice) country {
	n := d.below(100)
	for cc := range t.countries {
		if n -= t.countries[cc].share; n < 0 {
			return country(cc)
		}
	}
	return us
}

// line is one line of an order.
type line struct {
	article, quantity int
	cents             int64 // a piece
}

// basket answers what an order holds, and its sum.
func (t *Town) basket(n uint64) (lines []line, total int64) {
	d := throw(t.config.Seed, forEntry, n)
	for range d.between(1, 4) {
		l := line{article: d.below(400), quantity: 1, cents: d.size(4_900)}
		if d.chance(0.2) {
			l.quantity += d.between(1, 3)
		}
		total += int64(l.quantity) * l.cents
		if lines = append(lines, l); d.chance(0.5) {
			break
		}
	}
	return lines, total
}

// refunded answers how much of an order was given back: all of it, or its first line.
func (t *Town) refunded(n uint64) int64 {
	lines, total := t.basket(n)
	if n%2 == 0 {
		return total
	}
	return int64(lines[0].quantity) * lines[0].cents
}

func articles() []string {
	return []string{
		"Olive oil 1 l", "Linen shirt", "Desk lamp", "Teapot", "Hiking socks", "Notebook A5", "Garden shears", "Espresso cups, set of 4",
		"Wool blanket", "Cutting board", "Bicycle bell", "Rain jacket", "Candle \"Nordlicht\"", "Crème brûlée torch", "Salt & pepper mills",
	}
}

// entry is one booking of an account.
type entry struct {
	n        uint64 // its number; gives its references
	what     int    // of bookings
	cents    int64
	credit   bool
	status   string
	reversal bool
	at       uint32
}

// signed answers what it does to the balance: nothing unless it is booked.
func (e entry) signed() int64 {
	switch {
	case e.status != "BOOK":
		return 0
	case e.credit:
		return e.cents
	}
	return -e.cents
}

// booking is a sort of entry, with its ISO bank transaction code and how often it is, in a hundred.
type booking struct {
	domain, family, sub string
	credit              bool
	usual               int64
	share               int
	text                string
}

// The sorts of entries that others ask for by name.
const (
	salary = iota
	cardPayment
	transferOut
	transferIn
	directDebit
	cash
	fees
)

func bookings() []booking {
	return []booking{
		salary:      {"PMNT", "RCDT", "SALA", true, 290_000, 8, "Salary"},
		cardPayment: {"PMNT", "CCRD", "POSD", false, 4_200, 46, "Card payment"},
		transferOut: {"PMNT", "ICDT", "ESCT", false, 28_000, 14, "Transfer"},
		transferIn:  {"PMNT", "RCDT", "ESCT", true, 21_000, 12, "Transfer"},
		directDebit: {"PMNT", "RDDT", "ESDD", false, 6_900, 12, "Direct debit"},
		cash:        {"PMNT", "CCRD", "CWDL", false, 12_000, 6, "Cash"},
		fees:        {"ACMT", "MDOP", "FEES", false, 500, 2, "Fees"},
	}
}

// entries answers what an act books: a reversal one earlier direct debit, the other acts one to five new ones.
func (t *Town) entries(a *act) []entry {
	if a.kind == bankReversal {
		e := t.drawn(a.ref, a.since)[a.other]
		e.credit, e.reversal, e.at = !e.credit, true, a.at
		e.n |= 1 << 63
		return []entry{e}
	}
	return t.drawn(a.n, a.at)
}

func (t *Town) drawn(n uint64, at uint32) []entry {
	d := throw(t.config.Seed, forEntry, n)
	out := make([]entry, d.between(1, 5))
	sorts := bookings()
	for i := range out {
		lot, what := d.below(100), 0
		for lot -= sorts[0].share; lot >= 0; lot -= sorts[what].share {
			what++
		}
		out[i] = entry{n: n<<3 | uint64(i), what: what, cents: d.size(sorts[what].usual), credit: sorts[what].credit, status: "BOOK", at: at}
		switch lot := d.below(100); {
		case lot < 4 && what == cardPayment:
			out[i].status = "PDNG"
		case lot < 6:
			out[i].status = "INFO"
		}
	}
	return out
}
