package rawjson

import "bytes"

// A Member is one member of an object. All slices alias the text, except a Key
// that was spelled with escapes.
type Member struct {
	RawKey []byte // as in the text, with its quotes
	Key    []byte // decoded, WTF-8
	Value  []byte // raw, no white space around it
}

// AppendMembers checks src, which must be one object, and appends its members in source order.
// After an error it returns dst unchanged.
func AppendMembers(dst []Member, src []byte) ([]Member, error) {
	members := dst
	s := NewScanner(src)
	if !s.EnterObject() {
		s.fail(s.off, "want an object")
		return dst, s.End()
	}
	for s.More() {
		key := s.Key()
		value := s.Value()
		if s.Err() != nil {
			break
		}
		members = append(members, Member{RawKey: key, Key: unquoted(key), Value: value})
	}
	if err := s.End(); err != nil {
		return dst, err
	}
	return members, nil
}

// LastWins merges duplicate keys as JSON.parse does: a property stands where its key came first
// and has the value that came last. It works in place and returns the shortened slice. It does
// not move integer-like keys to the front, where an object of JS shows them.
func LastWins(members []Member) []Member {
	first := duplicates(len(members), func(i int) []byte { return members[i].Key })
	if first == nil {
		return members
	}
	// place holds where each first occurrence has moved. Members only move forward, so no entry
	// is overwritten before it is read.
	place := make([]int, len(members))
	kept := 0
	for i, m := range members {
		if first[i] == i {
			place[i] = kept
			members[kept] = m
			kept++
		} else {
			members[place[first[i]]].Value = m.Value
		}
	}
	clear(members[kept:])
	return members[:kept]
}

// fewKeys is the number of keys up to which comparing each with each is faster than a map.
const fewKeys = 12

// duplicates returns nil if all of n keys differ. Otherwise it returns for each key the index
// of the first key that equals it.
func duplicates(n int, key func(int) []byte) (first []int) {
	if n <= fewKeys && distinct(n, key) {
		return nil
	}
	seen := make(map[string]int, n)
	first = make([]int, n)
	for i := range n {
		k := key(i)
		if j, ok := seen[string(k)]; ok {
			first[i] = j
		} else {
			seen[string(k)] = i
			first[i] = i
		}
	}
	if len(seen) == n {
		return nil
	}
	return first
}

func distinct(n int, key func(int) []byte) bool {
	for i := 1; i < n; i++ {
		for j := range i {
			if bytes.Equal(key(i), key(j)) {
				return false
			}
		}
	}
	return true
}
