// Command cards is a plugin that customers are written to: a file for each in a folder, as a small business keeps index cards. It shows
// what a target in a process of its own is made of; docs/plugins.md goes through it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/event"
	"github.com/onefold/onefold/plugins"
)

func main() { plugins.ServeTarget(&box{}) }

// box is the folder that the cards are in.
type box struct{ folder string }

// card is what stands on one.
type card struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
	Phone string `json:"phone,omitempty"`
}

// Configure implements plugins.Configurable.
func (b *box) Configure(_ context.Context, _ string, settings map[string]string) error {
	if b.folder = settings["folder"]; b.folder == "" {
		return errors.New("the setting folder is missing: name the folder that the cards are to be in")
	}
	return os.MkdirAll(b.folder, 0o700)
}

// Describe says what the plugin is.
func (*box) Describe() adapters.Description {
	return adapters.Description{Name: "cards", Version: "1.0.0", Domain: "crm"}
}

// Abilities implements adapters.Target.
func (*box) Abilities() adapters.Abilities { return adapters.Abilities{Batch: 100} }

// Render writes a card. Who has no name gets none.
func (*box) Render(c *customer.Customer) (*adapters.Rendering, error) {
	name := c.Text("fullName")
	if name == "" {
		name = c.Text("givenName") + " " + c.Text("familyName")
	}
	if name == " " {
		return nil, nil
	}
	body, err := json.Marshal(card{Name: name, Email: c.Text("email"), Phone: c.Text("phone")})
	return &adapters.Rendering{Body: append(body, '\n')}, err
}

// Push puts cards into the box, and takes them out. A card that is there already is written over, one that is not there is as good as
// taken out: the same again does the same.
func (b *box) Push(_ context.Context, deliveries []adapters.Delivery) ([]adapters.Receipt, error) {
	out := make([]adapters.Receipt, len(deliveries))
	for i, d := range deliveries {
		id := d.Customer.String()
		file := filepath.Join(b.folder, id+".json")
		var err error
		if d.Op == adapters.Upsert {
			out[i].RemoteID = id
			err = replace(file, d.Body)
		} else if err = os.Remove(file); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil { // its text names the folder, which is nobody's secret but no customer's affair either
			out[i].Problem = &adapters.Problem{Error: *event.Errorf(event.Retryable, "folder", "",
				"the folder cannot be written: make room, or let the plugin's user write there")}
		}
	}
	return out, nil
}

// replace writes a file so that nobody sees half of it.
func replace(file string, body []byte) error {
	if err := os.WriteFile(file+".new", body, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
