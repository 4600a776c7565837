package mailbox

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/peer-relay/peer-relay/protocol"
	"github.com/peer-relay/peer-relay/protocol/kept"
)

// Options are where a Store keeps messages, and how many. A size of 0 means the default.
type Options struct {
	// Dir is the directory for the files. It is made if it is missing.
	Dir string

	// MaxBytes bounds all messages, MaxSender those of one sender and MaxReceiver those for one
	// receiver. The defaults are 256 MiB, 8 MiB and 8 MiB, or MaxBytes if that is less.
	MaxBytes, MaxSender, MaxReceiver int64

	// MaxAge is the longest time for which a message is kept: 168 h if it is 0, and at most
	// kept.MaxTime. A sender may ask for less.
	MaxAge time.Duration
}

const (
	defaultBytes = 256 << 20
	defaultShare = 8 << 20
	defaultAge   = 7 * 24 * time.Hour
	sweepEvery   = time.Minute
	lockWait     = time.Second // for another process that is ending
)

// check returns the options with the defaults in place of zeros.
func (o Options) check() (Options, error) {
	o.MaxBytes = cmp.Or(o.MaxBytes, defaultBytes)
	o.MaxSender = cmp.Or(o.MaxSender, min(defaultShare, o.MaxBytes))
	o.MaxReceiver = cmp.Or(o.MaxReceiver, min(defaultShare, o.MaxBytes))
	o.MaxAge = cmp.Or(o.MaxAge, defaultAge)
	switch {
	case o.Dir == "":
		return o, errors.New("mailbox: no directory")
	case o.MaxBytes < overhead:
		return o, fmt.Errorf("mailbox: %d bytes for all messages: want at least %d", o.MaxBytes, overhead)
	case o.MaxSender < 0 || o.MaxSender > o.MaxBytes:
		return o, fmt.Errorf("mailbox: %d bytes for one sender: want at most the %d for all messages", o.MaxSender, o.MaxBytes)
	case o.MaxReceiver < 0 || o.MaxReceiver > o.MaxBytes:
		return o, fmt.Errorf("mailbox: %d bytes for one receiver: want at most the %d for all messages", o.MaxReceiver, o.MaxBytes)
	case o.MaxAge < time.Second || o.MaxAge > kept.MaxTime:
		return o, fmt.Errorf("mailbox: an age of %v: want 1s to %v", o.MaxAge, kept.MaxTime)
	}
	return o, nil
}

// A Store is a kept.Store in a directory. Its methods may be called from any goroutine.
type Store struct {
	// Fixed after Open.
	opts    Options
	db      *bolt.DB
	stop    chan struct{}
	stopped sync.WaitGroup

	mu     sync.Mutex
	index  index // of what is in db
	closed bool
}

// Stats are numbers of a Store.
type Stats struct {
	Messages int
	Bytes    int64
}

var bucket = []byte("messages 1") // the number is that of the format

// Open opens the mailbox in a directory. Another process must not have it open.
func Open(o Options) (*Store, error) {
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("mailbox: %w", err)
	}
	name := filepath.Join(o.Dir, "messages.db")
	db, err := bolt.Open(name, 0o600, &bolt.Options{Timeout: lockWait, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		err = errors.New("another process has it open")
	}
	if err != nil {
		return nil, fmt.Errorf("mailbox: open %s: %w", name, err)
	}
	s := &Store{opts: o, db: db, stop: make(chan struct{}), index: newIndex()}
	if err := s.load(); err != nil {
		db.Close()
		return nil, fmt.Errorf("mailbox: read %s: %w", name, err)
	}
	s.reserve() // if the disk is full, it is tried again before a message is kept
	s.stopped.Go(s.sweep)
	return s, nil
}

// load makes the bucket if it is missing, and the index.
func (s *Store) load() error {
	found := false
	err := s.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(bucket)
		if found = b != nil; !found {
			return nil
		}
		return b.ForEach(func(k, v []byte) error {
			m, err := decode(k, v)
			if err == nil {
				s.index.add(&m, record{k, v}.size())
			}
			return err
		})
	})
	if err != nil || found {
		return err
	}
	return s.db.Update(func(tx *bolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

// Close closes the files. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	was := s.closed
	s.closed = true
	s.mu.Unlock()
	if was {
		return nil
	}
	close(s.stop)
	s.stopped.Wait()
	return s.db.Close()
}

// Stats returns the numbers of what is kept.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Messages: len(s.index.known), Bytes: s.index.total}
}

// Keep implements kept.Store.
func (s *Store) Keep(messages []*kept.Message) []error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := make([]error, len(messages))
	added := make(map[identity]record) // of this batch
	latest := time.Now().Add(s.opts.MaxAge)
	for i, m := range messages {
		if until, ok := s.index.known[identityOf(m)]; ok {
			m.Until = until
			continue
		}
		if m.Until.After(latest) {
			m.Until = latest
		}
		m.Number = s.index.last + 1
		r := encode(m)
		if errs[i] = s.fits(m, r.size()); errs[i] == nil {
			s.index.add(m, r.size()) // before it is written, so that the next one is counted beside it
			added[identityOf(m)] = r
		}
	}
	failed := s.writeAll(added)
	for i, m := range messages {
		if err := failed[identityOf(m)]; err != nil {
			errs[i] = err
			s.index.remove(m.To, m.Number)
		}
	}
	return errs
}

// fits returns an error if a message of that size exceeds a bound.
func (s *Store) fits(m *kept.Message, size int64) error {
	switch {
	case s.index.total+size > s.opts.MaxBytes:
		return kept.ErrFull
	case s.index.senders[m.From]+size > s.opts.MaxSender:
		return fmt.Errorf("of %v: %w", m.From, kept.ErrQuota)
	case s.index.receivers[m.To].bytes+size > s.opts.MaxReceiver:
		return fmt.Errorf("for %v: %w", m.To, kept.ErrQuota)
	}
	return nil
}

// writeAll writes messages together. If they have no room together, it writes them one by one. It returns the
// errors of those that were not written.
func (s *Store) writeAll(records map[identity]record) (failed map[identity]error) {
	all := s.write(slices.Collect(maps.Values(records))...)
	if all == nil {
		return nil
	}
	failed = make(map[identity]error)
	for id, r := range records {
		err := all
		if errors.Is(all, kept.ErrFull) && len(records) > 1 {
			err = s.write(r)
		}
		if err != nil {
			failed[id] = err
		}
	}
	return failed
}

// write writes messages and waits until they are on the disk.
func (s *Store) write(records ...record) error {
	if len(records) == 0 {
		return nil
	}
	err := s.reserve()
	if isFull(err) && s.free() >= reserveBytes+spare*sizeOf(records) {
		err = nil // the file took the room of the reserve, and has it free now
	}
	if err == nil {
		err = s.db.Update(func(tx *bolt.Tx) error {
			for _, r := range records {
				if err := tx.Bucket(bucket).Put(r.key, r.value); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if isFull(err) {
		return fmt.Errorf("%w: %w", kept.ErrFull, err)
	}
	return err
}

// Next implements kept.Store.
func (s *Store) Next(to protocol.ID, after uint64, count, size int) (messages []kept.Message, more bool, err error) {
	s.mu.Lock()
	waits := s.index.receivers[to].count > 0
	s.mu.Unlock()
	if !waits { // as for nearly every peer that is linked
		return nil, false, nil
	}
	now := time.Now()
	err = s.db.View(func(tx *bolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek(keyOf(to, after+1)); bytes.HasPrefix(k, to[:]); k, v = c.Next() {
			m, err := decode(k, bytes.Clone(v)) // v is of the file, and of this transaction
			if err != nil {
				return err
			}
			if !m.Until.After(now) {
				continue
			}
			if more = len(messages) == count || len(messages) > 0 && len(m.Body) > size; more {
				return nil
			}
			size -= len(m.Body)
			messages = append(messages, m)
		}
		return nil
	})
	return messages, more, err
}

// Remove implements kept.Store.
func (s *Store) Remove(to protocol.ID, numbers []uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys [][]byte
	for _, n := range numbers {
		keys = append(keys, keyOf(to, n))
	}
	return s.remove(keys)
}

// remove removes messages by their keys. s.mu is held.
func (s *Store) remove(keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	erase := func() error {
		return s.db.Update(func(tx *bolt.Tx) error {
			for _, k := range keys {
				if err := tx.Bucket(bucket).Delete(k); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := erase()
	if isFull(err) && os.Remove(s.reserveName()) == nil {
		err = erase()
	}
	if half := len(keys) / 2; isFull(err) && half > 0 { // fewer stand on fewer pages, and free these for the next ones
		return errors.Join(s.remove(keys[:half]), s.remove(keys[half:]))
	}
	if err != nil {
		return fmt.Errorf("mailbox: remove messages: %w", err)
	}
	for _, k := range keys {
		s.index.remove(splitKey(k))
	}
	return nil
}

// sweep removes the messages whose time is over, until Close.
func (s *Store) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.expire(time.Now())
		case <-s.stop:
			return
		}
	}
}

// expire removes the messages whose time is over. The next sweep tries again what cannot be removed now.
func (s *Store) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.index.over(now))
}

const (
	reserveBytes = 1 << 20
	spare        = 4 // a write needs up to that many times the bytes of its messages: pages are not full, and several are written again
)

// free returns the bytes of the file that are free.
func (s *Store) free() int64 { return int64(s.db.Stats().FreePageN) * int64(s.db.Info().PageSize) }

func sizeOf(records []record) (n int64) {
	for _, r := range records {
		n += r.size()
	}
	return n
}

func (s *Store) reserveName() string { return filepath.Join(s.opts.Dir, "reserve") }

// reserve writes the reserve if it is missing.
func (s *Store) reserve() error {
	if info, err := os.Stat(s.reserveName()); err == nil && info.Size() == reserveBytes {
		return nil
	}
	err := os.WriteFile(s.reserveName(), bytes.Repeat([]byte{1}, reserveBytes), 0o600)
	if err != nil {
		os.Remove(s.reserveName())
	}
	return err
}

// isFull reports whether an error means that a disk, or a user's share of it, is full.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
