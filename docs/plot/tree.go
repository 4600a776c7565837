package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

const module = "github.com/peer-relay/peer-relay"

// rooms are the folders that the tree shows, from the top down. An import leads from a
// room to itself or to one below.
var rooms = []string{"cmd", "compat", "node", "protocol"}

// listPackages returns what each package of the rooms imports of the others, tests aside.
func listPackages(root string) (map[string][]string, error) {
	args := []string{"list", "-json=ImportPath,Imports"}
	for _, room := range rooms {
		args = append(args, "./"+room+"/...")
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	packages := make(map[string][]string)
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		packages[name] = nil
		for _, imported := range p.Imports {
			if short, ours := strings.CutPrefix(imported, module+"/"); ours {
				packages[name] = append(packages[name], short)
			}
		}
	}
}

// A tree is packages in rows, of which each imports only from rows below its own.
type tree struct {
	rows [][]*item
}

// An item is a package in its row, or the place where the line of an import crosses the
// row.
type item struct {
	name  string // "": a crossing
	room  string
	below []*item // in the next row
	x     int     // the middle
}

// newTree puts the packages into rows. Imports that follow from others are left out. The
// error says which import leads upward.
func newTree(packages map[string][]string) (*tree, error) {
	names := slices.Sorted(maps.Keys(packages))
	for _, name := range names {
		for _, imported := range packages[name] {
			if roomOf(imported) < roomOf(name) {
				return nil, fmt.Errorf("%s imports %s, which stands above it", name, imported)
			}
		}
	}
	rank, height := ranks(names, packages)
	t := &tree{rows: make([][]*item, height)}
	items := make(map[string]*item)
	for _, name := range names {
		it := &item{name: name, room: rooms[roomOf(name)]}
		items[name] = it
		t.rows[rank[name]] = append(t.rows[rank[name]], it)
	}
	for _, name := range names {
		for _, imported := range packages[name] {
			if !follows(packages, name, imported) {
				t.connect(items[name], rank[name], items[imported], rank[imported])
			}
		}
	}
	t.arrange()
	return t, nil
}

// roomOf returns the place of a package's room among the rooms.
func roomOf(name string) int {
	room, _, _ := strings.Cut(name, "/")
	return slices.Index(rooms, room)
}

// ranks returns the row of each package and the number of rows. A room takes as many rows
// as its longest chain of imports needs.
func ranks(names []string, packages map[string][]string) (rank map[string]int, height int) {
	rank = make(map[string]int)
	var depth func(name string) int // of the chain of imports inside the room
	depth = func(name string) (d int) {
		for _, imported := range packages[name] {
			if roomOf(imported) == roomOf(name) {
				d = max(d, depth(imported)+1)
			}
		}
		return d
	}
	for room := range rooms {
		rows := 0
		for _, name := range names {
			if roomOf(name) == room {
				rows = max(rows, depth(name)+1)
			}
		}
		for _, name := range names {
			if roomOf(name) == room {
				rank[name] = height + rows - 1 - depth(name)
			}
		}
		height += rows
	}
	return rank, height
}

// follows reports whether another import of the package leads to the imported one too.
func follows(packages map[string][]string, name, imported string) bool {
	var reaches func(from string) bool
	reaches = func(from string) bool {
		return slices.ContainsFunc(packages[from], func(p string) bool { return p == imported || reaches(p) })
	}
	return slices.ContainsFunc(packages[name], func(p string) bool { return p != imported && reaches(p) })
}

// connect draws an import through the rows between two packages.
func (t *tree) connect(from *item, top int, to *item, bottom int) {
	for row := top + 1; row < bottom; row++ {
		crossing := &item{}
		t.rows[row] = append(t.rows[row], crossing)
		from.below = append(from.below, crossing)
		from = crossing
	}
	from.below = append(from.below, to)
}

// Sizes in pixels of the tree.
const (
	boxHeight     = 30
	rowHeight     = 78
	itemGap       = 18
	crossingWidth = 10
	treeMargin    = 110 // at both sides; the names of the rooms stand in the left one
	treeTop       = 16
)

func (it *item) width() int {
	if it.name == "" {
		return crossingWidth
	}
	return 24 + 7*len(it.name)
}

// arrange orders each row, so that few lines cross, and places the items.
func (t *tree) arrange() {
	above := make(map[*item][]*item)
	for _, row := range t.rows {
		for _, it := range row {
			for _, b := range it.below {
				above[b] = append(above[b], it)
			}
		}
	}
	t.place()
	for pass := range 24 {
		neighbours := func(it *item) []*item { return it.below }
		if pass%2 == 0 {
			neighbours = func(it *item) []*item { return above[it] }
		}
		for _, row := range t.rows {
			slices.SortStableFunc(row, func(a, b *item) int { return cmp.Compare(mean(a, neighbours(a)), mean(b, neighbours(b))) })
			t.place()
		}
	}
}

// mean returns where an item would like to stand: in the middle of its neighbours.
func mean(it *item, neighbours []*item) float64 {
	if len(neighbours) == 0 {
		return float64(it.x)
	}
	sum := 0
	for _, n := range neighbours {
		sum += n.x
	}
	return float64(sum) / float64(len(neighbours))
}

// place puts the items of each row side by side, in the middle of the picture.
func (t *tree) place() {
	for _, row := range t.rows {
		x := (t.width() - rowWidth(row)) / 2
		for _, it := range row {
			it.x = x + it.width()/2
			x += it.width() + itemGap
		}
	}
}

func (t *tree) width() (most int) {
	for _, row := range t.rows {
		most = max(most, rowWidth(row))
	}
	return most + 2*treeMargin
}

func rowWidth(row []*item) (sum int) {
	for _, it := range row {
		sum += it.width() + itemGap
	}
	return sum - itemGap
}

// svg draws the rooms as bands, the imports as lines, and the packages as boxes.
func (t *tree) svg() []byte {
	var b bytes.Buffer
	width, height := t.width(), treeTop+rowHeight*len(t.rows)
	beginSVG(&b, width, height, "The packages by their imports: every line leads down")
	first := make(map[string]int) // of a room's rows
	last := make(map[string]int)
	for i, row := range t.rows {
		for _, it := range row {
			if it.name != "" {
				if _, known := first[it.room]; !known {
					first[it.room] = i
				}
				last[it.room] = i
			}
		}
	}
	for i, room := range rooms {
		top, bottom := rowTop(first[room])-14, rowTop(last[room])+boxHeight+14
		fmt.Fprintf(&b, "<rect x=\"8\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\"/>\n", top, width-16, bottom-top, []string{"#f2f4f8", "#e8edf7"}[i%2])
		text(&b, 20, top+20, "start", "room", room)
	}
	for i, row := range t.rows {
		for _, it := range row {
			from := rowTop(i) + boxHeight
			if it.name == "" {
				fmt.Fprintf(&b, "<path d=\"M%d %dV%d\" class=\"edge\"/>\n", it.x, rowTop(i), from)
			}
			for _, to := range it.below {
				end := rowTop(i + 1)
				bend := (from + end) / 2
				fmt.Fprintf(&b, "<path d=\"M%[1]d %[2]dC%[1]d %[3]d %[4]d %[3]d %[4]d %[5]d\" class=\"edge\"/>\n", it.x, from, bend, to.x, end)
				if to.name != "" {
					fmt.Fprintf(&b, "<path d=\"M%d %dl-4 -7h8z\" fill=\"#7b8798\"/>\n", to.x, end)
				}
			}
		}
	}
	for i, row := range t.rows {
		for _, it := range row {
			if it.name != "" {
				fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"5\" fill=\"#fff\" stroke=\"#7b8798\"/>\n", it.x-it.width()/2, rowTop(i), it.width(), boxHeight)
				text(&b, it.x, rowTop(i)+boxHeight/2+5, "middle", "plain", it.name)
			}
		}
	}
	endSVG(&b)
	return b.Bytes()
}

func rowTop(row int) int { return treeTop + 12 + rowHeight*row }
