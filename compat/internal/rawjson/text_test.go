package rawjson_test

import (
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestAppendString(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", `""`},
		{"plain", `"plain"`},
		{`a"b\c/d`, `"a\"b\\c/d"`},
		{"\b\t\n\f\r", `"\b\t\n\f\r"`},
		{"\x00\x0b\x1f\x7f", "\"\\u0000\\u000b\\u001f\x7f\""},
		{"<script>&\u2028\u2029\u0085\ufeff", "\"<script>&\u2028\u2029\u0085\ufeff\""},
		{"é日\U0001f600", "\"é日\U0001f600\""},
		{"a\xffb\xc3", "\"a\ufffdb\ufffd\""},
		{"\xed\xa0\x80", "\"\ufffd\ufffd\ufffd\""},
		{"\ufffd", "\"\ufffd\""},
	} {
		got := rawjson.AppendString([]byte("x"), c.in)
		if string(got) != "x"+c.want {
			t.Errorf("AppendString(%q) = %s, want %s", c.in, got[1:], c.want)
		}
		if !rawjson.IsFixedPoint(got[1:]) {
			t.Errorf("AppendString(%q) = %s is not a fixed point", c.in, got[1:])
		}
	}
}

func TestAppendUnquoted(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`""`, ""},
		{`"é"`, "é"},
		{`"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{`"\u0041\u00E9\u20ac"`, "Aé€"},
		{`"\ud83d\ude00"`, "\U0001f600"},
		{`"\uD83D\uDE00x"`, "\U0001f600x"},
		{`"\ud83d"`, "\xed\xa0\xbd"},
		{`"\ude00\ud83d"`, "\xed\xb8\x80\xed\xa0\xbd"},
		{`"\ud83d\ud83d\ude00"`, "\xed\xa0\xbd\U0001f600"},
		{`"\ud83d\u0041"`, "\xed\xa0\xbdA"},
		{`"\ud83d\n"`, "\xed\xa0\xbd\n"},
		{`"\ufffd\uffff"`, "\ufffd\uffff"},
		{`"\\ud83d"`, `\ud83d`},
	} {
		if got := rawjson.AppendUnquoted([]byte("x"), []byte(c.in)); string(got) != "x"+c.want {
			t.Errorf("AppendUnquoted(%s) = %q, want %q", c.in, got[1:], c.want)
		}
	}
}
