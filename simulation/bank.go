package simulation

import (
	"fmt"
	"strconv"
	"strings"
)

const servicer = "TOWNBANK"

// banking lets something happen on an account; what the bank learns about its owner shows in the next message.
func (s *story) banking(i int32) act {
	r := &s.records[i]
	p := s.town.person(&s.unit, r.person())
	if s.behind(r, p) && s.dice.chance(0.3) || s.dice.chance(0.03) {
		s.learn(r)
	}
	kind := bankNotice
	if s.dice.chance(0.15) {
		kind = bankStatement
	}
	a := s.act(kind, i)
	s.book(&a)
	return a
}

// book moves the balance by an act's new entries. What a notification tells, a later statement may tell again; a direct debit may come
// back.
func (s *story) book(a *act) {
	r := &s.records[a.index]
	list := s.town.entries(a)
	for _, e := range list {
		r.cents += e.signed()
	}
	r.seen++
	a.was = *r
	if a.kind != bankNotice {
		return
	}
	if s.dice.chance(0.15) {
		s.later(*a, bankStatement, 5, 300)
	}
	for i, e := range list {
		if e.what == directDebit && e.status == "BOOK" && s.dice.chance(0.04) {
			back := *a
			back.other = uint32(i)
			s.later(back, bankReversal, 10, 400)
			return
		}
	}
}

// partyKey answers the key of a record's party as the systems' mappings have it.
func (t *Town) partyKey(u *unit, p *person, r *record) string {
	switch r.system() {
	case shop:
		return strconv.FormatInt(t.customerID(r.slot), 10)
	case pos:
		return t.tillID(r.slot)
	}
	number, iban := t.account(u, p, r.account())
	if iban {
		return "iban:" + number
	}
	return "account:" + number
}

// bankMessage writes a notification (camt.054) or a statement (camt.053), in the version of 2013 or of 2019.
func (t *Town) bankMessage(a *act) Message {
	var u unit
	p := t.person(&u, a.who)
	g := &t.tables.countries[u.country]
	number, iban := t.account(&u, p, a.was.account())
	w := ledger{paper: paper{b: make([]byte, 0, 6144)}, town: t, act: a, unit: &u, person: p, currency: g.currency, bic: g.bic}
	w.modern = mix(uint64(a.was.slot))%10 < 6
	w.number, w.iban = number, iban
	kind, root, part := "camt.054.001.0", "BkToCstmrDbtCdtNtfctn", "Ntfctn"
	if a.kind == bankStatement {
		kind, root, part = "camt.053.001.0", "BkToCstmrStmt", "Stmt"
	}
	kind += map[bool]string{true: "8", false: "4"}[w.modern]
	id := fmt.Sprintf("%s%012d", servicer, a.n)
	made := t.instant(a.at).UTC().Format(local)
	w.raw(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:` + kind + `">`)
	w.start(root)
	w.start("GrpHdr")
	w.element("MsgId", id)
	w.element("CreDtTm", made)
	w.raw("<MsgPgntn><PgNb>1</PgNb><LastPgInd>true</LastPgInd></MsgPgntn>")
	w.stop("GrpHdr")
	w.start(part)
	w.element("Id", id+"-1")
	w.element("ElctrncSeqNb", strconv.Itoa(int(a.was.seen)))
	w.element("CreDtTm", made)
	w.owner()
	list := t.entries(a)
	if a.kind == bankStatement {
		if a.ref != 0 {
			list = append(t.drawn(a.ref, a.since), list...)
		}
		w.balances(list)
	}
	for i := range list {
		if a.kind != bankStatement || list[i].status == "BOOK" {
			w.entry(&list[i])
		}
	}
	w.stop(part)
	w.stop(root)
	w.stop("Document")
	return Message{
		Source: Bank, Topic: bankTopic, Key: []byte(number), Value: w.b,
		Headers: []Header{{Key: "Content-Type", Value: []byte("application/xml")}},
	}
}

// ledger writes one message of the bank.
type ledger struct {
	paper
	town          *Town
	act           *act
	unit          *unit
	person        *person
	number        string
	iban          bool
	modern        bool // version 08: parties and statuses have a level more
	currency, bic string
}

func (w *ledger) accountID(number string, iban bool) {
	w.start("Id")
	if iban {
		w.element("IBAN", number)
	} else {
		w.start("Othr")
		w.element("Id", number)
		w.element("Issr", servicer)
		w.stop("Othr")
	}
	w.stop("Id")
}

// agent writes which bank it is: BIC until version 03, BICFI since.
func (w *ledger) agent(bic string) {
	w.start("FinInstnId")
	w.element("BICFI", bic)
	w.stop("FinInstnId")
}

// owner writes the account and who owns it. A person's name is one text, in the order and the letters of the clerk who opened the account.
func (w *ledger) owner() {
	know := w.town.know(w.unit, w.person, &w.act.was)
	w.start("Acct")
	w.accountID(w.number, w.iban)
	w.element("Ccy", w.currency)
	w.start("Ownr")
	w.element("Nm", w.fullName(&know))
	if know.line1 != "" {
		w.start("PstlAdr")
		if w.act.was.slot%7 == 0 { // an old account: lines only
			w.element("Ctry", w.town.tables.countries[w.unit.country].code)
			w.element("AdrLine", know.line1)
			w.element("AdrLine", know.zip+" "+know.city)
		} else {
			w.element("StrtNm", know.home.street)
			w.element("BldgNb", know.home.number)
			w.element("PstCd", know.zip)
			w.element("TwnNm", know.city)
			w.element("Ctry", w.town.tables.countries[w.unit.country].code)
		}
		w.stop("PstlAdr")
	}
	w.identification(&know)
	if know.dialled != "" || know.email != "" {
		w.start("CtctDtls")
		if know.dialled != "" {
			w.element(map[bool]string{true: "MobNb", false: "PhneNb"}[know.phone.mobile], know.phone.dashed())
		}
		w.element("EmailAdr", know.email)
		w.stop("CtctDtls")
	}
	w.stop("Ownr")
	w.start("Svcr")
	w.agent(w.bic)
	w.stop("Svcr")
	w.stop("Acct")
}

// identification writes when a person was born and by what number the bank knows its customer, whatever account it is.
func (w *ledger) identification(know *profile) {
	kind := "PrvtId"
	if w.person.firm {
		kind = "OrgId"
	}
	w.start("Id")
	w.start(kind)
	if know.born != "" {
		w.start("DtAndPlcOfBirth")
		w.element("BirthDt", know.born)
		w.element("CityOfBirth", w.town.tables.countries[w.unit.country].places[0].name)
		w.element("CtryOfBirth", w.town.tables.countries[w.unit.country].code)
		w.stop("DtAndPlcOfBirth")
	}
	w.start("Othr")
	w.element("Id", w.town.customerNumber(w.person))
	w.raw("<SchmeNm><Cd>CUST</Cd></SchmeNm>")
	w.element("Issr", servicer)
	w.stop("Othr")
	w.stop(kind)
	w.stop("Id")
}

func (w *ledger) fullName(know *profile) string {
	if know.company != "" {
		return know.company
	}
	given := strings.TrimSpace(know.given + " " + know.middle)
	d := throw(w.town.config.Seed, forProfile, uint64(w.act.was.slot)<<2|1<<60)
	family := know.family
	upper := d.chance(0.25)
	if upper {
		given, family = strings.ToUpper(given), strings.ToUpper(family)
	}
	if d.chance(0.3) {
		return family + " " + given
	}
	return given + " " + family
}

// balances writes what stood on the account before the entries and after.
func (w *ledger) balances(list []entry) {
	closing := w.act.was.cents
	opening := closing
	for i := range list {
		opening -= list[i].signed()
	}
	for _, b := range []struct {
		code  string
		cents int64
	}{{"OPBD", opening}, {"CLBD", closing}} {
		side, cents := "CRDT", b.cents
		if cents < 0 {
			side, cents = "DBIT", -cents
		}
		w.raw("<Bal><Tp><CdOrPrtry><Cd>" + b.code + "</Cd></CdOrPrtry></Tp>")
		w.sum(cents, w.currency)
		w.element("CdtDbtInd", side)
		w.raw("<Dt><Dt>" + w.town.instant(w.act.at).UTC().Format(day) + "</Dt></Dt></Bal>")
	}
}

// entry writes one booking with its details.
func (w *ledger) entry(e *entry) {
	side := "DBIT"
	if e.credit {
		side = "CRDT"
	}
	sort := bookings()[e.what]
	ref := fmt.Sprintf("TB%019d", e.n&^(1<<63))
	if e.reversal {
		ref = "TBR" + ref[3:]
	}
	when := w.town.instant(e.at).UTC().Format(day)
	w.start("Ntry")
	w.sum(e.cents, w.currency)
	w.element("CdtDbtInd", side)
	w.element("RvslInd", strconv.FormatBool(e.reversal))
	if w.modern {
		w.raw("<Sts><Cd>" + e.status + "</Cd></Sts>")
	} else {
		w.element("Sts", e.status)
	}
	w.raw("<BookgDt><Dt>" + when + "</Dt></BookgDt><ValDt><Dt>" + when + "</Dt></ValDt>")
	w.element("AcctSvcrRef", ref)
	w.raw("<BkTxCd><Domn><Cd>" + sort.domain + "</Cd><Fmly><Cd>" + sort.family + "</Cd><SubFmlyCd>" + sort.sub + "</SubFmlyCd></Fmly></Domn>")
	w.raw("</BkTxCd><NtryDtls><TxDtls><Refs>")
	w.element("AcctSvcrRef", ref)
	if e.what == cardPayment || e.what == cash {
		w.element("EndToEndId", "NOTPROVIDED")
	} else {
		w.element("EndToEndId", fmt.Sprintf("E2E%020d", e.n&^(1<<63)))
	}
	w.stop("Refs")
	w.sum(e.cents, w.currency)
	w.element("CdtDbtInd", side)
	w.counterparty(e)
	w.raw("<RmtInf><Ustrd>" + sort.text + "</Ustrd></RmtInf></TxDtls></NtryDtls>")
	w.element("AddtlNtryInf", sort.text)
	w.stop("Ntry")
}

// counterparty writes who is on the other side: of a transfer another customer or somebody elsewhere, of a salary an employer, of a card
// payment a shop, of whom only the name is told.
func (w *ledger) counterparty(e *entry) {
	if e.what == cash || e.what == fees {
		return
	}
	t := w.town
	d := throw(t.config.Seed, forFirm, e.n&^(1<<63))
	cdtr := e.credit == e.reversal // money went out: the other side is its creditor; of what came back too
	side := "Dbtr"
	if cdtr {
		side = "Cdtr"
	}
	var name, number string
	var iban bool
	g := &t.tables.countries[w.unit.country]
	switch {
	case e.what == transferIn || e.what == transferOut:
		var u unit
		other := t.person(&u, uint32(d.below(t.config.People)))
		if name = other.given + " " + other.family; d.chance(0.3) && !other.firm {
			name = strings.ToUpper(other.family + " " + other.given)
		}
		if other.grownUp && other.n != w.person.n {
			number, iban = t.account(&u, other, 0)
		}
	default:
		d = throw(t.config.Seed, forFirm, 1<<62|uint64(d.below(1000))<<8|uint64(w.unit.country)) // a thousand firms a country
		name = pick(&d, g.trades) + " " + g.family.draw(&d) + " " + pick(&d, g.forms)
		if number = withCheck("DE", "37040044"+d.digits(10)); e.what == cardPayment {
			number = ""
		}
		iban = true
	}
	w.start("RltdPties")
	w.start(side)
	if w.modern {
		w.start("Pty")
	}
	w.element("Nm", name)
	if w.modern {
		w.stop("Pty")
	}
	w.stop(side)
	if number != "" {
		w.start(side + "Acct")
		w.accountID(number, iban)
		w.stop(side + "Acct")
	}
	w.stop("RltdPties")
}
