package rawjson

// ValidInside reports whether src is one JSON value, without white space around
// it, that may stand inside depth containers, and so may be pasted into a text at
// that depth.
func ValidInside(src []byte, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	s := NewScanner(src)
	s.depth = depth
	return len(s.Value()) == len(src) && s.err == nil
}
