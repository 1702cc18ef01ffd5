package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/onefold/onefold/console"
	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/review"
)

// namesake is a customer of the shop who shares an e-mail address with another one of the same given name: too little to join them,
// too much to leave it at that.
func namesake(id int64, family, email string) *kgo.Record {
	r := ana(id, email)
	r.Value = []byte(fmt.Sprintf(`{"id":%d,"updated_at":"2026-03-01T12:00:00-05:00","first_name":"Kim","last_name":%q,"email":%q}`, id, family, email))
	return r
}

// waiting answers the pairs that wait, by the command that lists them.
func (in *installation) waiting(t *testing.T) (pairs []customer.Possible) {
	t.Helper()
	if err := json.Unmarshal([]byte(in.ask(t, "review", "list", "-o", "json")), &pairs); err != nil {
		t.Fatal(err)
	}
	return pairs
}

// Possible matches of a running service are listed, claimed, decided, undone, and their decisions told to another installation, from
// the command line.
func TestPossibleMatchesAreDecided(t *testing.T) {
	dir := t.TempDir()
	in := serve(t, configured(t, dir, shopOnly))
	people := func() []*kgo.Record {
		return []*kgo.Record{
			namesake(11, "Reed", "kimi@example.com"), namesake(12, "Ford", "kimi@example.com"),
			namesake(13, "Wood", "kimo@example.com"), namesake(14, "Hall", "kimo@example.com"),
		}
	}
	produce(t, in.Broker, people()...)
	eventually(t, 60*time.Second, "both pairs wait", func() bool { return len(in.waiting(t)) == 2 })
	run := func(want int, in *installation, args ...string) (string, string) {
		t.Helper()
		out, errs, code := typed(t, "", append(args, "--server", in.API)...)
		if code != want {
			t.Fatalf("%s: %d, want %d: %s %s", strings.Join(args, " "), code, want, out, errs)
		}
		return out, errs
	}

	// One claims a pair, and sees what keeps the two apart; another is given the other pair, and may not decide on the first.
	var mine, theirs console.Claimed
	out, _ := run(0, in, "review", "next")
	if err := json.Unmarshal([]byte(in.ask(t, "review", "next", "-o", "json")), &mine); err != nil || mine.Review == nil ||
		!strings.Contains(out, "decide with: onefold review decide "+mine.Review.ID.String()) || !strings.Contains(out, "in the way:") {
		t.Fatalf("asked again, the claimed pair is another: %v\n%s", err, out)
	}
	if err := json.Unmarshal([]byte(in.ask(t, "review", "next", "--author", "lee", "-o", "json")), &theirs); err != nil || theirs.Review == nil ||
		theirs.Review.ID == mine.Review.ID {
		t.Fatalf("two are given one pair: %v", err)
	}
	first, second := mine.Review.ID.String(), theirs.Review.ID.String()
	if _, errs := run(1, in, "review", "decide", second, review.Same); !strings.Contains(errs, "lee looks at this pair") {
		t.Error(errs)
	}
	if out, _ := run(0, in, "review", "list", "--state", "claimed"); !strings.Contains(out, "claimed by lee") || !strings.Contains(out, "claimed by kim") {
		t.Error(out)
	}

	// Decided, the two are one and wait no more; undone, they are two and wait again.
	a, b := mine.Review.A.Record.String(), mine.Review.B.Record.String()
	joined := func(want bool) {
		t.Helper()
		if out := in.ask(t, "customer", "why", a, b); strings.HasPrefix(out, "not joined") == want {
			t.Errorf("joined should be %t:\n%s", want, out)
		}
	}
	var done customer.Reviewed
	out, _ = run(0, in, "review", "decide", first, review.Same, "--reason", "married in June", "-o", "json")
	if err := json.Unmarshal([]byte(out), &done); err != nil || done.Decision == nil || done.Decision.Author != "kim" {
		t.Fatalf("%v: %s", err, out)
	}
	joined(true)
	if left := in.waiting(t); len(left) != 1 || left[0].ID.String() != second {
		t.Errorf("after a decision wait %+v", left)
	}
	if out, _ := run(0, in, "review", "undo", done.Decision.ID); !strings.Contains(out, "was taken back by kim") {
		t.Error(out)
	}
	joined(false)
	if left := in.waiting(t); len(left) != 2 {
		t.Errorf("after the undo wait %+v", left)
	}
	if _, errs := run(1, in, "review", "undo", "dec_nobody"); !strings.Contains(errs, "onefold customer why") {
		t.Errorf("it is not said where the ids of decisions stand: %s", errs)
	}

	// Many at once: shown first, and taken only as they were shown.
	run(0, in, "review", "decide", first, review.Later)
	run(0, in, "review", "decide", second, review.Later, "--author", "lee")
	if out, _ := run(0, in, "review", "list", "--state", "later"); strings.Count(out, "rev_") != 2 {
		t.Error(out)
	}
	if out, _ := run(0, in, "review", "bulk", review.NotSame); strings.Contains(out, "rev_") {
		t.Errorf("what was put off is decided with many: %s", out)
	}
	run(0, in, "review", "decide", first, review.Same, "--reason", "married in June")
	run(0, in, "review", "decide", second, review.NotSame, "--author", "lee")
	joined(true)

	// The log of decisions says the same in another installation, once it knows the records.
	out, _ = run(0, in, "review", "export")
	if strings.Count(out, "\n") != 3 || strings.Count(out, "married in June") != 2 {
		t.Errorf("three decisions were taken, one of them undone:\n%s", out)
	}
	log := write(t, dir, "decisions.ndjson", out)
	other := serve(t, configured(t, t.TempDir(), shopOnly))
	if out, errs := run(4, other, "review", "import", log); !strings.Contains(out, "not known here yet") || !strings.Contains(errs, "could not be taken yet") {
		t.Error(out, errs)
	}
	produce(t, other.Broker, people()...)
	eventually(t, 60*time.Second, "both pairs wait there", func() bool { return len(other.waiting(t)) == 2 })
	run(0, other, "review", "import", log)
	run(0, other, "review", "import", log)
	if left := other.waiting(t); len(left) != 0 {
		t.Errorf("decided elsewhere, and here wait %+v", left)
	}
	if told, _ := run(0, other, "review", "export"); told != out {
		t.Errorf("told: %s\nknown: %s", out, told)
	}
	if out, _ := run(2, other, "review", "import", write(t, dir, "other.csv", "id,kind\n")); out != "" {
		t.Error(out)
	}
	if _, body := fetch(t, in.Admin+"/metrics"); !strings.Contains(body, "onefold_review_pairs 0") ||
		!strings.Contains(body, `onefold_review_verdicts_total{verdict="same"} 2`) || !strings.Contains(body, `onefold_review_verdicts_total{verdict="later"} 2`) {
		t.Error("the metrics do not say what was decided")
	}
}
