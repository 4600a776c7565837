package node

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/ipfs/go-cid"
	datastore "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multihash"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

const (
	// recordNamespace is where a peer's signed record is kept: under /pr/ and the 20
	// bytes of its id.
	recordNamespace = "pr"
	recordPrefix    = "/" + recordNamespace + "/"

	// What strangers may have a server of the DHT keep, see boundedStore.
	maxKeptProviders = 16 << 10
	maxKeptRecords   = 4 << 10
)

func recordKey(id protocol.ID) string { return recordPrefix + string(id[:]) }

// cidOf gives the CID under which providers of an id are found: the id is the digest
// of an identity multihash.
func cidOf(id protocol.ID) cid.Cid {
	m, err := multihash.Encode(id[:], multihash.IDENTITY)
	if err != nil {
		panic(err) // 20 bytes are never too long
	}
	return cid.NewCidV1(cid.Raw, m)
}

// A recordValidator lets the DHT keep signed peer records under the id that the
// signer's key hashes to, and of two the newer.
type recordValidator struct{}

// Validate implements record.Validator of kad-dht.
func (recordValidator) Validate(key string, value []byte) error {
	_, err := openKept(key, value)
	return err
}

// Select implements record.Validator of kad-dht.
func (recordValidator) Select(key string, values [][]byte) (int, error) {
	best, at := uint64(0), -1
	for i, v := range values {
		if rec, err := openKept(key, v); err == nil && (at < 0 || rec.Seq > best) {
			best, at = rec.Seq, i
		}
	}
	if at < 0 {
		return 0, errors.New("node: DHT: no valid record")
	}
	return at, nil
}

// openKept opens a record that the DHT keeps under a key.
func openKept(key string, value []byte) (*peer.PeerRecord, error) {
	if len(value) > wire.MaxRecord {
		return nil, fmt.Errorf("node: DHT: a record of %d bytes, at most %d", len(value), wire.MaxRecord)
	}
	id, ok := strings.CutPrefix(key, recordPrefix)
	if !ok || len(id) != wire.IDSize {
		return nil, errors.New("node: DHT: the key of a record is no id")
	}
	return checkRecord(value, protocol.ID([]byte(id)))
}

// A boundedStore keeps no more than so many keys, in memory. When it is full a new key
// takes the place of one of the largest crowd; one of that crowd itself is refused, and
// kad-dht tells so to who wanted it kept. So who fills the store takes its own places.
type boundedStore struct {
	datastore.Batching
	max   int
	crowd func(datastore.Key) string // what a key is one of

	mu     sync.Mutex // held to write
	crowds map[string]map[datastore.Key]bool
	sized  map[int]map[string]bool // the crowds that have so many keys: evict goes over none
	most   int                     // that one of them has
	keys   int
}

func newBoundedStore(max int, crowd func(datastore.Key) string) *boundedStore {
	return &boundedStore{
		Batching: dssync.MutexWrap(datastore.NewMapDatastore()), max: max,
		crowd: crowd, crowds: make(map[string]map[datastore.Key]bool), sized: make(map[int]map[string]bool),
	}
}

// publisherOf gives whose a provider record is: the last part of its key is the peer.
func publisherOf(key datastore.Key) string { return key.BaseNamespace() }

// bucketOf gives a function that tells how near to a peer a kept value is. Anybody can put
// the records of any number of peers that it made, but for those near the peer, which are
// the ones that it is asked for, it has to make many more.
func bucketOf(self protocol.ID) func(datastore.Key) string {
	return func(key datastore.Key) string {
		raw, err := recordEncoding.DecodeString(key.BaseNamespace())
		if err != nil {
			return "" // kad-dht has none such
		}
		sum := sha256.Sum256(raw)
		return strconv.Itoa(self.CommonPrefixLen(protocol.ID(sum[:wire.IDSize])))
	}
}

// recordEncoding is what kad-dht writes the keys of values in.
var recordEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

var errStoreFull = errors.New("node: DHT: the store is full")

func (s *boundedStore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, err := s.Has(ctx, key)
	if err != nil {
		return err
	}
	name := s.crowd(key)
	if !has && s.keys >= s.max {
		if err := s.evict(ctx, name); err != nil {
			return err
		}
	}
	if err := s.Batching.Put(ctx, key, value); err != nil || has {
		return err
	}
	if s.crowds[name] == nil {
		s.crowds[name] = make(map[datastore.Key]bool)
	}
	s.crowds[name][key] = true
	s.keys++
	s.resized(name, len(s.crowds[name])-1)
	return nil
}

// resized needs mu, and a crowd that had one key more or fewer than it has.
func (s *boundedStore) resized(name string, had int) {
	if delete(s.sized[had], name); len(s.sized[had]) == 0 {
		delete(s.sized, had)
	}
	has := len(s.crowds[name])
	if has == 0 {
		delete(s.crowds, name)
	} else if s.sized[has] == nil {
		s.sized[has] = map[string]bool{name: true}
	} else {
		s.sized[has][name] = true
	}
	if has > s.most || had == s.most && s.sized[had] == nil {
		s.most = has
	}
}

// evict makes room for one of a crowd, unless no other is larger.
func (s *boundedStore) evict(ctx context.Context, name string) error {
	if len(s.crowds[name]) >= s.most {
		return errStoreFull
	}
	for largest := range s.sized[s.most] {
		for key := range s.crowds[largest] {
			return s.remove(ctx, key)
		}
	}
	return nil
}

func (s *boundedStore) Delete(ctx context.Context, key datastore.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(ctx, key)
}

// remove needs mu.
func (s *boundedStore) remove(ctx context.Context, key datastore.Key) error {
	if err := s.Batching.Delete(ctx, key); err != nil {
		return err
	}
	if name := s.crowd(key); s.crowds[name][key] {
		delete(s.crowds[name], key)
		s.keys--
		s.resized(name, len(s.crowds[name])+1)
	}
	return nil
}

// Batch gives a batch that is bounded like all else.
func (s *boundedStore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(s), nil
}
