package crm

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Edit is what somebody changed at a screen.
type Edit struct {
	By      string
	Contact string // its id
	Field   string // phone title email custom
}

// Edit lets one of the CRM's users edit a contact, as the seed says: mostly a telephone number or a title that has changed, now and then
// an e-mail address, and not always without a slip. False where there is nobody to edit.
func (c *CRM) Edit() (Edit, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.order) == 0 {
		return Edit{}, false
	}
	x := c.order[c.hands.IntN(len(c.order))]
	e := Edit{By: pick(c.hands, staff()), Contact: x.ID}
	var doc map[string]any
	e.Field, doc = c.draw(x)
	before := x.Version
	b, err := json.Marshal(doc)
	if err == nil {
		err = c.change(x, b, User, e.By)
	}
	if err != nil { // what users type is a contact's
		panic(err)
	}
	if x.Version == before {
		return e, false
	}
	c.stats.Edited++
	return e, true
}

// draw draws an edit that changes something.
func (c *CRM) draw(x *Contact) (field string, doc map[string]any) {
	d := c.hands
	switch n := d.IntN(100); {
	case n < 40:
		return "phone", map[string]any{"phone": fmt.Sprintf("+1555%07d", d.IntN(10_000_000))}
	case n < 55 && len(x.Phone) > 6:
		return "phone", map[string]any{"phone": swapped(d, string(x.Phone))}
	case n < 80:
		title := pick(d, titles())
		for title == string(x.Title) {
			title = pick(d, titles())
		}
		return "title", map[string]any{"title": title}
	case n < 90:
		return "email", map[string]any{"email": c.mailbox(x)}
	}
	return "custom", map[string]any{"custom": map[string]any{"lastCall": fmt.Sprintf("%04d", d.IntN(10_000))}}
}

// mailbox answers an e-mail address that nobody has, or the contact's own with a letter missing.
func (c *CRM) mailbox(x *Contact) string {
	local, host, ok := strings.Cut(string(x.Email), "@")
	if ok && len(local) > 4 && c.hands.chance(0.3) {
		i := 1 + c.hands.IntN(len(local)-2)
		return local[:i] + local[i+1:] + "@" + host
	}
	return fmt.Sprintf("new.%s.%06d@office.example", strings.TrimLeft(strings.TrimPrefix(x.ID, "con_"), "0"), c.hands.IntN(1_000_000))
}

// swapped is a number with its last two digits in each other's place, or, where they are the same, another last digit.
func swapped(d dice, number string) string {
	b := []byte(number)
	n := len(b)
	if b[n-1] != b[n-2] {
		b[n-1], b[n-2] = b[n-2], b[n-1]
		return string(b)
	}
	b[n-1] = '0' + (b[n-1]-'0'+1+byte(d.IntN(9)))%10
	return string(b)
}

func pick(d dice, of []string) string { return of[d.IntN(len(of))] }

func staff() []string { return []string{"kim", "noor", "sasha", "toni"} }

func titles() []string {
	return []string{"Buyer", "Head of Purchasing", "Clerk", "Director", "Engineer", "Accountant", "Owner", "Assistant", "Consultant"}
}
