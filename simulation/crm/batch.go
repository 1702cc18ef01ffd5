package crm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
)

// batch writes several contacts, each for itself: POST /contacts/batch {"records": [{"externalId": ..., "properties": {...}}]}. A record
// with an `id` is the contact of that id, which is given the external id. Each has a result in its place; if some were refused the whole
// is 207.
func (c *CRM) batch(_ *http.Request, body []byte) answer {
	var in struct {
		Records []record `json:"records"`
	}
	if err := json.Unmarshal(body, &in); err != nil || len(in.Records) == 0 || len(in.Records) > MaxBatch {
		return failure(http.StatusUnprocessableEntity, "INVALID", fmt.Sprintf("records is a list of 1 to %d", MaxBatch))
	}
	results, status := make([]result, len(in.Records)), http.StatusOK
	for i := range in.Records {
		results[i] = c.write(&in.Records[i])
		if results[i].Error != nil {
			status = http.StatusMultiStatus
		}
	}
	return answer{status: status, body: map[string]any{"results": results}}
}

// record is one contact of a batch.
type record struct {
	ID         string          `json:"id"`
	ExternalID string          `json:"externalId"`
	Properties json.RawMessage `json:"properties"`
}

func (c *CRM) write(rec *record) result {
	out := result{ExternalID: rec.ExternalID}
	refuse := func(status int, code, message string) result {
		out.Status, out.Error = status, &problem{Code: code, Message: message}
		return out
	}
	if c.dice.chance(c.faults.Partial) {
		c.stats.Failed++
		return refuse(http.StatusServiceUnavailable, "BUSY", "this record could not be written now")
	}
	code, x := http.StatusOK, c.contacts[rec.ID]
	var err error
	switch {
	case rec.ID == "":
		code, x, err = c.upsert(rec.ExternalID, rec.Properties)
	case x == nil:
		return refuse(http.StatusNotFound, "NOT_FOUND", "there is no such contact")
	case taken(c.external[rec.ExternalID], x):
		return refuse(http.StatusConflict, "CONFLICT", "another contact has this external id")
	default:
		err = c.change(x, withExternal(rec.Properties, rec.ExternalID), Integration, "api")
	}
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, "INVALID", err.Error())
	}
	out.Status, out.ID, out.Version = code, x.ID, x.Version
	return out
}

// withExternal is a document that names an external id beside the rest, or as it is where there is none to name.
func withExternal(doc []byte, external string) []byte {
	rest, object := bytes.CutPrefix(bytes.TrimSpace(doc), []byte("{"))
	name, err := json.Marshal(external)
	if !object || err != nil || external == "" {
		return doc
	}
	comma := ","
	if bytes.HasPrefix(bytes.TrimSpace(rest), []byte("}")) {
		comma = ""
	}
	return append([]byte(`{"externalId":`+string(name)+comma), rest...)
}

// result is what became of one record of a batch.
type result struct {
	ExternalID string   `json:"externalId"`
	ID         string   `json:"id,omitempty"`
	Version    int64    `json:"version,omitempty"`
	Status     int      `json:"status"`
	Error      *problem `json:"error,omitempty"`
}
