package rawjson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/peer-relay/peer-relay/compat/internal/rawjson"
)

func TestAppendMembers(t *testing.T) {
	text := []byte(` { "a" : 1 , "\u0061":[2, 3],"":{} , "\ud800":"x","a\u0062":null } `)
	before := []rawjson.Member{{RawKey: []byte(`"old"`)}}
	members, err := rawjson.AppendMembers(before, text)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`"old"  `, `"a" a 1`, `"\u0061" a [2, 3]`, `""  {}`, `"\ud800" ` + "\xed\xa0\x80" + ` "x"`, `"a\u0062" ab null`}
	if got := show(members); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	// Raw text aliases the source.
	text[4], text[9] = 'z', '9'
	if string(members[1].RawKey) != `"z"` || string(members[1].Key) != "z" || string(members[1].Value) != "9" {
		t.Error("the members do not alias the text")
	}

	for _, text := range []string{`[]`, `1`, ``, `{`, `{"a":1,}`, `{"a":1}x`, `{"a":1}{}`, `"{}"`} {
		if got, err := rawjson.AppendMembers(before, []byte(text)); err == nil || len(got) != len(before) {
			t.Errorf("%q: %d members, error %v", text, len(got), err)
		}
	}
}

func TestLastWins(t *testing.T) {
	many := make([]string, 100)
	folded := make([]string, 40)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":%d`, i%40, i)
	}
	for i := range folded {
		last := i + 40
		if i < 20 {
			last = i + 80
		}
		folded[i] = fmt.Sprintf(`"k%d":%d`, i, last)
	}
	for _, c := range []struct{ in, want string }{
		{``, ``},
		{`"a":1`, `"a":1`},
		{`"a":1,"b":2`, `"a":1,"b":2`},
		{`"a":1,"b":2,"a":3`, `"a":3,"b":2`},
		{`"a":1,"\u0061":2,"b":3,"b":4,"c":5,"a":6,"c":7`, `"a":6,"b":4,"c":7`},
		{`"b":1,"2":0,"1":0,"b":2`, `"b":2,"2":0,"1":0`},
		{`"\ud800":1,"\ud801":2,"\uD800":3`, `"\ud800":3,"\ud801":2`},
		{`"\ud83d\ude00":1,"😀":2`, `"\ud83d\ude00":2`},
		{strings.Join(many, ","), strings.Join(folded, ",")},
	} {
		members, err := rawjson.AppendMembers(nil, []byte("{"+c.in+"}"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range rawjson.LastWins(members) {
			got = append(got, fmt.Sprintf("%s:%s", m.RawKey, m.Value))
		}
		if strings.Join(got, ",") != c.want {
			t.Errorf("LastWins of %s\n got %s\nwant %s", c.in, strings.Join(got, ","), c.want)
		}
	}
}

func show(members []rawjson.Member) string {
	lines := make([]string, len(members))
	for i, m := range members {
		lines[i] = fmt.Sprintf("%s %s %s", m.RawKey, m.Key, m.Value)
	}
	return strings.Join(lines, "\n")
}

func BenchmarkAppendMembers(b *testing.B) {
	text := envelope(strings.Repeat("x", 64))
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	var room [8]rawjson.Member
	for b.Loop() {
		if members, err := rawjson.AppendMembers(room[:0], text); err != nil || len(rawjson.LastWins(members)) != 5 {
			b.Fatal("refused")
		}
	}
}
