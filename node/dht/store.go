package dht

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strconv"
	"sync"

	datastore "github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Limits of what others can store at a server of the DHT. See boundedStore.
const (
	maxKeptProviders = 16 << 10
	maxKeptRecords   = 4 << 10
)

// A boundedStore keeps at most max keys, in memory. When it is full, a new key evicts one of
// the largest crowd. A new key of the largest crowd itself is refused, and kad-dht reports that
// to the sender. So a peer that fills the store loses only its own places.
type boundedStore struct {
	datastore.Batching
	max   int
	crowd func(datastore.Key) string // the crowd that a key belongs to

	mu     sync.Mutex // held to write
	crowds map[string]map[datastore.Key]bool
	sized  map[int]map[string]bool // the crowds by their number of keys, so that evict need not search
	most   int                     // keys of the largest crowd
	keys   int
}

func newBoundedStore(max int, crowd func(datastore.Key) string) *boundedStore {
	return &boundedStore{
		Batching: dssync.MutexWrap(datastore.NewMapDatastore()), max: max,
		crowd: crowd, crowds: make(map[string]map[datastore.Key]bool), sized: make(map[int]map[string]bool),
	}
}

// publisherOf returns the peer in a provider record: the last part of its key.
func publisherOf(key datastore.Key) string { return key.BaseNamespace() }

// bucketOf returns a function that returns the bucket of a kept value, relative to the peer
// self. Anyone can put the records of any number of made-up peers. But a peer is asked for the
// records near it, and an attacker has to make many more peers until some are near.
func bucketOf(self protocol.ID) func(datastore.Key) string {
	return func(key datastore.Key) string {
		raw, err := recordEncoding.DecodeString(key.BaseNamespace())
		if err != nil {
			return "" // kad-dht makes no such key
		}
		sum := sha256.Sum256(raw)
		return strconv.Itoa(self.CommonPrefixLen(protocol.ID(sum[:wire.IDSize])))
	}
}

// recordEncoding is the encoding of the keys under which kad-dht keeps values.
var recordEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

var errStoreFull = errors.New("node: DHT: the store is full")

// Put implements datastore.Batching. It fails with errStoreFull if there is no room.
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

// resized updates the sizes after a crowd has gained or lost a key; s.mu is held.
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

// evict makes room for a key of a crowd, unless that crowd is among the largest; s.mu is held.
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

// Delete implements datastore.Batching.
func (s *boundedStore) Delete(ctx context.Context, key datastore.Key) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remove(ctx, key)
}

// remove deletes a key; s.mu is held.
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

// Batch implements datastore.Batching. Its writes are bounded like all others.
func (s *boundedStore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(s), nil
}
