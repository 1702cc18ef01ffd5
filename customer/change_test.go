package customer_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/explain"
	"github.com/onefold/onefold/customer/review"
	"github.com/onefold/onefold/event"
)

func message() *event.Message { return &event.Message{Source: "s", Topic: "t", Time: start} }

func TestAmount(t *testing.T) {
	for _, c := range []struct {
		value, currency string
		minor           bool
		want            string // empty: refused
	}{
		{"12.50", "eur", false, "12.50 EUR"},
		{"-0.10", "USD", false, "-0.10 USD"},
		{"1250", "EUR", true, "12.50 EUR"},
		{"1250", "JPY", true, "1250 JPY"},
		{"1250", "KWD", true, "1.250 KWD"},
		{"9007199254740993", "EUR", true, "90071992547409.93 EUR"}, // above 2^53
		{"1e3", "EUR", false, "1000 EUR"},
		{"12.5", "EUR", true, ""},
		{"12.50", "XXX", false, ""},
		{"12.50", "D A", false, ""}, // across two codes of the table
		{"12.50", "ÄB", false, ""},
		{"12.50", "", false, ""},
		{"12,50", "EUR", false, ""},
		{"NaN", "EUR", false, ""},
		{"Infinity", "EUR", false, ""},
		{"1e999", "EUR", false, ""},
		{strings.Repeat("9", 41), "EUR", false, ""},
		{strings.Repeat("9", 40), "EUR", true, ""}, // 41 characters with the point
		{strings.Repeat("9", 39), "EUR", true, strings.Repeat("9", 37) + ".99 EUR"},
		{"1234567890123456789012345e20", "EUR", false, ""},
	} {
		read := customer.NewAmount
		if c.minor {
			read = customer.MinorAmount
		}
		a, err := read(c.value, c.currency)
		if got := a.String(); err == nil && got != c.want || err != nil && c.want != "" {
			t.Errorf("%s %s (minor %v) = %q, %v; want %q", c.value, c.currency, c.minor, got, err, c.want)
		}
		if err != nil {
			continue
		}
		body, err := json.Marshal(a)
		var back customer.Amount
		if err != nil || json.Unmarshal(body, &back) != nil || back.String() != a.String() {
			t.Errorf("%s does not survive JSON: %s, %v", a, body, err)
		}
	}
}

func TestVersionOrder(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"9", "10", -1}, {"007", "7", 0}, {"18446744073709551616", "18446744073709551615", 1}} {
		if got := sequence(0, "s").Compare(sequence(0, "s")); got != 0 {
			t.Errorf("a version differs from itself")
		}
		va, err := customer.SequenceVersion(c.a, "s")
		if err != nil {
			t.Fatal(err)
		}
		vb, err := customer.SequenceVersion(c.b, "s")
		if err != nil {
			t.Fatal(err)
		}
		if got := (customer.Version{Source: va}).Compare(customer.Version{Source: vb}); got != c.want {
			t.Errorf("%s against %s: %d, want %d", c.a, c.b, got, c.want)
		}
	}
	for _, bad := range []string{"", "-1", "1.5", "1e3", strings.Repeat("1", 101)} {
		if _, err := customer.SequenceVersion(bad, "s"); err == nil {
			t.Errorf("%q passes for a sequence version", bad)
		}
	}
}

func TestSealRefuses(t *testing.T) {
	good := func() customer.Change {
		return customer.Change{Key: "1", Op: customer.Upsert, Party: []customer.Statement{set("givenName", "Ana")}}
	}
	for name, spoil := range map[string]func(*customer.Change){
		"no key":              func(c *customer.Change) { c.Key = "" },
		"a long key":          func(c *customer.Change) { c.Key = strings.Repeat("k", customer.MaxKey+1) },
		"NUL in the key":      func(c *customer.Change) { c.Key = "a\x00b" },
		"an unknown op":       func(c *customer.Change) { c.Op = "upset" },
		"an unknown field":    func(c *customer.Change) { c.Party[0].Path.Name = "givenname" },
		"a long value":        func(c *customer.Change) { c.Party[0].Value.Text = strings.Repeat("v", customer.MaxValue+1) },
		"invalid UTF-8":       func(c *customer.Change) { c.Party[0].Value.Text = "\xff" },
		"NUL in a value":      func(c *customer.Change) { c.Party[0].Value.Text = "a\x00" },
		"too many statements": func(c *customer.Change) { c.Party = make([]customer.Statement, customer.MaxStatements+1) },
		"a merge of nobody":   func(c *customer.Change) { c.Op = customer.Merge },
		"others of an upsert": func(c *customer.Change) { c.Others = []string{"2"} },
		"an interaction without a key": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order"}}
		},
		"an unknown type of interaction": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "dance", Key: "1"}}
		},
		"an unknown channel": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order", Key: "1", Channel: "telepathy"}}
		},
		"a huge interaction": func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Type: "order", Key: "1", Title: strings.Repeat("t", customer.MaxInteraction+1)}}
		},
	} {
		c := good()
		spoil(&c)
		sealed, refused := customer.Seal([]customer.Change{c, good()}, message(), 1)
		if len(refused) != 1 || len(sealed) != 1 {
			t.Errorf("%s: %d refused, %d sealed; want one each", name, len(refused), len(sealed))
		}
	}
	if _, refused := customer.Seal(make([]customer.Change, customer.MaxChanges+1), message(), 1); len(refused) != 1 {
		t.Errorf("too many changes: %d refused", len(refused))
	}
}

func TestPublished(t *testing.T) {
	id := customer.RecordID{1}.Birth(0)
	other := customer.RecordID{2}.Birth(0)
	for name, c := range map[string]struct {
		customer customer.Customer
		want     string
	}{
		"merged": {customer.Customer{ID: id, Version: 4, Status: customer.Merged, AliasOf: other}, `{"aliasOf":"` + other.String() + `","version":4}`},
		"gone":   {customer.Customer{ID: id, Version: 5, Status: customer.Gone}, ""},
		"erased": {customer.Customer{ID: id, Version: 6, Status: customer.Erased}, ""},
	} {
		got, err := c.customer.Published()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, string(got)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if name != "merged" && got != nil {
			t.Errorf("%s: not a tombstone", name)
		}
	}
}

func TestWeightSurvivesJSON(t *testing.T) {
	for _, w := range []customer.Weight{0, 1, -1, 7 * customer.Bits, -13*customer.Bits - 511, 1<<31 - 1, -1<<31 + 1} {
		body, err := json.Marshal(w)
		var back customer.Weight
		if err != nil || json.Unmarshal(body, &back) != nil || back != w {
			t.Errorf("%d becomes %s and %d: %v", w, body, back, err)
		}
	}
	var w customer.Weight
	for _, bad := range []string{`"7"`, `1e99`, `NaN`, `{}`} {
		if err := json.Unmarshal([]byte(bad), &w); err == nil {
			t.Errorf("%s passes for a weight", bad)
		}
	}
}

// Of a version, a limit or a form, the change that breaks it is refused with a text that says where; its neighbour is not.
func TestSealSaysWhere(t *testing.T) {
	version := func(kind customer.VersionKind, value, scope string) func(*customer.Change) {
		return func(c *customer.Change) {
			c.Version.Source = customer.SourceVersion{Kind: kind, Value: value, Scope: scope}
		}
	}
	interaction := func(spoil func(*customer.Interaction)) func(*customer.Change) {
		return func(c *customer.Change) {
			c.Interactions = []customer.Interaction{{Key: "1", Type: "order"}, {Key: "2", Type: "order"}}
			spoil(&c.Interactions[1])
		}
	}
	says := func(st customer.Statement) func(*customer.Change) {
		return func(c *customer.Change) { c.Party = append(c.Party, st) }
	}
	long := strings.Repeat("x", customer.MaxKey+1)
	far, before := time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(0, 12, 31, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		spoil func(*customer.Change)
		path  string
	}{
		"a time after the year 9999":      {func(c *customer.Change) { c.At = far }, "at"},
		"a time before the year 1":        {func(c *customer.Change) { c.At = before }, "at"},
		"a time that UTC carries over":    {func(c *customer.Change) { c.At = time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -7200)) }, "at"},
		"a long part":                     {func(c *customer.Change) { c.Part = long }, "part"},
		"an unknown kind of version":      {version("x", "1", ""), "version"},
		"a long scope":                    {version(customer.BySequence, "1", strings.Repeat("x", customer.MaxWord+1)), "version"},
		"NUL in a scope":                  {version(customer.BySequence, "1", "\x00"), "version"},
		"a sequence of too many digits":   {version(customer.BySequence, strings.Repeat("9", customer.MaxVersionDigits+1), ""), "version"},
		"a sequence with a leading zero":  {version(customer.BySequence, "01", ""), "version"},
		"a sequence that is no number":    {version(customer.BySequence, "-1", ""), "version"},
		"a time version beyond 9999":      {func(c *customer.Change) { c.Version.Source = customer.TimeVersion(far, "") }, "version"},
		"a time version below 1":          {func(c *customer.Change) { c.Version.Source = customer.TimeVersion(before, "") }, "version"},
		"a time version of a day":         {version(customer.ByTime, "2026-01-02", ""), "version"},
		"a time version with a comma":     {version(customer.ByTime, "2026-01-02T03:04:05,000000000Z", ""), "version"},
		"a position of nothing":           {version(customer.ByPosition, "", ""), "version"},
		"a long position":                 {version(customer.ByPosition, long, ""), "version"},
		"a state that is none":            {says(customer.Statement{Path: customer.Path{Name: "note"}, State: 9}), "note"},
		"a link of the source's own":      {says(customer.Statement{Path: customer.Path{Name: customer.FieldLink, ID: "x"}, State: customer.Set}), customer.FieldLink},
		"an element of what has none":     {says(customer.Statement{Path: customer.Path{Name: "note", ID: "1"}, State: customer.Set}), "note"},
		"a value with two faces":          {says(customer.Statement{Path: customer.Path{Name: "address"}, State: customer.Set, Value: customer.Value{Text: "x", Parts: map[string]string{"a": "b"}}}), "address"},
		"a long name of a part":           {says(customer.Statement{Path: customer.Path{Name: "address"}, State: customer.Set, Value: customer.Value{Parts: map[string]string{long: "b"}}}), "address"},
		"too much stated":                 {func(c *customer.Change) { c.Party = slices.Repeat(tags(1, customer.MaxValue), 65) }, "party"},
		"an interaction after 9999":       {interaction(func(in *customer.Interaction) { in.OccurredAt = far }), "interactions[1].occurredAt"},
		"an interaction of a wild scope":  {interaction(func(in *customer.Interaction) { in.Version = sequence(1, long) }), "interactions[1].version"},
		"too many items":                  {interaction(func(in *customer.Interaction) { in.Items = make([]customer.Item, customer.MaxItems+1) }), "interactions[1]"},
		"too many references":             {interaction(func(in *customer.Interaction) { in.References = make([]customer.Reference, customer.MaxReferences+1) }), "interactions[1]"},
		"too many parties":                {interaction(func(in *customer.Interaction) { in.Parties = make([]customer.Party, customer.MaxParties+1) }), "interactions[1]"},
		"a party with a long role":        {interaction(func(in *customer.Interaction) { in.Parties = []customer.Party{{Role: long, Key: "1"}} }), "interactions[1].parties[0]"},
		"a party with a long key":         {interaction(func(in *customer.Interaction) { in.Parties = []customer.Party{{Role: "payer", Key: long}} }), "interactions[1].parties[0]"},
		"a long type of reference":        {interaction(func(in *customer.Interaction) { in.References = []customer.Reference{{Type: long}} }), "interactions[1].references[0]"},
		"the reversal of an unlikely key": {interaction(func(in *customer.Interaction) { in.ReversalOf = long }), "interactions[1].reversalOf"},
	} {
		good := customer.Change{Key: "1", Op: customer.Patch, Part: "p"}
		bad := good
		c.spoil(&bad)
		sealed, refused := customer.Seal([]customer.Change{bad, good}, message(), 1)
		if len(refused) != 1 || len(sealed) != 1 {
			t.Errorf("%s: %d refused, %d sealed; want one each", name, len(refused), len(sealed))
			continue
		}
		if r := refused[0]; r.Err.Path != c.path || r.Err.Class != event.Poison || len(r.Err.Text) < 20 || len(r.Part) > customer.MaxKey {
			t.Errorf("%s: refused at %q as %q, want %q", name, r.Err.Path, r.Err.Text, c.path)
		}
	}
}

// tags makes n tags of some bytes each.
func tags(n, size int) []customer.Statement {
	out := make([]customer.Statement, n)
	for i := range out {
		out[i] = customer.Statement{
			Path: customer.Path{Name: "tag", ID: strconv.Itoa(i)}, State: customer.Set, Value: customer.Text(strings.Repeat("t", size)),
		}
	}
	return out
}

// Just within every limit a change is taken.
func TestSealTakesWhatIsWithinTheLimits(t *testing.T) {
	key, word := strings.Repeat("k", customer.MaxKey), strings.Repeat("w", customer.MaxWord)
	c := customer.Change{
		Key: key, Op: customer.Upsert, Part: key, At: time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC),
		Version: customer.Version{Source: customer.TimeVersion(time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), word)},
		Party:   append(tags(customer.MaxStatements-1, 0), tags(1, customer.MaxValue)...),
		Interactions: []customer.Interaction{{
			Key: key, Type: "order", ReversalOf: key, OccurredAt: time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC),
			Items: make([]customer.Item, customer.MaxItems), References: make([]customer.Reference, customer.MaxReferences),
			Parties: slices.Repeat([]customer.Party{{Role: word, Key: key}}, customer.MaxParties),
		}},
	}
	zero, err := customer.SequenceVersion("000", word)
	if err != nil {
		t.Fatal(err)
	}
	counted := customer.Change{Key: "1", Op: customer.Patch, Version: customer.Version{Source: zero}}
	if _, refused := customer.Seal([]customer.Change{c, counted}, message(), 1); len(refused) > 0 {
		t.Error(event.Refusals(refused))
	}
}

// The message's own time stands in where the source says none. Whatever a broker's clock has made of it, it can be written.
func TestSealTamesTheMessagesTime(t *testing.T) {
	for _, c := range []struct{ sent, want time.Time }{
		{time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		{time.UnixMilli(math.MaxInt64), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)},
		{time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{start.In(time.FixedZone("", 100*3600)), start},
	} {
		m := &event.Message{Source: "s", Topic: "t", Time: c.sent}
		sealed, refused := customer.Seal([]customer.Change{{Key: "1", Op: customer.Patch}}, m, 1)
		if len(refused) > 0 || !sealed[0].At.Equal(c.want) || sealed[0].At.Location() != time.UTC {
			t.Errorf("sent at %v: %v, %v; want %v", c.sent, sealed, refused, c.want)
		}
		if _, err := json.Marshal(sealed); err != nil {
			t.Error(err)
		}
	}
}

// What means the same has one hash, whatever the form that it came in; what differs has another.
func TestSealHashesTheMeaning(t *testing.T) {
	order := func(in customer.Interaction) customer.Change {
		in.Key, in.Type = "1", "order"
		return customer.Change{Key: "k", Op: customer.Patch, Interactions: []customer.Interaction{in}}
	}
	says := func(v customer.Value) customer.Change {
		return customer.Change{Key: "k", Op: customer.Patch, Party: []customer.Statement{
			{Path: customer.Path{Name: "address"}, State: customer.Set, Value: v},
		}}
	}
	other := order(customer.Interaction{})
	other.Key = "another"
	for _, c := range []struct {
		name string
		a, b customer.Change
		same bool
	}{
		{"no party and the change's own", order(customer.Interaction{}), order(customer.Interaction{Parties: []customer.Party{{Role: "customer", Key: "k"}}}), true},
		{"no party, in changes about two", order(customer.Interaction{}), other, false},
		{"an instant in two zones", order(customer.Interaction{OccurredAt: start}), order(customer.Interaction{OccurredAt: start.In(time.FixedZone("", 3600))}), true},
		{"two instants", order(customer.Interaction{OccurredAt: start}), order(customer.Interaction{OccurredAt: start.Add(1)}), false},
		{"what the Registry sets", order(customer.Interaction{}), order(customer.Interaction{ID: customer.InteractionID{1}}), true},
		{"no parts and empty parts", says(customer.Value{}), says(customer.Value{Parts: map[string]string{}}), true},
	} {
		sealed, refused := customer.Seal([]customer.Change{c.a, c.b}, message(), 1)
		if len(refused) > 0 {
			t.Fatal(event.Refusals(refused))
		}
		a, b := sealed[0], sealed[1]
		same := a.Version == b.Version
		if len(a.Interactions) > 0 {
			same = a.Interactions[0].Version == b.Interactions[0].Version
		}
		if same != c.same {
			t.Errorf("%s: the same is %v, want %v", c.name, same, c.same)
		}
		if c.same {
			if diff := cmp.Diff(a, b, cmp.Comparer(func(a, b customer.Amount) bool { return a.String() == b.String() })); diff != "" {
				t.Errorf("%s: sealed they differ:\n%s", c.name, diff)
			}
		}
	}
	in := []customer.Change{says(customer.Value{Parts: map[string]string{}}), order(customer.Interaction{})}
	if _, refused := customer.Seal(in, message(), 1); len(refused) > 0 || in[0].Party[0].Value.Parts == nil || in[1].Interactions[0].Parties != nil {
		t.Errorf("sealing writes into what the adapter made: %v", in)
	}
}

func TestValueSaysNothingInOneWay(t *testing.T) {
	none, empty := customer.Value{}, customer.Value{Parts: map[string]string{}}
	a, err := json.Marshal(none)
	b, err2 := json.Marshal(empty)
	if err != nil || err2 != nil || string(a) != string(b) || !none.Equal(empty) {
		t.Errorf("no parts and empty parts are %s and %s: %v, %v", a, b, err, err2)
	}
}

func TestStateOfNoName(t *testing.T) {
	if got := customer.State(9).String(); got != "none" {
		t.Errorf("a state that is none is called %q", got)
	}
}

// A source without versions of its own is put in order by the place of its messages. Within a topic that is the order of partition and
// offset; the ids that Kafka gives to a topic and to one of the same name made later are in no order of time.
func TestPositionVersions(t *testing.T) {
	at := func(topic string, partition int32, offset int64) customer.Version {
		return customer.Version{Source: customer.PositionVersion(&event.Message{TopicID: topic, Partition: partition, Offset: offset})}
	}
	ordered := []customer.Version{at("a", 0, 9), at("a", 0, 10), at("a", 2, 0), at("a", 10, 0), at("a", 10, math.MaxInt64)}
	for i := range ordered {
		for j := range ordered {
			if got, want := ordered[i].Compare(ordered[j]), strconv.Itoa(i-j); (got < 0) != strings.HasPrefix(want, "-") || (got == 0) != (i == j) {
				t.Errorf("place %d against place %d: %d", i, j, got)
			}
		}
	}
	if at("a", 0, 1<<40).Compare(at("b", 0, 0)) >= 0 || at("b", 0, 0).Compare(at("a", 0, 1<<40)) <= 0 {
		t.Error("places on two topics of one name have no fixed order")
	}
}

// The table of limits says what the program does (invariant 10).
func TestLimitsAreWritten(t *testing.T) {
	page, err := os.ReadFile("../docs/identity.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := string(page)
	for what, limit := range map[string]int{
		"changes of a message": customer.MaxChanges, "statements of a change": customer.MaxStatements,
		"bytes of all statements of a change":                                                 customer.MaxStated,
		"interactions of a change, other keys that it names":                                  customer.MaxPerChange,
		"bytes of a key, an element id, the path of a part":                                   customer.MaxKey,
		"bytes of a role, a type of reference, the name of a value's part, a version's scope": customer.MaxWord,
		"digits of a sequence version":                                                        customer.MaxVersionDigits, "bytes of a text, of a part of a value": customer.MaxValue,
		"parts of a value": customer.MaxParts, "bytes of an interaction": customer.MaxInteraction,
		"items of an interaction": customer.MaxItems, "references of an interaction": customer.MaxReferences,
		"parties of an interaction": customer.MaxParties, "elements of lists of a record": customer.MaxElements,
		"bytes of what is read at once to be published": customer.MaxPending,
		"bytes of what a dead letter says":              customer.MaxExplained,
		"bytes of the elements of a record":             customer.MaxRecord, "scopes of versions of a record": customer.MaxScopes,
		"nodes that hold one thing that is asked for": customer.MaxHeld, "nodes whose records are read": customer.MaxExamined,
		"nodes of each of two customers that `why` compares":                     explain.MaxSpeakers,
		"pairs of customers that wait for a person, of one component":            customer.MaxPossible,
		"interactions of a customer that are counted for the priority of a pair": customer.MaxHanging,
		"pairs that one verdict is on":                                           review.MaxBulk, "decisions that are taken at once": review.MaxTold,
		"live records of a component that `how` and `why-not` divide again": explain.MaxRetold,
		"refused steps that `how` shows":                                    explain.MaxApart, "changes that `what-if` supposes": explain.MaxSupposed,
		"records that a source merged into a record, in a scope": customer.MaxLosers,
	} {
		if row := fmt.Sprintf("\n| %s | %s |", what, thousands(limit)); !strings.Contains(rows, row) {
			t.Errorf("docs/identity.md lacks the row %q", row[1:])
		}
	}
}

func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// A value of nothing is cleared, what is cleared or withheld keeps no value, and a consent touches consents only.
func TestStatementsSettle(t *testing.T) {
	m := &event.Message{Source: "a", Topic: "t", Offset: 5, Time: start}
	statement := func(state customer.State, v customer.Value) []customer.Statement {
		return []customer.Statement{{Path: customer.Path{Name: "jobTitle"}, State: state, Value: v}}
	}
	given := statement(customer.Set, customer.Text(""))
	for name, c := range map[string]struct {
		party []customer.Statement
		want  customer.State
	}{
		"an empty text": {given, customer.Cleared},
		"no parts":      {statement(customer.Set, customer.Value{Parts: map[string]string{}}), customer.Cleared},
		"cleared":       {statement(customer.Cleared, customer.Text("smith")), customer.Cleared},
		"withheld":      {statement(customer.Redacted, customer.Text("smith")), customer.Redacted},
		"not known":     {statement(customer.Unknown, customer.Text("smith")), customer.Unknown},
	} {
		sealed, refused := customer.Seal([]customer.Change{{Key: "1", Op: customer.Patch, Party: c.party}}, m, 1)
		if len(refused) > 0 || sealed[0].Party[0].State != c.want || !sealed[0].Party[0].Value.IsZero() {
			t.Errorf("%s: %+v, %v", name, sealed, refused)
		}
	}
	if given[0].State != customer.Set {
		t.Error("the adapter's own change was changed")
	}
	for name, c := range map[string]customer.Change{
		"consent":         {Key: "1", Op: customer.Consent, Party: []customer.Statement{set("givenName", "Mallory")}},
		"parts of a text": {Key: "1", Op: customer.Patch, Party: statement(customer.Set, customer.Value{Parts: map[string]string{"a": "b"}})},
	} {
		if _, refused := customer.Seal([]customer.Change{c}, m, 1); len(refused) != 1 {
			t.Errorf("%s is taken", name)
		}
	}
}
