package sqlite

import "github.com/onefold/onefold/customer"

// recent keeps what was read or written last, already decoded, for the writer alone: it is the only one who changes the file, so what
// stands here is what stands there. Two generations bound it: when the younger is full, the older is let go.
type recent[K comparable, V any] struct {
	limit      int // of one generation
	young, old map[K]*V
}

// How many are kept, in two generations together at most twice as many.
const (
	recentRecords   = 10_000
	recentCustomers = 5_000
)

func newRecent[K comparable, V any](limit int) *recent[K, V] {
	return &recent[K, V]{limit: limit, young: map[K]*V{}}
}

func (r *recent[K, V]) get(k K) *V {
	if v := r.young[k]; v != nil {
		return v
	}
	v := r.old[k]
	if v != nil {
		r.put(k, v)
	}
	return v
}

func (r *recent[K, V]) put(k K, v *V) {
	if len(r.young) >= r.limit {
		r.old, r.young = r.young, make(map[K]*V, r.limit)
	}
	r.young[k] = v
}

// read answers values for ids in their order: those kept, and of the others what fetch finds.
func (r *recent[K, V]) read(ids []K, fetch func([]K) ([]*V, error)) ([]*V, error) {
	out := make([]*V, len(ids))
	var missing []K
	var at []int
	for i, id := range ids {
		if out[i] = r.get(id); out[i] == nil {
			missing, at = append(missing, id), append(at, i)
		}
	}
	if len(missing) == 0 {
		return out, nil
	}
	found, err := fetch(missing)
	for i, v := range found {
		if v != nil {
			out[at[i]] = v
			r.put(missing[i], v)
		}
	}
	return out, err
}

func (s *Store) forgetRecent() {
	s.records = newRecent[customer.RecordID, customer.Record](recentRecords)
	s.known = newRecent[customer.CustomerID, customer.Customer](recentCustomers)
}
