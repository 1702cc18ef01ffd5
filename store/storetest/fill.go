package storetest

import (
	"errors"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/onefold/onefold/customer"
)

// filler sets every field of a value to something of its own, so that a store which forgets one is found out, also a field that the
// domain will have tomorrow.
type filler struct{ n int }

func (f *filler) next() int { f.n++; return f.n }

func (f *filler) fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case time.Time:
		zone := time.FixedZone("", 3600*(f.next()%3))
		v.Set(reflect.ValueOf(time.Date(1000+f.next(), 2, 3, 4, 5, 6, f.next(), zone)))
		return
	case customer.Amount:
		a, err := customer.NewAmount("-90071992547409930."+strconv.Itoa(f.next())+"0", "EUR")
		if err != nil {
			t.Fatal(err)
		}
		v.Set(reflect.ValueOf(a))
		return
	case customer.State:
		v.Set(reflect.ValueOf(customer.State(f.next() % 5))) //nolint:gosec // one of the five
		return
	case customer.Value:
		if f.next()%2 == 0 {
			v.Set(reflect.ValueOf(customer.Text("text\x00<ü>\u2028" + strconv.Itoa(f.next()))))
		} else {
			v.Set(reflect.ValueOf(customer.Value{Parts: map[string]string{"b": strconv.Itoa(f.next()), "a": "", "": "c"}}))
		}
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("s" + strconv.Itoa(f.next()))
	case reflect.Int64:
		v.SetInt(-1<<62 + int64(f.next()))
	case reflect.Uint64:
		v.SetUint(1<<63 + uint64(f.next())) //nolint:gosec // small
	case reflect.Uint8:
		v.SetUint(uint64(f.next()) % 255) //nolint:gosec // small
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Array:
		for i := range v.Len() {
			f.fill(t, v.Index(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			f.fill(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f.fill(t, v.Field(i))
		}
	default:
		t.Fatalf("a field of type %s: teach the filler", v.Type())
	}
}

// testEveryField writes values with every field set, and with none.
func testEveryField(t *testing.T, s Store) {
	f := &filler{}
	record, master, in := &customer.Record{}, &customer.Customer{}, &customer.Interaction{}
	var dec customer.Decision
	for _, v := range []any{record, master, in, &dec} {
		f.fill(t, reflect.ValueOf(v).Elem())
	}
	master.Status, dec.Undone = customer.Active, false
	dec.Pair = customer.NewPair(id(1), id(2))
	bareRecord, bareMaster, bareInteraction := &customer.Record{}, &customer.Customer{}, &customer.Interaction{}
	apply(t, s, customer.Delta{
		Records: []*customer.Record{record, bareRecord}, Customers: []*customer.Customer{master, bareMaster},
		Interactions: []*customer.Interaction{in, bareInteraction}, Decisions: []customer.Decision{dec},
		Members: []customer.Membership{live(1, 1), live(2, 1)},
	})
	view(t, s, func(v customer.View) error {
		records, err := v.Records(t.Context(), []customer.RecordID{record.ID, {}})
		same(t, "records", []*customer.Record{record, bareRecord}, records)
		customers, err2 := v.Customers(t.Context(), []customer.CustomerID{master.ID, {}})
		same(t, "customers", []*customer.Customer{master, bareMaster}, customers)
		interactions, err3 := v.Interactions(t.Context(), []customer.InteractionID{in.ID, {}})
		same(t, "interactions", []*customer.Interaction{in, bareInteraction}, interactions)
		comps, err4 := v.Components(t.Context(), []customer.RecordID{id(1)})
		if err := errors.Join(err, err2, err3, err4); err != nil {
			return err
		}
		same(t, "a decision", []customer.Decision{dec}, comps[0].Decisions)
		return nil
	})
	want, err := master.Published()
	if err != nil {
		t.Fatal(err)
	}
	waiting, err := s.Pending(t.Context(), 0, 1)
	if err != nil || len(waiting) != 1 || string(waiting[0].Value) != string(want) {
		t.Errorf("what is published of it is not what it says: %v", err)
	}
}
