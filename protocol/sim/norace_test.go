//go:build !race

package sim

const manyPeers = 500
