//go:build race

package sim

// The race detector makes the simulator ten times slower, and finds nothing in its one
// goroutine.
const manyPeers = 100
