package rawjson

// ValidInside reports whether src is one JSON value, without white space around it, that may be
// pasted into a text inside depth open containers.
func ValidInside(src []byte, depth int) bool {
	if depth > MaxDepth {
		return false
	}
	s := NewScanner(src)
	s.depth = depth
	return len(s.Value()) == len(src) && s.err == nil
}
