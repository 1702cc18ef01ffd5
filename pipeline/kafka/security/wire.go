package security

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer is the limit of one answer before we know that a Kafka broker answers (invariant 10).
const maxAnswer = 1 << 20

// Versions of what is asked on a new connection: none has the later, flexible headers, and Kafka from 2.0 to 4 speaks them all.
const (
	metadataVersion     = 8
	handshakeVersion    = 1 // from which on what follows is in requests of their own
	authenticateVersion = 1
)

var errTLS = errors.New("the answer is TLS")

// wire asks on a connection that nobody else uses yet.
type wire struct {
	conn net.Conn
	id   int32
}

func (w *wire) ask(req kmsg.Request, version int16) (kmsg.Response, error) {
	req.SetVersion(version)
	w.id++
	if _, err := w.conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, w.id)); err != nil {
		return nil, err
	}
	var head [8]byte // size, correlation id
	if n, err := io.ReadFull(w.conn, head[:]); n < 2 && err != nil {
		return nil, err
	} else if head[0] == 0x15 && head[1] == 3 { // the record of an alert; as a size it would be 352 MB
		return nil, errTLS
	} else if err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(head[:4])) - 4
	if id := int32(binary.BigEndian.Uint32(head[4:])); size < 0 || size > maxAnswer || id != w.id {
		return nil, fmt.Errorf("what %s answers is not Kafka's protocol: look whether a broker listens there", w.conn.RemoteAddr())
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return nil, err
	}
	resp := req.ResponseKind()
	return resp, resp.ReadFrom(body)
}
