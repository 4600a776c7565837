//go:build race

package wire

// poison has Free spoil the bytes of a frame, so that a test under the race detector notices one that is
// still in use.
const poison = true
