package wire

import "google.golang.org/protobuf/encoding/protowire"

// Limits of the wire. Each is checked when reading and when writing.
const (
	MaxFrame   = 262144 // bytes of one frame, without its length prefix
	MaxBody    = 260000 // bytes of one Body: MaxFrame less room for the frame's other fields
	MaxHello   = 4096   // bytes of a HELLO frame
	MaxRecord  = 2048   // bytes of a signed peer record
	MaxKey     = 1024   // bytes of a public key: more than an RSA key of 4,096 bits has
	MaxSig     = 512    // bytes of a signature: 64 for Ed25519, 512 for RSA of 4,096 bits
	MaxNonce   = 32     // printable ASCII characters
	MaxPath    = 20     // entries: the origin and 19 relays
	MaxRoute   = 20     // entries
	MaxTargets = 64     // entries
	MaxNamed   = 128    // peers in one Neighbours frame
	MaxPayload = 64000  // raw bytes of a payload that every peer accepts; 4 times that in legacy JSON
	MaxText    = 256000 // bytes of JSON text that every peer accepts

	TokenSize    = 16        // bytes of a handshake token and of an end-to-end id
	maxFeatures  = 32        // features of a HELLO
	maxFeature   = 64        // bytes of one feature's name
	maxAgent     = 256       // bytes of the agent's name
	pathEntry    = 22        // bytes of a path entry: tag, length and an id of 20 bytes
	lengthPrefix = 3         // bytes of the longest length prefix, a uvarint up to MaxFrame
	nackHead     = 25        // bytes around a returned frame: 4 of the NACK, 11 of seq, 6 of reason, 4 of the frame
	maxEnum      = 1<<31 - 1 // greatest value of a protobuf enum
)

// Field numbers of a Frame. A link frame has one of 1 to 7, a message has fields of 8 to 15.
//
//	 1 hello   {1 features, 2 role, 3 link, 4 limits, 5 agent}
//	 2 ack     varint    4 ping  fixed64    6 bye {1 reason}
//	 3 nack    {1 seq, 2 reason, 3 frame}   5 pong  fixed64
//	 7 neighbours  {1 reset, 2 named, 3 gone, 4 lost}
//
//	 8 hop     fixed32   tx left:8 | detours left:8 | nacks left:8 | attempt:8
//	 9 nonce   bytes     10 body  bytes     11 route  repeated 20 bytes
//	12 sig     bytes     13 targets  repeated 20 bytes
//	15 path    repeated 20 bytes, last: a relay appends pathEntry bytes
//
// 14 is reserved: it is the last free number whose tag takes one byte.
const (
	fieldHello   = 1
	fieldAck     = 2
	fieldNack    = 3
	fieldPing    = 4
	fieldPong    = 5
	fieldBye     = 6
	fieldPeers   = 7
	fieldHop     = 8
	fieldNonce   = 9
	fieldBody    = 10
	fieldRoute   = 11
	fieldSig     = 12
	fieldTargets = 13
	fieldPath    = 15

	pathTag = fieldPath<<3 | byte(protowire.BytesType)
)

// Field numbers of a Body.
const (
	fieldTo      = 1
	fieldFrom    = 2
	fieldKind    = 3
	fieldForm    = 4
	fieldFlags   = 5
	fieldE2E     = 6
	fieldExpiry  = 7
	fieldKey     = 8
	fieldExtra   = 9
	fieldRecord  = 10
	fieldToken   = 11
	fieldPayload = 15
)
