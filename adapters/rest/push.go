package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strconv"

	"github.com/onefold/onefold/adapters"
)

func status(code int) string {
	text := "HTTP " + strconv.Itoa(code)
	if name := http.StatusText(code); name != "" {
		text += " " + name
	}
	return text
}

// one does one delivery. It answers as well whether every other would have the same problem.
func (p *push) one(ctx context.Context, d *adapters.Delivery) (adapters.Receipt, bool) {
	f := filling{Delivery: d, id: d.ID}
	switch d.Op {
	case adapters.Upsert:
		return p.write(ctx, f)
	case adapters.Merge:
		return p.mergeInto(ctx, f)
	case adapters.Remove:
		return p.removal(ctx, f)
	}
	return failed(d, outcome{verdict: permanent, reason: "internal", text: "there is no operation of that name"}), false
}

func failed(d *adapters.Delivery, o outcome) adapters.Receipt {
	return adapters.Receipt{RemoteID: d.RemoteID, Problem: o.problem()}
}

// write brings a customer's fields, to the entry whose id is known if the file has a request for that. An entry that is not there any
// more is made anew, by our own id.
func (p *push) write(ctx context.Context, f filling) (adapters.Receipt, bool) {
	q, direct := p.File.single(), false
	if p.File.update != nil && f.RemoteID != "" {
		q, direct = p.File.update, true
	}
	o := p.ask(ctx, q, []filling{f})
	if direct && o.verdict == absent {
		f.id += ".upsert" // another request than the first: who remembers ids would answer that it knows this one
		q = p.File.single()
		o = p.ask(ctx, q, []filling{f})
		f.Delivery = forgotten(f.Delivery)
	}
	if o.verdict != done {
		return failed(f.Delivery, o), o.all
	}
	if q.most > 0 {
		receipt, _ := p.results(q, []*adapters.Delivery{f.Delivery}, o.tree, true)
		return receipt[0], false
	}
	return told(f.Delivery, q.answer, o.tree), false
}

// ask is send, and counts what it comes to.
func (p *push) ask(ctx context.Context, q *request, fs []filling) outcome {
	o := p.send(ctx, q, fs)
	p.strike(o)
	return o
}

// forgotten is the delivery without an id that has turned out to name nobody.
func forgotten(d *adapters.Delivery) *adapters.Delivery {
	c := *d
	c.RemoteID = ""
	return &c
}

// told is the receipt of what was done: the id is the one that the target tells, else the one that was known.
func told(d *adapters.Delivery, a answer, tree any) adapters.Receipt {
	id := a.id.mark(tree)
	if id == "" {
		id = d.RemoteID
	}
	return adapters.Receipt{RemoteID: id, RemoteVersion: a.version.mark(tree)}
}

// mergeInto lets the target make one entry of two. An entry that is merged already, or gone, is as good: what is left of it is removed.
func (p *push) mergeInto(ctx context.Context, f filling) (adapters.Receipt, bool) {
	q := p.File.merge
	if q == nil || f.Into == "" {
		return p.removal(ctx, f)
	}
	f, o := p.known(ctx, q, f)
	if o.verdict == absent || f.RemoteID == f.Into {
		return adapters.Receipt{}, false
	}
	if o.verdict == done {
		o = p.ask(ctx, q, []filling{f})
	}
	switch o.verdict {
	case done:
		return adapters.Receipt{RemoteID: q.answer.id.mark(o.tree), RemoteVersion: q.answer.version.mark(o.tree)}, false
	case absent:
		return p.removal(ctx, f)
	}
	return failed(f.Delivery, o), o.all
}

// removal takes an entry away. One that is not there is as good; where it may be there under another id than the one that was told, as
// after a merge that somebody made there, it is looked for by ours. The entry that it was to become part of stays.
func (p *push) removal(ctx context.Context, f filling) (adapters.Receipt, bool) {
	q := p.File.remove
	if f.Erased && p.File.erase != nil {
		q = p.File.erase
	}
	told := f.RemoteID
	f, o := p.known(ctx, q, f)
	if o.verdict == done {
		o = p.ask(ctx, q, []filling{f})
	}
	if o.verdict == absent && q.remote && told != "" {
		f.Delivery = forgotten(f.Delivery)
		if f, o = p.known(ctx, q, f); o.verdict == done && f.RemoteID != told && f.RemoteID != f.Into {
			f.id += ".again"
			o = p.ask(ctx, q, []filling{f})
		}
	}
	if o.verdict == done || o.verdict == absent {
		return adapters.Receipt{}, false
	}
	return failed(f.Delivery, o), o.all
}

// known sees to it that the entry's id is known, where a request needs it: an answer that told it may have been lost.
func (p *push) known(ctx context.Context, q *request, f filling) (filling, outcome) {
	if f.RemoteID != "" || !q.remote {
		return f, outcome{verdict: done}
	}
	o := p.ask(ctx, p.File.find, []filling{f})
	if o.verdict != done {
		return f, o
	}
	d := *f.Delivery
	if d.RemoteID = p.File.find.answer.id.mark(o.tree); d.RemoteID == "" {
		return f, outcome{verdict: absent}
	}
	f.Delivery = &d
	return f, o
}

// several does the deliveries of a batch by one request. Where it is refused as a whole, or tells nothing of some, each of these is
// tried alone, so that one that the target cannot take harms itself only.
func (p *push) several(ctx context.Context, job []int) {
	q := p.batchOf(&p.deliveries[job[0]])
	fs := make([]filling, len(job))
	ds := make([]*adapters.Delivery, len(job))
	sum := sha256.New()
	for n, i := range job {
		ds[n] = &p.deliveries[i]
		sum.Write([]byte(ds[n].ID + "\n"))
		fs[n] = filling{Delivery: ds[n], id: ds[n].ID}
	}
	whole := fs[0]
	whole.id = hex.EncodeToString(sum.Sum(nil)[:16])
	o := p.sendBatch(ctx, q, whole, fs)
	switch o.verdict {
	case done:
		receipts, silent := p.results(q, ds, o.tree, false)
		for n, i := range job {
			p.receipts[i], p.split[i] = receipts[n], slices.Contains(silent, n)
		}
	case permanent, absent:
		for _, i := range job {
			p.receipts[i], p.split[i] = failed(&p.deliveries[i], o), true
		}
	default:
		p.fail(job, o.problem())
		if o.all {
			p.halt(o.problem())
		}
	}
}

// results reads what a batch's answer says of each delivery, and which of them it tells nothing of.
func (p *push) results(q *request, ds []*adapters.Delivery, tree any, alone bool) ([]adapters.Receipt, []int) {
	receipts := make([]adapters.Receipt, len(ds))
	heard := make([]bool, len(ds))
	by := map[string]int{}
	for n, d := range ds {
		by[d.Customer.String()] = n
	}
	read := func(at dots, of func(item any, n int) bool) {
		all, _ := at.in(tree)
		items, _ := all.([]any)
		if q.answer.key == nil && len(items) != len(ds) { // nobody can tell whose they are
			return
		}
		for i, item := range items {
			for _, n := range q.answer.whose(item, i, by, alone) {
				heard[n] = of(item, n) || heard[n]
			}
		}
	}
	gone := func(item any) bool { // under an id that names nobody any more: alone, it is made anew
		return !alone && q == p.File.updates && q.inner(item) == absent
	}
	read(q.answer.results, func(item any, n int) bool { receipts[n] = q.result(ds[n], item); return !gone(item) })
	read(q.answer.errors, func(item any, n int) bool { receipts[n] = q.refusal(ds[n], item, permanent); return !gone(item) })
	var silent []int
	for n := range ds {
		if !heard[n] {
			silent = append(silent, n)
			receipts[n] = failed(ds[n], outcome{
				verdict: retryable, reason: "answer", text: q.name + ": the target's answer says nothing of this customer",
			})
		}
	}
	return receipts, silent
}

// whose answers which deliveries an item of an answer is of: by the keys that are declared, else by its place.
func (a *answer) whose(item any, place int, by map[string]int, alone bool) []int {
	if a.key == nil {
		if place < len(by) {
			return []int{place}
		}
		return nil
	}
	for _, k := range a.key {
		v, ok := k.in(item)
		if !ok {
			continue
		}
		var found []int
		texts, several := v.([]any)
		if !several {
			texts = []any{v}
		}
		for _, t := range texts {
			id, _ := t.(string)
			if n, ours := by[id]; ours {
				found = append(found, n)
			}
		}
		return found
	}
	if alone { // it can be of nobody else
		return []int{0}
	}
	return nil
}

// result is what an item of the list of results says.
func (q *request) result(d *adapters.Delivery, item any) adapters.Receipt {
	v := q.inner(item)
	if v == done {
		return told(d, q.answer, item)
	}
	return q.refusal(d, item, v)
}

// refusal is the receipt of what was not done.
func (q *request) refusal(d *adapters.Delivery, item any, v verdict) adapters.Receipt {
	o := outcome{verdict: v, reason: "refused", text: q.name + ": the target does not take this customer"}
	code, named, ok := q.answer.coded(item)
	if ok {
		o.verdict, o.text = named, q.name+": the target answers "+code+" for this customer"
	}
	switch o.verdict {
	case done:
		return told(d, q.answer, item)
	case permanent, absent:
		o.text += "; look at fields in the target file, and at what the target asks of them"
	default:
		o.reason = "unavailable"
	}
	return failed(d, o)
}

// sendBatch is send of a request for many: what stands outside the list is of all of them.
func (p *push) sendBatch(ctx context.Context, q *request, whole filling, fs []filling) outcome {
	b := *q
	b.body = func(out []byte, _ []filling) []byte { return q.body(out, fs) }
	return p.ask(ctx, &b, []filling{whole})
}
