package rest_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/onefold/onefold/adapters"
	"github.com/onefold/onefold/adapters/adaptertest"
	"github.com/onefold/onefold/adapters/rest"
	"github.com/onefold/onefold/simulation/crm"
)

// realCardbox is the CRM of the simulation itself.
type realCardbox struct{ *crm.CRM }

func (b realCardbox) Holds() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, c := range b.Contacts() {
		text, err := json.Marshal(c.Properties)
		if err != nil {
			panic(err)
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			panic(err)
		}
		custom := map[string]*string{"lastCall": nil} // what is empty is not there; it was written null
		for name, text := range c.Custom {
			custom[name] = &text
		}
		if members["custom"], err = json.Marshal(custom); err != nil {
			panic(err)
		}
		var address map[string]json.RawMessage
		if err := json.Unmarshal(members["address"], &address); err != nil {
			panic(err)
		}
		if members["address"], err = json.Marshal(address); err != nil { // names in order
			panic(err)
		}
		if out[c.ExternalID], err = json.Marshal(members); err != nil {
			panic(err)
		}
	}
	return out
}

// The shipped file fits the CRM of the simulation.
func TestCardboxItself(t *testing.T) {
	t.Parallel()
	bad := person(9, "Mallory", "no address of anybody")
	adaptertest.RunTarget(t, adaptertest.TargetSetup{
		Target: func(t *testing.T, url string) adapters.Target {
			return target(t, rest.Config{File: shippedFile(t, "cardbox"), URL: url, Batch: 3})
		},
		System: func() adaptertest.System { return realCardbox{crm.New(crm.Config{Token: secret, Now: time.Now})} },
		Good:   people(), Bad: bad, Secret: secret,
	})
}
