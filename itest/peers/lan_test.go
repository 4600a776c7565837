package peers

import (
	"strings"
	"testing"
)

func TestCheckNeighbours(t *testing.T) {
	for _, test := range []struct {
		hosts, others int
		room, want    string
	}{
		{40, 25, "1024\n", ""},
		{3, 25, "6\n", ""},
		{100, 25, "1024\n", "sysctl -w net.ipv4.neigh.default.gc_thresh3=10000"},
		{3, 25, "5\n", "about 6 entries"},
		{3, 25, "many\n", "invalid syntax"},
	} {
		err := checkNeighbours(test.hosts, test.others, test.room)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%d hosts that reach %d others, room for %q: %v, want %q", test.hosts, test.others, test.room, err, test.want)
		}
	}
}
