//go:build race

package sim

// The race detector makes the simulator ten times slower.
const manyPeers = 100
