package table

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
)

// Columns says what the columns of a file hold, where their names do not.
type Columns struct {
	Of     map[string]string // by the column's name: a target such as givenName, email, birthDate.year, address[home].postalCode
	Dates  string            // order of the parts of a date: ymd, dmy or mdy; empty: read from the column
	Region string            // country of all records (ISO 3166-1), for telephone numbers; empty: unknown
	Only   bool              // columns that are not named are left out, whatever their names
	Zone   string            // of times that do not say theirs (IANA); empty: UTC. Of a load only, as what follows
	Scope  string            // which statements of the source the rows compare with by their times
	Key    string            // name of the column whose values name the rows, whatever else it holds
}

// Targets of a column that are no field of the canonical model.
const (
	targetID      = "id"
	targetNone    = "ignore"
	targetUpdated = "updatedAt" // when the row was last changed
)

// MaxColumnsFile bounds the bytes of a file of columns (invariant 10).
const MaxColumnsFile = 1 << 20

// ParseColumns reads a file of columns:
//
//	columns: {ID_NO: id, NAME: fullName, BIRTH_Y: birthDate.year, MAIL_1: email, MAIL_2: email, NOTE: ignore}
//	dates: dmy
//	region: GB
//	only: true
//
// and of a load also
//
//	key: MAIL_1
//	zone: Europe/Zurich
//	scope: contact
func ParseColumns(file string, data []byte) (Columns, event.Diagnostics) {
	if len(data) > MaxColumnsFile {
		return Columns{}, event.Diagnostics{{File: file, Message: fmt.Sprintf("the file is larger than the limit of %d bytes", MaxColumnsFile)}}
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return Columns{}, event.Diagnostics{syntax(file, err)}
	}
	r := &columnsFile{file: file, c: Columns{Of: map[string]string{}}}
	for _, doc := range tree.Docs {
		for name, value := range members(doc.Body) {
			r.member(name, value)
		}
	}
	if len(r.found) > 0 {
		return Columns{}, r.found
	}
	return r.c, nil
}

// syntax tells what the YAML parser stumbled over.
func syntax(file string, err error) event.Diagnostic {
	d := event.Diagnostic{File: file, Message: "this is not YAML", Hint: "indent with spaces, and close every quote and bracket"}
	var y yaml.Error
	if errors.As(err, &y) {
		d.Message += ": " + y.GetMessage()
		if t := y.GetToken(); t != nil && t.Position != nil {
			d.Line, d.Column = t.Position.Line, t.Position.Column
		}
	}
	return d
}

// members answers the members of a mapping in their order.
func members(n ast.Node) func(yield func(ast.Node, ast.Node) bool) {
	return func(yield func(ast.Node, ast.Node) bool) {
		m, ok := n.(ast.MapNode)
		if !ok {
			return
		}
		for it := m.MapRange(); it.Next(); {
			if !yield(it.Key(), it.Value()) {
				return
			}
		}
	}
}

// columnsFile is a file of columns while it is read.
type columnsFile struct {
	file  string
	c     Columns
	found event.Diagnostics
}

func (r *columnsFile) say(at ast.Node, path, message, hint string) {
	d := event.Diagnostic{File: r.file, Path: path, Message: message, Hint: hint}
	if t := at.GetToken(); t != nil && t.Position != nil {
		d.Line, d.Column = t.Position.Line, t.Position.Column
	}
	r.found = append(r.found, d)
}

func text(n ast.Node) string {
	if s, ok := n.(ast.ScalarNode); ok {
		return strings.TrimSpace(fmt.Sprint(s.GetValue()))
	}
	return ""
}

func (r *columnsFile) member(name, value ast.Node) {
	switch text(name) {
	case "columns":
		for column, target := range members(value) {
			to, ok := parseTarget(text(target))
			if !ok {
				r.say(target, "columns."+text(column), "there is nothing of that name that a column can hold",
					"write id, ignore, a field such as givenName, fullName, birthDate, email, phone, or a part: birthDate.year, "+
						"address.postalCode, identifier.nationalId")
				continue
			}
			r.c.Of[text(column)] = to.String()
		}
	case "dates":
		if r.c.Dates = text(value); !slices.Contains([]string{"ymd", "dmy", "mdy"}, r.c.Dates) {
			r.say(value, "dates", "this is no order of a date", "write ymd, dmy or mdy")
		}
	case "region":
		if r.c.Region = strings.ToUpper(text(value)); len(r.c.Region) != 2 {
			r.say(value, "region", "this is no country", "write two letters: GB")
		}
	case "only":
		b, ok := value.(*ast.BoolNode)
		if !ok {
			r.say(value, "only", "this is neither true nor false", "write true to leave out every column that is not named")
			return
		}
		r.c.Only = b.Value
	case "key":
		if r.c.Key = text(value); r.c.Key == "" {
			r.say(value, "key", "no column is named", "write the column's name as the first line of the file has it")
		}
	case "zone":
		if r.c.Zone = text(value); !zone(r.c.Zone) {
			r.say(value, "zone", "there is no such time zone", "use a name of the IANA time zone database such as Europe/Zurich")
		}
	case "scope":
		if r.c.Scope = text(value); r.c.Scope == "" || len(r.c.Scope) > customer.MaxWord {
			r.say(value, "scope", fmt.Sprintf("a scope is a text of 1 to %d bytes", customer.MaxWord),
				"write the scope that the source's mapping names")
		}
	default:
		r.say(name, text(name), "there is no such member", "write columns, dates, region, only, key, zone or scope")
	}
}

func zone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "" && name != "Local"
}

// target is what a column holds: a field of the canonical model, of a list an element of it, and of a value with parts one of them.
type target struct{ field, element, part string }

func (t target) String() string {
	s := t.field
	if t.element != "" {
		s += "[" + t.element + "]"
	}
	if t.part != "" {
		s += "." + t.part
	}
	return s
}

// parseTarget reads what String writes; a usual name of a column will do, too.
func parseTarget(s string) (target, bool) {
	whole, part, _ := strings.Cut(s, ".")
	path, err := customer.ParsePath(whole)
	t := target{field: path.Name, element: path.ID, part: part}
	switch {
	case err != nil:
		return target{}, false
	case t == target{field: targetID}, t == target{field: targetNone}, t == target{field: targetUpdated}:
		return t, true
	}
	i := slices.IndexFunc(customer.Fields(), func(f customer.Field) bool { return f.Name == t.field })
	if i < 0 {
		to := usualNames()[normal(s)]
		if to == "" || strings.HasSuffix(to, "?") {
			return target{}, false
		}
		return parseTarget(to)
	}
	switch field := customer.Fields()[i]; t.field {
	case customer.FieldAddress:
		if t.part == "" {
			t.part = "addressLines"
		}
		return t, slices.Contains(field.Parts, t.part)
	case customer.FieldIdentifier:
		return t, slices.Contains(customer.IdentifierTypes(), t.part)
	case customer.FieldConsent:
		channel, purpose, both := strings.Cut(t.element, "/")
		return t, both && channel != "" && purpose != "" && (t.part == "" || t.part == "not")
	case "birthDate":
		return t, slices.Contains([]string{"", "year", "month", "day"}, t.part)
	default:
		return t, t.part == "" && len(field.Parts) == 0
	}
}

// recognise answers what a column of that name usually holds; rank is 0 for a usual name as it stands, and more for each word
// around it that was passed over. What the name says only together with others ends in "?".
func recognise(names map[string]string, name string) (to string, element string, rank int) {
	words := strings.Fields(normal(name))
	for len(words) > 0 {
		if to = names[strings.Join(words, " ")]; to != "" {
			return to, element, rank
		}
		first, last := words[0], words[len(words)-1]
		numbered := len(words) > 1 && strings.Trim(last, "0123456789") == ""
		switch rest := names[strings.Join(words[1:], " ")]; {
		case group(first) && strings.HasPrefix(rest, customer.FieldAddress):
			element, words = first, words[1:]
		case numbered:
			element, words = last, words[:len(words)-1]
		case around(first):
			words = words[1:]
		case around(last):
			words = words[:len(words)-1]
		default:
			return "", "", 0
		}
		rank++
	}
	return "", "", 0
}
