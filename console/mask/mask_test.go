package mask_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onefold/onefold/console/mask"
	"github.com/onefold/onefold/customer"
)

// fill puts a text of its own into every text that a value can hold, however deep, so that what a mask forgets shows where it stood. A
// field that somebody adds is filled too.
func fill(v reflect.Value, at string, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("personal:" + at + ":")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), at, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte("personal:" + at + ":"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), at+"[]", depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, at+"{name}", depth+1)
		fill(value, at+"{}", depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() || v.Type() == reflect.TypeFor[customer.Amount]() {
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(v.Field(i), strings.TrimPrefix(at+"."+f.Name, "."), depth+1)
			}
		}
	case reflect.Int64, reflect.Int:
		v.SetInt(8675309)
	case reflect.Uint64:
		v.SetUint(8675309)
	default: // ids, flags: of our own making
	}
}

// left answers where texts have stayed, each place once.
func left(t *testing.T, v any) []string {
	t.Helper()
	var out []string
	dump(reflect.ValueOf(v), func(text string) {
		if _, after, ok := strings.Cut(text, "personal:"); ok {
			place, _, _ := strings.Cut(after, ":")
			out = append(out, place)
		}
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// dump calls see with every text of a value, whether it is written as JSON or not.
func dump(v reflect.Value, see func(string)) {
	switch v.Kind() {
	case reflect.String:
		see(v.String())
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			dump(v.Elem(), see)
		}
	case reflect.Slice:
		for i := range v.Len() {
			dump(v.Index(i), see)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			dump(it.Key(), see)
			dump(it.Value(), see)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				dump(v.Field(i), see)
			}
		}
	default:
	}
}

func filled[T any]() *T {
	v := new(T)
	fill(reflect.ValueOf(v).Elem(), "", 0)
	return v
}

// Of everything that can be asked, a mask leaves words of ours, of the configuration and of stewards, and no other text. A new field of
// any of these is hidden or stands here.
func TestMasksHideAllButWordsOfOurs(t *testing.T) {
	claim := func(at string) []string {
		return []string{at + ".Event", at + ".Source", at + ".Version.Source.Kind"}
	}
	attribute := func(at string) []string {
		return slices.Concat([]string{at + ".Rule"}, claim(at+".Claim"), claim(at+".Losers[]"))
	}
	union := func(at string) []string {
		return []string{at + ".A.Source", at + ".B.Source", at + ".By", at + ".Refused", at + ".Rule"}
	}
	for name, c := range map[string]struct {
		masked any
		stays  []string
	}{
		"customer": {mask.Customer(filled[customer.Customer]()), slices.Concat(attribute("Attributes[]"), []string{"Members[].Source", "Status"})},
		"interaction": {mask.Interactions([]*customer.Interaction{filled[customer.Interaction]()}), []string{
			"Event", "Source", "Version.Source.Kind",
		}},
		"explanation": {mask.Explanation(filled[customer.Explanation]()), slices.Concat([]string{
			"A.Member.Source", "Apart[].Kind", "Apart[].Text", "B.Member.Source",
			"Decision.Author", "Decision.ID", "Decision.Kind", "Decision.UndoneBy", "Evidence.Model", "Evidence.Rule", "Evidence.Steps[].Comparison",
			"Evidence.Steps[].Level", "Keys[].Type", "Path[].Source", "Verdict",
		}, union("Apart[].Union"))},
		"making":  {mask.Making(filled[customer.Making]()), slices.Concat([]string{"Members[].Source", "Model"}, union("Apart[]"), union("Steps[]"))},
		"lineage": {mask.Lineage(filled[customer.Lineage]()), slices.Concat(attribute("Attributes[].Attribute"), []string{"Attributes[].Reason"})},
	} {
		t.Run(name, func(t *testing.T) {
			slices.Sort(c.stays)
			if d := cmp.Diff(c.stays, left(t, c.masked)); d != "" {
				t.Error(d)
			}
		})
	}
}

// A mask changes nothing of what it masks: others hold it too.
func TestMasksLeaveTheOriginal(t *testing.T) {
	for name, c := range map[string]struct{ original, masked func() any }{
		"customer":    hold(mask.Customer),
		"explanation": hold(mask.Explanation),
		"making":      hold(mask.Making),
		"lineage":     hold(mask.Lineage),
		"found":       hold(mask.Found),
	} {
		before := fmt.Sprint(c.original())
		if after := fmt.Sprint(c.masked()); before != after {
			t.Errorf("%s was changed", name)
		}
	}
}

// hold answers how a value is written before and after it was masked.
func hold[T any](do func(*T) *T) struct{ original, masked func() any } {
	v := filled[T]()
	written := func() any {
		raw, err := json.Marshal(v)
		return fmt.Sprint(string(raw), err)
	}
	return struct{ original, masked func() any }{written, func() any { do(v); return written() }}
}

// The same stands in the place of a short value and of a long one, of a rare one and of a common one.
func TestAllHiddenValuesAreOne(t *testing.T) {
	for _, value := range []customer.Value{
		customer.Text("F"), customer.Text("Wolfeschlegelsteinhausenbergerdorff"), customer.Text("***"), customer.Text("person"),
	} {
		c := mask.Customer(&customer.Customer{Attributes: []customer.Attribute{{
			Path: customer.Path{Name: "gender"}, Claim: customer.Claim{Value: value, Version: customer.Version{Hash: 7}},
		}}})
		if got := c.Attributes[0]; got.Value.Text != mask.Hidden || got.Version.Hash != 0 {
			t.Errorf("%v became %v", value, got)
		}
	}
	if mask.Customer(nil) != nil || mask.Found(nil) != nil || mask.Explanation(nil) != nil || mask.Making(nil) != nil || mask.Lineage(nil) != nil {
		t.Error("nothing is made something")
	}
}
