package security_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// bear answers versions, the naming of OAUTHBEARER and the token, as a broker does; a wrong token costs a round with one byte.
func bear(conn net.Conn) error {
	refused := false
	for {
		req, id, err := request(conn)
		if err != nil {
			return err
		}
		resp := req.ResponseKind()
		resp.SetVersion(req.GetVersion())
		done := false
		switch r := resp.(type) {
		case *kmsg.ApiVersionsResponse:
			for _, key := range []kmsg.Key{kmsg.ApiVersions, kmsg.SASLHandshake, kmsg.SASLAuthenticate} {
				r.ApiKeys = append(r.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key.Int16(), MaxVersion: 1})
			}
		case *kmsg.SASLHandshakeResponse:
			if req.(*kmsg.SASLHandshakeRequest).Mechanism != "OAUTHBEARER" {
				r.ErrorCode, r.SupportedMechanisms = kerr.UnsupportedSaslMechanism.Code, []string{"OAUTHBEARER"}
			}
		case *kmsg.SASLAuthenticateResponse:
			said := string(req.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
			switch {
			case refused && said == "\x01":
				text := "the token is not ours"
				r.ErrorCode, r.ErrorMessage = kerr.SaslAuthenticationFailed.Code, &text
			case said == "n,,\x01auth=Bearer "+secret+"\x01\x01":
				done = true
			default:
				refused = true
				r.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
			}
		}
		body := resp.AppendTo(binary.BigEndian.AppendUint32(nil, uint32(id)))
		if _, err := conn.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)); err != nil || done {
			return err
		}
	}
}

func request(conn net.Conn) (kmsg.Request, int32, error) {
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, 0, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > 1<<16 {
		return nil, 0, errors.New("too large")
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, 0, err
	}
	r := kbin.Reader{Src: body}
	key, version, id := r.Int16(), r.Int16(), r.Int32()
	r.NullableString()
	req := kmsg.RequestForKey(key)
	if req == nil || key != kmsg.ApiVersions.Int16() && key != kmsg.SASLHandshake.Int16() && key != kmsg.SASLAuthenticate.Int16() {
		return nil, 0, fmt.Errorf("request %d before the token", key)
	}
	req.SetVersion(version)
	return req, id, req.ReadFrom(r.Src)
}
