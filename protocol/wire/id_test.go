package wire

import (
	"crypto/sha256"
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"
)

func randomIDs(n int) []ID {
	r := rand.New(rand.NewPCG(1, 2))
	ids := make([]ID, n)
	for i := range ids {
		for j := range ids[i] {
			ids[i][j] = byte(r.Uint32())
		}
		if i > 0 && i%2 == 0 { // near the previous id, or equal to it
			ids[i] = ids[i-1]
			if i%6 != 0 {
				ids[i] = ids[i].FlipBit(r.IntN(IDBits))
			}
		}
	}
	return ids
}

func TestIDText(t *testing.T) {
	const digits = "0123456789abcdefABCDEF0123456789aBcDeF01"
	id, err := ParseID(digits)
	if err != nil || id.String() != strings.ToLower(digits) || id.Short() != "0123" {
		t.Errorf("%q is %v, in short %v, error %v", digits, id, id.Short(), err)
	}
	for _, s := range []string{"", "0", digits[1:], digits + "0", "0x" + digits[2:], "g" + digits[1:], " " + digits[1:],
		strings.Repeat("ü", 20), strings.Repeat("0", 1000)} {
		id, err := ParseID(s)
		if err == nil || id != (ID{}) {
			t.Errorf("%q is %v, error %v", s, id, err)
		} else if len(err.Error()) > 200 {
			t.Errorf("an error of %d bytes", len(err.Error()))
		}
		if err := id.UnmarshalText([]byte(s)); err == nil {
			t.Errorf("UnmarshalText accepts %q", s)
		}
	}
	keep := id
	if keep.UnmarshalText([]byte("x")) == nil || keep != id {
		t.Error("a failed UnmarshalText changed the id")
	}

	in := map[ID][]ID{id: {{}, id}}
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"` + id.String() + `":["` + strings.Repeat("0", 40) + `","` + id.String() + `"]}`; string(text) != want {
		t.Errorf("%s, want %s", text, want)
	}
	var out map[ID][]ID
	if err := json.Unmarshal(text, &out); err != nil || len(out) != 1 || out[id][1] != id {
		t.Errorf("%v, error %v", out, err)
	}
	if b, err := id.AppendText([]byte("id ")); err != nil || string(b) != "id "+id.String() {
		t.Errorf("%q, error %v", b, err)
	}
}

func TestHashID(t *testing.T) {
	sum := sha256.Sum256([]byte("peer"))
	if have := HashID([]byte("peer")); have != ID(sum[:20]) {
		t.Errorf("%v, want the head of %x", have, sum)
	}
	// The well-known SHA-256 of no bytes.
	if have := HashID(nil).String(); have != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4" {
		t.Error(have)
	}
}

func number(id ID) *big.Int { return new(big.Int).SetBytes(id[:]) }

func distance(a, b ID) *big.Int { return new(big.Int).Xor(number(a), number(b)) }

func TestIDOrder(t *testing.T) {
	ids := randomIDs(60)
	for _, a := range ids {
		for _, b := range ids {
			if have, want := a.Compare(b), number(a).Cmp(number(b)); have != want {
				t.Fatalf("Compare(%v, %v) = %d, want %d", a, b, have, want)
			}
			n := a.CommonPrefixLen(b)
			if want := IDBits - distance(a, b).BitLen(); n != want || n != b.CommonPrefixLen(a) {
				t.Fatalf("CommonPrefixLen(%v, %v) = %d, the other way %d, want %d", a, b, n, b.CommonPrefixLen(a), want)
			}
			if (n == IDBits) != (a == b) {
				t.Fatalf("%v and %v share %d bits", a, b, n)
			}
			if n < IDBits {
				if a.Bit(n) == b.Bit(n) || a.FlipBit(n).CommonPrefixLen(b) <= n {
					t.Fatalf("%v and %v do not differ first in bit %d", a, b, n)
				}
			}
			for _, c := range ids {
				have, want := a.Closer(b, c), distance(a, b).Cmp(distance(a, c)) < 0
				if have != want {
					t.Fatalf("%v.Closer(%v, %v) = %v", a, b, c, have)
				}
				if have && a.Closer(c, b) {
					t.Fatalf("both of %v and %v are closer to %v", b, c, a)
				}
				if have && a.CommonPrefixLen(b) < a.CommonPrefixLen(c) {
					t.Fatalf("%v is closer to %v than %v and shares fewer bits", b, a, c)
				}
			}
		}
	}
}

func TestIDBits(t *testing.T) {
	for i := range IDBits {
		id := ID{}.FlipBit(i)
		if want := new(big.Int).Lsh(big.NewInt(1), uint(IDBits-1-i)); number(id).Cmp(want) != 0 {
			t.Errorf("the id with only bit %d set is %v", i, id)
		}
		for j := range IDBits {
			if have := id.Bit(j); (have == 1) != (i == j) || have > 1 {
				t.Errorf("bit %d of %v is %d", j, id, have)
			}
		}
		if id.FlipBit(i) != (ID{}) || (ID{}).CommonPrefixLen(id) != i {
			t.Errorf("bit %d: %v", i, id)
		}
	}
}
