package pages

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/onefold/onefold/customer"
)

// Limits of a search (invariant 10).
const (
	MaxQuestion = 512 // bytes of what is typed
	maxShown    = 50  // customers on one page
)

// results is what the page of customers shows.
type results struct {
	Asked      string
	Understood []string // as what each attempt took the question
	Customers  []row
	Cut        bool
	Sources    []string // for the hint of how to ask
	Problem    string   // why it cannot be looked for
}

// row is one customer in a list.
type row struct {
	ID, Name, Email, Phone, Birth, City string
	Sources                             []string
	Records                             int
	Updated                             time.Time
}

// understanding is one way to take what was typed.
type understanding struct {
	query customer.Query
	as    string
}

// pattern of what is typed.
type patterns struct{ iso, dotted, phone, id *regexp.Regexp }

func newPatterns() patterns {
	return patterns{
		iso:    regexp.MustCompile(`^\d{4}-\d{2}(-\d{2})?$`),
		dotted: regexp.MustCompile(`^(\d{1,2})\.(\d{1,2})\.(\d{4})$`),
		phone:  regexp.MustCompile(`^(\+|00)?[\d ()/.-]{6,}$`),
		id:     regexp.MustCompile(`^cus_[0-9a-z]{26}$`),
	}
}

// understand takes what was typed apart, word by word: an address, a date, a named identifier, a source's key, a number; what is left is a
// name. Digits alone may be a telephone number or an identifier, so both are tried.
func (p patterns) understand(text string, sources []string) []understanding {
	var q customer.Query
	var as, words, digits []string
	for _, word := range strings.Fields(text) {
		kind, value, typed := strings.Cut(word, ":")
		source, key, keyed := strings.Cut(word, "/")
		switch {
		case strings.Contains(word, "@") && q.Email == "":
			q.Email, as = word, append(as, "e-mail")
		case p.iso.MatchString(word) && q.BirthDate == "":
			q.BirthDate, as = word, append(as, "birth date")
		case p.dotted.MatchString(word) && q.BirthDate == "":
			d := p.dotted.FindStringSubmatch(word)
			q.BirthDate, as = d[3]+"-"+twoDigits(d[2])+"-"+twoDigits(d[1]), append(as, "birth date")
		case typed && value != "" && slices.Contains(customer.IdentifierTypes(), kind):
			q.Identifier, as = word, append(as, "identifier")
		case keyed && key != "" && slices.Contains(sources, source):
			q.Source, q.Key, as = source, key, append(as, "key of "+source)
		case strings.ContainsFunc(word, unicode.IsDigit) || len(digits) > 0 && !strings.ContainsFunc(word, unicode.IsLetter):
			digits = append(digits, word)
		default:
			words = append(words, word)
		}
	}
	if len(words) > 0 {
		q.Name, as = strings.Join(words, " "), append(as, "name")
	}
	if len(digits) == 0 {
		return []understanding{{q, strings.Join(as, ", ")}}
	}
	joined := strings.Join(digits, " ")
	var out []understanding
	if p.phone.MatchString(joined) {
		phone := q
		phone.Phone = joined
		out = append(out, understanding{phone, strings.Join(append(slices.Clone(as), "phone"), ", ")})
	}
	if q.Identifier == "" && !strings.HasPrefix(joined, "+") {
		identifier := q
		identifier.Identifier = strings.Join(digits, "")
		if len(words) > 0 && len(as) == 1 { // letters and digits in groups, as an IBAN is printed
			whole := customer.Query{Identifier: strings.Join(strings.Fields(text), "")}
			out = append(out, understanding{whole, "identifier"})
		}
		out = append(out, understanding{identifier, strings.Join(append(slices.Clone(as), "identifier"), ", ")})
	}
	return out
}

func twoDigits(s string) string {
	if len(s) == 1 {
		return "0" + s
	}
	return s
}

func (p *pages) search(r *http.Request) (*view, error) {
	asked := strings.TrimSpace(r.URL.Query().Get("q"))
	patterns := newPatterns()
	if patterns.id.MatchString(strings.ToLower(asked)) {
		return &view{to: "/customers/" + strings.ToLower(asked)}, nil
	}
	out := &results{Asked: asked}
	status, err := p.Status(r.Context())
	if err != nil {
		return nil, err
	}
	for i := range status.Sources {
		out.Sources = append(out.Sources, status.Sources[i].Name)
	}
	switch {
	case len(asked) > MaxQuestion:
		out.Asked, out.Problem = "", "What is looked for is longer than "+number(MaxQuestion)+" bytes."
	case asked != "":
		if err := p.find(r, patterns.understand(asked, out.Sources), out); err != nil {
			return nil, err
		}
	}
	return &view{frame: frame{Title: "Customers", Section: "customers"}, body: customersPage(out, p.caller(r).Sees)}, nil
}

// find asks in each way that a question can be taken. A way in which it cannot be looked up says why only if there is no other.
func (p *pages) find(r *http.Request, ways []understanding, out *results) error {
	seen := map[customer.CustomerID]bool{}
	answered := false
	for _, way := range ways {
		way.query.Limit = maxShown
		found, err := p.Customers.Find(r.Context(), way.query)
		if err != nil {
			why, ok := refused(err)
			if !ok {
				return err
			}
			out.Problem = why
			continue
		}
		answered = true
		out.Understood = append(out.Understood, way.as)
		out.Cut = out.Cut || found.Cut
		for _, c := range found.Customers {
			if !seen[c.ID] && len(out.Customers) < maxShown {
				seen[c.ID] = true
				out.Customers = append(out.Customers, rowOf(c))
			}
		}
	}
	if answered {
		out.Problem = ""
	}
	return nil
}

func rowOf(c *customer.Customer) row {
	show := func(name string) string { return inert(c.Text(name)) }
	out := row{
		ID: c.ID.String(), Name: inert(nameOf(c)), Email: show(customer.FieldEmail), Phone: show(customer.FieldPhone),
		Birth: show("birthDate"), Records: len(c.Members), Updated: c.UpdatedAt,
	}
	for i := range c.Attributes {
		if a := &c.Attributes[i]; a.Path.Name == customer.FieldAddress && out.City == "" {
			out.City = inert(a.Value.Parts["addressLocality"])
		}
	}
	for _, m := range c.Members {
		if s := inert(m.Source); !slices.Contains(out.Sources, s) {
			out.Sources = append(out.Sources, s)
		}
	}
	return out
}

// nameOf answers how a customer is called: a person's names, or an organisation's.
func nameOf(c *customer.Customer) string {
	person := strings.TrimSpace(c.Text("givenName") + " " + c.Text("familyName"))
	for _, name := range []string{person, c.Text("fullName"), c.Text("legalName"), c.Text("alternateName")} {
		if name != "" {
			return name
		}
	}
	return ""
}
