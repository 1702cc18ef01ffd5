package match

import (
	"slices"
	"strings"

	"github.com/onefold/onefold/customer"
	"github.com/onefold/onefold/customer/match/spelling"
)

// Words around a name that are no part of it.

func honorific(w string) bool {
	switch w {
	case "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "professor", "sir", "dame", "lord", "lady", "rev", "herr", "frau", "hr", "fr",
		"dipl", "ing", "mag", "med", "phil", "jur", "mme", "mlle", "monsieur", "madame", "sig", "sigra", "sra", "srta", "dhr", "mevr",
		"mw":
		return true
	}
	return false
}

// suffix answers the form of a word that tells generations apart, empty for any other.
func suffix(w string) string {
	switch w {
	case "jr", "junior", "jnr":
		return "jr"
	case "sr", "senior", "snr":
		return "sr"
	case "ii", "iii", "iv":
		return w
	}
	return ""
}

// degree tells a title that follows a name.
func degree(w string) bool {
	switch w {
	case "phd", "md", "msc", "bsc", "mba", "esq", "cpa", "dds", "ba", "ma":
		return true
	}
	return false
}

// noble tells the words of a rank or an honour that stands behind a name: "1st Baron Clifford", "OBE".
func noble(w string) bool {
	switch w {
	case "baron", "baroness", "baronet", "bart", "bt", "earl", "count", "countess", "duke", "duchess", "viscount", "viscountess", "marquess",
		"marquis", "lord", "lady", "prince", "princess", "knight", "kbe", "cbe", "obe", "mbe", "kcb", "mp", "qc", "kc", "freiherr", "graf":
		return true
	}
	return degree(w) || ordinal(w)
}

// particle tells the small words of family names, which sources drop or keep at will.
func particle(w string) bool {
	switch w {
	case "de", "del", "della", "di", "da", "do", "dos", "das", "du", "des", "van", "von", "vom", "der", "den", "het", "ten", "ter", "zu",
		"zum", "zur", "af", "av", "al", "el", "bin", "ibn", "la", "las", "los", "le", "y", "e", "of", "st":
		return true
	}
	return false
}

// and tells the words that join two people in one name.
func and(w string) bool {
	switch w {
	case "and", "und", "et", "en", "oder", "or", "ou":
		return true
	}
	return false
}

// legalForm tells the words that say what kind of organisation a name belongs to.
func legalForm(w string) bool {
	switch w {
	case "gmbh", "ag", "kg", "ohg", "gbr", "ug", "ev", "mbh", "co", "company", "inc", "incorporated", "corp", "corporation", "llc",
		"llp", "lp", "ltd", "limited", "plc", "sa", "sas", "sarl", "srl", "spa", "sl", "slu", "bv", "nv", "ab", "as", "asa", "aps",
		"oy", "oyj", "kft", "zrt", "sro", "doo", "uab", "sia", "ooo", "oao", "zao", "pao", "ao", "ou", "eood", "ood", "pty", "pte",
		"kk", "se", "scs", "snc", "eg", "ggmbh":
		return true
	}
	return false
}

// corporate tells the legal forms that no person's name contains: what has one is an organisation, if nothing else says so.
func corporate(w string) bool {
	switch w {
	case "gmbh", "ag", "inc", "incorporated", "corp", "corporation", "llc", "llp", "ltd", "limited", "plc", "sarl", "srl", "bv", "nv",
		"oyj", "kft", "uab", "ooo", "oao", "zao", "pao", "pty", "ggmbh", "mbh", "ohg", "gbr", "sas", "spa", "company", "bank",
		"foundation", "verein", "stiftung":
		return true
	}
	return false
}

// maxName bounds the words of one part of a name (invariant 10).
const maxName = 6

// given answers the words of a given name: "Ana María" is two.
func (s *standard) given(text string) []string {
	out := slices.DeleteFunc(spelling.Said(text), numeric)
	for len(out) > 1 && honorific(out[0]) {
		out = out[1:]
	}
	return out[:min(len(out), maxName)]
}

// family answers the words of a family name, without particles and generation.
func (s *standard) family(text string) []string {
	out := spelling.Said(text)
	for len(out) > 1 {
		last := out[len(out)-1]
		if g := suffix(last); g != "" {
			s.f.Suffix = g
		} else if !degree(last) {
			break
		}
		out = out[:len(out)-1]
	}
	core := slices.DeleteFunc(slices.Clone(out), func(w string) bool { return particle(w) || numeric(w) })
	if len(core) == 0 {
		core = out
	}
	return core[:min(len(core), maxName)]
}

// full splits a name whose order is unknown. A comma puts the family name first; a name that joins two people tells their
// family name only.
func (s *standard) full(text string) {
	f := s.f
	if before, after, ok := strings.Cut(text, ","); ok && !spelling.Placeholder(before) && !spelling.Placeholder(after) {
		switch words := spelling.Words(after); {
		case slices.ContainsFunc(words, noble):
			text = before
		case suffix(strings.Join(words, "")) == "":
			f.Family = s.family(before)
			s.split(s.trimmed(words))
			return
		}
	}
	two := strings.ContainsAny(text, "&+/")
	words := s.trimmed(spelling.Said(text))
	if at := slices.IndexFunc(words, and); at > 0 && at < len(words)-1 {
		two = true
	}
	switch {
	case len(words) == 0:
	case two:
		f.Family = words[len(words)-1:]
	case len(words) == 1:
		f.Family, f.Unsplit = words, true
	default:
		if last := len(words) - 1; s.names.Role[words[last]]-s.names.Role[words[0]] >= clearly {
			words[0], words[last] = words[last], words[0]
		}
		f.Given, f.Middle, f.Family, f.Unsplit = words[:1:1], slices.Clone(words[1:len(words)-1]), words[len(words)-1:], true
	}
}

// clearly is how much rather the last word of a name must be the given name than the first for the two to change places.
const clearly = 4 * customer.Bits

// split reads given and middle names.
func (s *standard) split(words []string) {
	if len(words) > 0 {
		s.f.Given, s.f.Middle = words[:1:1], words[1:]
	}
}

// trimmed leaves out what is around a name and its particles.
func (s *standard) trimmed(words []string) []string {
	for len(words) > 1 && honorific(words[0]) || len(words) > 2 && words[0] == "sr" {
		words = words[1:]
	}
	for len(words) > 2 {
		last := words[len(words)-1]
		if g := suffix(last); g != "" {
			s.f.Suffix = g
		} else if !degree(last) {
			break
		}
		words = words[:len(words)-1]
	}
	core := slices.DeleteFunc(slices.Clone(words), func(w string) bool { return particle(w) || numeric(w) })
	if len(core) == 0 {
		core = words
	}
	return core[:min(len(core), maxName)]
}

// organisation answers an organisation's name without its legal form, in single blanks.
func organisation(text string) string {
	words := undotted(spelling.Said(text))
	core := slices.DeleteFunc(slices.Clone(words), legalForm)
	if len(core) == 0 {
		core = words
	}
	return strings.Join(core, " ")
}

// undotted puts together letters that stand alone: the two of "S.A." are one word.
func undotted(words []string) []string {
	var out []string
	for i, w := range words {
		if i > 0 && len(w) == 1 && len(words[i-1]) == 1 {
			out[len(out)-1] += w
		} else {
			out = append(out, w)
		}
	}
	return out
}

// isOrganisation tells a name that no person has. A form counts at the end, or at the start as in Eastern Europe.
func isOrganisation(text string) bool {
	words := undotted(spelling.Words(text))
	if len(words) < 2 {
		return false
	}
	// Sá is a family name, SA at the end of three words or more a legal form.
	if len(words) > 2 && slices.Contains(words[1:], "sa") && (strings.Contains(text, "SA") || strings.Contains(text, "S.A")) {
		return true
	}
	return slices.ContainsFunc(words[1:], corporate) || corporate(words[0]) && !honorific(words[0])
}

// readName fills in names from the parts that a source states, else from the whole.
func (s *standard) readName(texts map[string]string) {
	f := s.f
	kind := strings.ToLower(texts["partyType"])
	legal, full := texts["legalName"], texts["fullName"]
	more := full // of a name that is told in parts, too
	f.Given, f.Family = s.given(texts["givenName"]), s.family(texts["familyName"])
	nameless := len(f.Given) == 0 && len(f.Family) == 0
	switch {
	case strings.HasPrefix(kind, "organi"),
		kind == "" && nameless && (!spelling.Placeholder(legal) || isOrganisation(full)):
		f.Organisation = true
		f.Given, f.Family, f.Suffix = nil, nil, ""
		if f.Name = organisation(legal); f.Name == "" {
			f.Name = organisation(full)
		}
		if f.Name == "" {
			f.Name = organisation(strings.TrimSpace(texts["givenName"] + " " + texts["familyName"]))
		}
		return
	case nameless:
		full, more = aside(full)
		s.full(full)
	}
	if g := suffix(strings.Join(spelling.Words(texts["honorificSuffix"]), "")); g != "" {
		f.Suffix = g
	}
	for !f.Unsplit && len(f.Given) > 1 && len(f.Given[len(f.Given)-1]) == 1 { // "Ana M."
		f.Middle = append(f.Middle, f.Given[len(f.Given)-1])
		f.Given = f.Given[:len(f.Given)-1]
	}
	if more := s.given(texts["additionalName"]); len(more) > 0 {
		f.Middle = more
	}
	if len(f.Given) == 0 && len(f.Family) > 0 {
		f.Given = givenOfMail(f)
	}
	s.also(more)
	s.also(texts["alternateName"])
}

// aside parts a name from what it has in brackets.
func aside(text string) (bare, inside string) {
	before, rest, open := strings.Cut(text, "(")
	in, after, closed := strings.Cut(rest, ")")
	if !open || !closed || spelling.Placeholder(before) {
		return text, ""
	}
	return before + " " + after, in
}

// also puts the words of another writing of the name, which the parts do not have, to the middle names: a name before a marriage, the
// name of a title. Of a name in one field all words are there already.
func (s *standard) also(text string) {
	if f := s.f; !spelling.Placeholder(text) && !isOrganisation(text) {
		for _, w := range s.trimmed(spelling.Said(text)) {
			known := slices.Contains(f.Given, w) || slices.Contains(f.Family, w) || slices.Contains(f.Middle, w)
			if len(w) > 1 && !known && !noble(w) && !honorific(w) && suffix(w) == "" && len(f.Middle) < maxName {
				f.Middle = append(f.Middle, w)
			}
		}
	}
}

// givenOfMail reads a missing given name from an address like given.family99@.
func givenOfMail(f *customer.Features) []string {
	for i := range f.Emails {
		local := strings.TrimRight(spelling.Folded(f.Emails[i].Local), "0123456789")
		at := strings.IndexAny(local, "._-")
		if at < 3 || f.Emails[i].Role {
			continue
		}
		if g, rest := local[:at], local[at+1:]; rest == strings.Join(f.Family, "") && strings.Trim(g, "abcdefghijklmnopqrstuvwxyz") == "" {
			return []string{g}
		}
	}
	return nil
}
