package wire_test

import (
	"fmt"

	"github.com/peer-relay/peer-relay/protocol/wire"
)

// Ids are 160 bits, and nearness is XOR.
func ExampleID_Closer() {
	target, _ := wire.ParseID("c000000000000000000000000000000000000000")
	a, _ := wire.ParseID("8000000000000000000000000000000000000000")
	b, _ := wire.ParseID("4000000000000000000000000000000000000000")
	fmt.Println(target.Closer(a, b), target.CommonPrefixLen(a), target.CommonPrefixLen(b))
	// Output:
	// true 1 0
}
