package rawjson_test

import (
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestValidInside(t *testing.T) {
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, test := range []struct {
		text  string
		depth int
		want  bool
	}{
		{`1`, 0, true},
		{`{"a":[1,{}]}`, 2, true},
		{``, 0, false},
		{` 1`, 0, false},
		{`1 `, 0, false},
		{`1},{"x":1`, 1, false},
		{`1]`, 1, false},
		{`1,2`, 1, false},
		{`[1`, 1, false},
		{nested(rawjson.MaxDepth), 0, true},
		{nested(rawjson.MaxDepth), 1, false},
		{nested(rawjson.MaxDepth - 2), 2, true},
		{nested(rawjson.MaxDepth - 1), 2, false},
		{`1`, rawjson.MaxDepth, true},
		{`[]`, rawjson.MaxDepth, false},
		{`1`, rawjson.MaxDepth + 1, false},
	} {
		if got := rawjson.ValidInside([]byte(test.text), test.depth); got != test.want {
			t.Errorf("%.20q at depth %d: %v, want %v", test.text, test.depth, got, test.want)
		}
	}
}
