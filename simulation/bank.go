package simulation

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// booking answers what the bank tells of an account: a notification (camt.054) or a statement (camt.053), with one to three entries.
func (s *story) booking(a *account) Message {
	if a.created.IsZero() {
		a.created = s.now
	}
	var b bytes.Buffer
	statement := s.chance(0.3)
	version, root, part := "camt.054.001.08", "BkToCstmrDbtCdtNtfctn", "Ntfctn"
	if statement {
		version, root, part = "camt.053.001.08", "BkToCstmrStmt", "Stmt"
	}
	id := fmt.Sprintf("CORNERBANK%010d", s.number())
	now := s.now.Format(time.RFC3339Nano)
	fmt.Fprintf(&b, `<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:%s"><%s>`, version, root)
	fmt.Fprintf(&b, `<GrpHdr><MsgId>%s</MsgId><CreDtTm>%s</CreDtTm></GrpHdr>`, id, now)
	fmt.Fprintf(&b, `<%s><Id>%s</Id><CreDtTm>%s</CreDtTm>`, part, id, now)
	s.owner(&b, a)
	for range 1 + s.rng.IntN(3) {
		s.entry(&b, a)
	}
	fmt.Fprintf(&b, `</%s></%s></Document>`, part, root)
	return Message{Source: Bank, Topic: bankTopic, Key: []byte(a.id), Value: b.Bytes(), Time: s.now}
}

// owner writes the account and who owns it: the name in one field, in the order of the clerk.
func (s *story) owner(b *bytes.Buffer, a *account) {
	name := a.given + " " + a.family
	switch {
	case a.owner.firm:
	case a.n == 1:
		name = strings.ToUpper(a.family) + " " + strings.ToUpper(a.given)
	case a.owner.middle != "" && a.owner.n%3 == 0:
		name = a.given + " " + a.owner.middle + " " + a.family
	}
	b.WriteString("<Acct><Id>" + accountID(a.id) + "</Id><Ccy>EUR</Ccy><Ownr>")
	element(b, "Nm", name)
	b.WriteString("<PstlAdr>")
	element(b, "StrtNm", strings.TrimSpace(strings.ReplaceAll(a.street, a.home.number, "")))
	element(b, "BldgNb", a.home.number)
	element(b, "PstCd", a.home.postcode)
	element(b, "TwnNm", a.home.city)
	element(b, "Ctry", a.home.country)
	b.WriteString("</PstlAdr>")
	if !a.owner.firm {
		b.WriteString("<Id><PrvtId><DtAndPlcOfBirth>")
		element(b, "BirthDt", a.birth)
		element(b, "CityOfBirth", a.home.city)
		element(b, "CtryOfBirth", a.home.country)
		b.WriteString("</DtAndPlcOfBirth></PrvtId></Id>")
	}
	if a.phone != "" || a.email != "" {
		b.WriteString("<CtctDtls>")
		element(b, "MobNb", dashed(a.phone))
		element(b, "EmailAdr", a.email)
		b.WriteString("</CtctDtls>")
	}
	b.WriteString("</Ownr></Acct>")
}

// entry writes one booking, with who is on the other side.
func (s *story) entry(b *bytes.Buffer, a *account) {
	cents, direction, status := s.cents(), "DBIT", "BOOK"
	if s.chance(0.3) {
		cents, direction = cents*40, "CRDT"
	}
	if s.chance(0.05) {
		status = []string{"INFO", "PDNG"}[s.rng.IntN(2)]
	}
	reversal := s.chance(0.02)
	ref := fmt.Sprintf("REF%012d", s.number())
	day := s.now.Format("2006-01-02")
	fmt.Fprintf(b, `<Ntry><Amt Ccy="EUR">%s</Amt><CdtDbtInd>%s</CdtDbtInd>`, money(cents), direction)
	if reversal {
		b.WriteString("<RvslInd>true</RvslInd>")
	}
	fmt.Fprintf(b, `<Sts><Cd>%s</Cd></Sts><BookgDt><Dt>%s</Dt></BookgDt><AcctSvcrRef>%s</AcctSvcrRef>`, status, day, ref)
	b.WriteString(`<BkTxCd><Domn><Cd>PMNT</Cd><Fmly><Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls>`)
	fmt.Fprintf(b, `<Refs><AcctSvcrRef>%s</AcctSvcrRef><EndToEndId>NOTPROVIDED</EndToEndId></Refs>`, ref)
	fmt.Fprintf(b, `<Amt Ccy="EUR">%s</Amt><CdtDbtInd>%s</CdtDbtInd>`, money(cents), direction)
	if other := s.accounts[s.rng.IntN(len(s.accounts))]; other.source == Bank && other != a && s.chance(0.5) {
		side, acct := "Cdtr", "CdtrAcct"
		if (direction == "CRDT") != reversal {
			side, acct = "Dbtr", "DbtrAcct"
		}
		fmt.Fprintf(b, "<RltdPties><%s><Pty>", side)
		element(b, "Nm", other.given+" "+other.family)
		fmt.Fprintf(b, "</Pty></%s><%s><Id>%s</Id></%s></RltdPties>", side, acct, accountID(other.id), acct)
	}
	b.WriteString("</TxDtls></NtryDtls></Ntry>")
}

func accountID(id string) string {
	if id[0] >= 'A' {
		return "<IBAN>" + id + "</IBAN>"
	}
	return "<Othr><Id>" + id + "</Id><Issr>CORNERBANK</Issr></Othr>"
}

// dashed writes a number as ISO 20022 wants it: +41-791234567.
func dashed(phone string) string {
	for _, code := range []string{"+34", "+49", "+39", "+41", "+1"} {
		if rest, ok := strings.CutPrefix(phone, code); ok {
			return code + "-" + rest
		}
	}
	return phone
}

// element writes an element with a text, none for an empty one.
func element(b *bytes.Buffer, name, text string) {
	if text == "" {
		return
	}
	b.WriteString("<" + name + ">")
	_ = xml.EscapeText(b, []byte(text)) // a buffer takes everything
	b.WriteString("</" + name + ">")
}
