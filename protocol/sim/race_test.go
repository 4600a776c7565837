//go:build race

package sim

// The race detector makes the simulator ten times slower, and there is one goroutine.
const manyPeers = 100
