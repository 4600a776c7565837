package mailbox

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// A record is a message in the file. Its numbers are big-endian, so that the messages for a receiver
// stand together in the order of their numbers.
//
//	key    To (20) | Number (8)
//	value  Until, Unix milliseconds (8) | From (20) | E2E (16) | length of Sig (2) | Sig | length of Nonce (1) | Nonce | Body
type record struct{ key, value []byte }

const (
	keySize   = wire.IDSize + 8
	valueHead = 8 + wire.IDSize + wire.TokenSize + 2
	overhead  = 1 << 10 // bytes for which a message counts beside its record
)

// size returns the bytes for which a message counts.
func (r record) size() int64 { return int64(len(r.key)+len(r.value)) + overhead }

func keyOf(to protocol.ID, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, keySize), to[:]...), number)
}

func splitKey(k []byte) (to protocol.ID, number uint64) {
	return protocol.ID(k[:wire.IDSize]), binary.BigEndian.Uint64(k[wire.IDSize:])
}

func encode(m *kept.Message) record {
	v := make([]byte, 0, valueHead+len(m.Sig)+1+len(m.Nonce)+len(m.Body))
	v = binary.BigEndian.AppendUint64(v, uint64(m.Until.UnixMilli()))
	v = append(append(v, m.From[:]...), m.E2E[:]...)
	v = append(binary.BigEndian.AppendUint16(v, uint16(len(m.Sig))), m.Sig...)
	v = append(append(v, byte(len(m.Nonce))), m.Nonce...)
	return record{keyOf(m.To, m.Number), append(v, m.Body...)}
}

var errDamaged = errors.New("a message is damaged")

// decode returns the message of a record, which aliases the value.
func decode(k, v []byte) (m kept.Message, err error) {
	if len(k) != keySize || len(v) < valueHead {
		return m, errDamaged
	}
	m.To, m.Number = splitKey(k)
	m.Until = time.UnixMilli(int64(binary.BigEndian.Uint64(v)))
	m.From = protocol.ID(v[8:])
	m.E2E = [wire.TokenSize]byte(v[8+wire.IDSize:])
	sig, rest := int(binary.BigEndian.Uint16(v[valueHead-2:])), v[valueHead:]
	if len(rest) < sig+1 {
		return m, errDamaged
	}
	m.Sig, rest = rest[:sig:sig], rest[sig:]
	nonce, rest := int(rest[0]), rest[1:]
	if len(rest) < nonce {
		return m, errDamaged
	}
	m.Nonce, m.Body = rest[:nonce:nonce], rest[nonce:]
	return m, nil
}
