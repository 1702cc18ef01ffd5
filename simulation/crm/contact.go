package crm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Lengths of what a contact holds.
const (
	maxText   = 4096 // bytes of a value
	maxCustom = 50   // custom fields
	maxID     = 128  // bytes of an external id
)

// Contact is a card of the box.
type Contact struct {
	ID         string    `json:"id"`         // its own, con_0000000017
	ExternalID string    `json:"externalId"` // of who wrote it through the API; empty for none
	Version    int64     `json:"version"`    // grows by one with each change
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`
	Properties
}

// Properties are what a contact says. An empty one is written null.
type Properties struct {
	FirstName Text              `json:"firstName"`
	LastName  Text              `json:"lastName"`
	FullName  Text              `json:"fullName"` // where the parts are not known
	Company   Text              `json:"company"`
	Title     Text              `json:"title"`
	Email     Text              `json:"email"`
	Phone     Text              `json:"phone"`
	BirthDate Text              `json:"birthDate"`
	Address   Address           `json:"address"`
	Custom    map[string]string `json:"custom"`
}

// Address is where a contact is written to.
type Address struct {
	Lines      Text `json:"lines"`      // where the parts are not known
	Street     Text `json:"street"`     // with the number
	StreetName Text `json:"streetName"` // without, where the two are kept apart
	Number     Text `json:"number"`
	Extra      Text `json:"extra"`
	PostalCode Text `json:"postalCode"`
	City       Text `json:"city"`
	Region     Text `json:"region"`
	Country    Text `json:"country"`
}

// Text is a value, null where it is empty.
type Text string

// MarshalJSON writes null for an empty text.
func (t Text) MarshalJSON() ([]byte, error) {
	if t == "" {
		return []byte("null"), nil
	}
	return json.Marshal(string(t))
}

// UnmarshalJSON reads a text or null. Anything else is refused, and a text that is too long.
func (t *Text) UnmarshalJSON(b []byte) error {
	var s *string
	switch err := json.Unmarshal(b, &s); {
	case err != nil:
		return errors.New("a text or null is expected")
	case s == nil:
		*t = ""
		return nil
	case len(*s) > maxText || strings.ContainsRune(*s, 0):
		return fmt.Errorf("a value has at most %d bytes, and no NUL", maxText)
	}
	*t = Text(*s)
	return nil
}

// UnmarshalJSON changes what an object names; null empties the whole.
func (a *Address) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*a = Address{}
		return nil
	}
	type plain Address
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode((*plain)(a))
}

func (x *Contact) clone() Contact {
	out := *x
	out.Custom = maps.Clone(x.Custom)
	return out
}

func (p *Properties) equal(q *Properties) bool {
	return reflect.DeepEqual(p, q)
}

// apply changes what a document names and leaves the rest: null or an empty text empties a value. Unknown names are refused. The external
// id may be named too.
func (x *Contact) apply(doc []byte) error {
	if !utf8.Valid(doc) {
		return errors.New("the body is not UTF-8")
	}
	p := &x.Properties
	custom := maps.Clone(p.Custom)
	next := struct {
		*Properties
		ExternalID *Text            `json:"externalId"`
		Custom     map[string]*Text `json:"custom"`
	}{Properties: p}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	if err := d.Decode(&next); err != nil {
		return sentence(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind the object")
	}
	if next.ExternalID != nil {
		if x.ExternalID = string(*next.ExternalID); x.ExternalID == "" || len(x.ExternalID) > maxID {
			return errors.New("an external id has 1 to 128 bytes")
		}
	}
	for name, v := range next.Custom {
		switch {
		case name == "" || len(name) > maxID:
			return errors.New("a custom field has a name of at most 128 bytes")
		case v == nil || *v == "":
			delete(custom, name)
		default:
			if custom == nil {
				custom = map[string]string{}
			}
			custom[name] = string(*v)
		}
	}
	if p.Custom = custom; len(custom) == 0 {
		p.Custom = nil
	}
	if len(custom) > maxCustom {
		return fmt.Errorf("a contact has at most %d custom fields", maxCustom)
	}
	if p.Email != "" && !strings.Contains(string(p.Email), "@") {
		return errors.New("email is not an e-mail address")
	}
	return nil
}

// sentence is an error of decoding without what stands in the body.
func sentence(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong):
		return fmt.Errorf("%s has another type than it should", wrong.Field)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New("there is no field " + strings.TrimPrefix(err.Error(), "json: unknown field "))
	case strings.Contains(err.Error(), "is expected"), strings.Contains(err.Error(), "at most"):
		return err
	}
	return errors.New("the body is not the JSON of a contact")
}

// named answers the contact that a request's path names, nil if there is none.
func (c *CRM) named(r *http.Request) *Contact {
	if id := r.PathValue("id"); id != "" {
		return c.contacts[id]
	}
	return c.external[r.PathValue("external")]
}

func noContact() answer {
	return failure(http.StatusNotFound, "NOT_FOUND", "there is no such contact")
}

func (c *CRM) show(r *http.Request, _ []byte) answer {
	x := c.named(r)
	if x == nil {
		return noContact()
	}
	return copied(http.StatusOK, x)
}

// put makes or changes the contact of an external id: PUT /contacts/{external}.
func (c *CRM) put(r *http.Request, body []byte) answer {
	status, x, err := c.upsert(r.PathValue("external"), body)
	if err != nil {
		return failure(http.StatusUnprocessableEntity, "INVALID", err.Error())
	}
	return copied(status, x)
}

func (c *CRM) upsert(external string, doc []byte) (int, *Contact, error) {
	if external == "" || len(external) > maxID {
		return 0, nil, errors.New("an external id has 1 to 128 bytes")
	}
	if x := c.external[external]; x != nil {
		if bytes.Contains(doc, []byte(`"externalId"`)) {
			return 0, nil, errors.New("who is meant says the address")
		}
		return http.StatusOK, x, c.change(x, doc, Integration, "api")
	}
	x := &Contact{}
	if err := x.apply(doc); err != nil {
		return 0, nil, err
	}
	x.ExternalID = external // whatever the body says
	c.made++
	x.ID, x.Version, x.CreatedAt = fmt.Sprintf("con_%010d", c.made), 1, c.clock()
	x.UpdatedAt = x.CreatedAt
	c.contacts[x.ID], c.external[external] = x, x
	c.order = append(c.order, x)
	c.stats.Created++
	c.tell(Created, x, Actor{Kind: Integration, Name: "api"}, nil)
	return http.StatusCreated, x, nil
}

// change lets somebody change a contact. What changes nothing makes no version and is not told.
func (c *CRM) change(x *Contact, doc []byte, kind, name string) error {
	next := x.clone()
	if err := next.apply(doc); err != nil {
		return err
	}
	if next.ExternalID == x.ExternalID && next.equal(&x.Properties) {
		c.stats.Unchanged++
		return nil
	}
	changed := x.differences(&next.Properties)
	if next.ExternalID != x.ExternalID {
		changed = append(changed, "externalId")
		if c.external[x.ExternalID] == x {
			delete(c.external, x.ExternalID)
		}
		c.external[next.ExternalID] = x
	}
	x.Properties, x.ExternalID = next.Properties, next.ExternalID
	x.Version++
	x.UpdatedAt = c.clock()
	c.stats.Updated++
	c.tell(Updated, x, Actor{Kind: kind, Name: name}, func(h *Webhook) { h.Changed = changed })
	return nil
}

// differences names the properties in which two contacts differ.
func (p *Properties) differences(q *Properties) (names []string) {
	all := func(p *Properties) map[string]json.RawMessage {
		var m map[string]json.RawMessage
		b, err := json.Marshal(p)
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil { // texts can be written and read
			panic(err)
		}
		return m
	}
	before, after := all(p), all(q)
	for name := range after {
		if !bytes.Equal(before[name], after[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// clock answers the time in whole milliseconds.
func (c *CRM) clock() time.Time { return c.now().UTC().Truncate(time.Millisecond) }

// patch changes the contact of an id, and its external id where the body names one: PATCH /contacts/by-id/{id}.
func (c *CRM) patch(r *http.Request, body []byte) answer {
	x := c.named(r)
	if x == nil {
		return noContact()
	}
	var of struct {
		ExternalID *string `json:"externalId"`
	}
	_ = json.Unmarshal(body, &of) // what is wrong with it, change says
	if of.ExternalID != nil && taken(c.external[*of.ExternalID], x) {
		return conflict()
	}
	if err := c.change(x, body, Integration, "api"); err != nil {
		return failure(http.StatusUnprocessableEntity, "INVALID", err.Error())
	}
	return copied(http.StatusOK, x)
}

// taken tells whether an external id is another contact's.
func taken(by, of *Contact) bool { return by != nil && by != of }

func conflict() answer {
	return failure(http.StatusConflict, "CONFLICT", "another contact has this external id")
}

// remove takes a contact away for good: DELETE /contacts/by-id/{id}.
func (c *CRM) remove(r *http.Request, _ []byte) answer {
	x := c.named(r)
	if x == nil {
		return noContact()
	}
	c.drop(x)
	c.stats.Deleted++
	c.tell(Deleted, x, Actor{Kind: Integration, Name: "api"}, nil)
	return answer{status: http.StatusNoContent}
}

func (c *CRM) drop(x *Contact) {
	delete(c.contacts, x.ID)
	if c.external[x.ExternalID] == x {
		delete(c.external, x.ExternalID)
	}
	i, _ := slices.BinarySearchFunc(c.order, x.ID, func(y *Contact, id string) int { return strings.Compare(y.ID, id) })
	c.order = slices.Delete(c.order, i, i+1)
	x.Version++
	x.UpdatedAt = c.clock()
}

// merge makes one contact of two: the one named by `into` stays as it is: POST /contacts/by-id/{id}/merge {"into": ID}.
func (c *CRM) merge(r *http.Request, body []byte) answer {
	var to struct {
		Into string `json:"into"`
	}
	if err := json.Unmarshal(body, &to); err != nil || to.Into == "" {
		return failure(http.StatusUnprocessableEntity, "INVALID", "into names the contact that stays")
	}
	x, into := c.named(r), c.contacts[to.Into]
	switch {
	case x == nil || into == nil:
		return noContact()
	case x == into:
		return failure(http.StatusUnprocessableEntity, "INVALID", "a contact cannot become part of itself")
	}
	c.drop(x)
	c.stats.Merged++
	c.tell(Merged, x, Actor{Kind: Integration, Name: "api"}, func(h *Webhook) { h.Into = into.ID })
	return copied(http.StatusOK, into)
}
