package protocol_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module      = "github.com/peer-relay/peer-relay"
	wirePackage = "google.golang.org/protobuf/encoding/protowire"
	libp2pIDs   = "github.com/libp2p/go-libp2p/core/protocol"
)

// walls lists the packages of this module that each package may import. A folder means its
// package and the packages below it, except those with a line of their own. "x/..." means x
// and all packages below it.
var walls = map[string][]string{
	"protocol/wire":                {},
	"protocol/internal/core":       {"protocol/wire", "protocol/internal/overlay", "protocol/internal/idtable", "protocol/internal/journal", "protocol/internal/seen", "protocol/internal/custody", "protocol/internal/receipts", "protocol/internal/rate", "protocol/internal/lookahead", "protocol/internal/probe", "protocol/kept"},
	"protocol/kept":                {"protocol/wire"},
	"protocol/internal/overlay":    {"protocol/wire", "protocol/internal/idtable", "protocol/internal/journal", "protocol/internal/candidates"},
	"protocol/internal/lookahead":  {"protocol/wire"},
	"protocol/internal/rate":       {},
	"protocol/internal/journal":    {"protocol/wire"},
	"protocol/internal/seen":       {},
	"protocol/internal/custody":    {"protocol/wire"},
	"protocol/internal/candidates": {"protocol/wire"},
	"protocol/internal/receipts":   {"protocol/wire", "protocol/internal/probe"},
	"protocol/internal/probe":      {"protocol/wire"},
	"protocol/internal/idtable":    {"protocol/wire"},
	"protocol/packet":              {"protocol/wire"},
	"protocol":                     {"protocol/wire", "protocol/kept", "protocol/internal/core", "protocol/internal/journal", "protocol/internal/probe", "protocol/packet"},
	"protocol/ula":                 {"protocol/wire", "protocol/packet"},
	"protocol/sim":                 {"protocol/wire", "protocol/internal/core", "protocol/internal/idtable"},
	"protocol/protocoltest":        {"protocol/wire", "protocol"},

	"node":          {"protocol/...", "node/..."},
	"node/stream":   {"protocol/...", "node/internal/certificate"},
	"node/mailbox":  {"protocol/..."},
	"node/dht":      {"protocol/...", "node/internal/..."},
	"node/internal": {"protocol/...", "node/internal/..."},
	"node/try":      {"node/internal/..."},

	"compat":          {"protocol/...", "node/...", "compat/..."},
	"compat/legacy":   {"protocol/...", "compat/internal/..."}, // it is to build for a browser
	"compat/internal": {"compat/internal/..."},
	"compat/js":       {},

	"cmd":      {"protocol/...", "node/...", "compat/..."},
	"examples": {"protocol/...", "node/...", "compat/..."},
	"docs":     {},

	"itest":         {"protocol/...", "node/...", "compat/...", "itest/..."}, // no other folder imports it
	"itest/peers":   {"protocol/...", "node/...", "compat/..."},
	"itest/measure": {"protocol/...", "node/...", "compat/...", "itest/peers"},
	"itest/plays":   {"protocol/...", "node/...", "compat/...", "itest/peers", "itest/measure", generators},
	"itest/trials":  {"protocol/...", "node/...", "compat/...", "itest/peers", "itest/measure"},
	generators:      {},
}

// generators imports no package of this module, so that the tests of every folder can use the
// hard cases of the acceptance runs.
const generators = "itest/jsongen"

// support lists the packages for tests. Only tests import them, and they may import testing.
var support = []string{"protocol/protocoltest", "node/internal/nodetest", "itest/harness"}

// A source is the imports of one Go file.
type source struct {
	file    string            // slash-separated path from the top of the module
	imports map[string]string // path -> the name in the import declaration, or ""
}

func (s source) test() bool { return strings.HasSuffix(s.file, "_test.go") }

// supports reports whether the file belongs to a package for tests.
func (s source) supports() bool { return slices.Contains(support, path.Dir(s.file)) }

// room returns the top-level folder of a file or of a package of the module.
func room(name string) string {
	top, _, _ := strings.Cut(name, "/")
	return top
}

// within reports whether a package matches a pattern of walls.
func within(name, pattern string) bool {
	folder, below := strings.CutSuffix(pattern, "/...")
	return name == folder || below && strings.HasPrefix(name, folder+"/")
}

// mayImport returns the line of walls for a package, and whether there is one.
func mayImport(name string) (imports []string, ok bool) {
	for ; name != "."; name = path.Dir(name) {
		if imports, ok = walls[name]; ok {
			return imports, true
		}
	}
	return nil, false
}

// checkImports returns a line for each forbidden import.
func checkImports(sources []source) (wrong []string) {
	type use struct{ ours, theirs []string }
	names := map[string]*use{} // folder and name -> the files that import our protocol and libp2p's under it
	for _, s := range sources {
		complain := func(format string, args ...any) {
			wrong = append(wrong, s.file+": "+fmt.Sprintf(format, args...))
		}
		if _, ok := mayImport(path.Dir(s.file)); !ok {
			complain("no line of walls for this folder")
			continue
		}
		for imported, name := range s.imports {
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				checkOurs(s, ours, complain)
			} else if imported == module {
				complain("the top of the module is not a package")
			} else {
				checkForeign(s, imported, complain)
			}
			if imported == libp2pIDs || imported == module+"/protocol" {
				if name == "" {
					name = path.Base(imported)
				}
				key := path.Dir(s.file) + " " + name
				if names[key] == nil {
					names[key] = &use{}
				}
				if imported == libp2pIDs {
					names[key].theirs = append(names[key].theirs, s.file)
				} else {
					names[key].ours = append(names[key].ours, s.file)
				}
			}
		}
	}
	for key, u := range names {
		if len(u.ours) > 0 && len(u.theirs) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s: our protocol and libp2p's, in %v and %v, have the same name", key, u.ours, u.theirs))
		}
	}
	slices.Sort(wrong)
	return wrong
}

// checkOurs checks an import of a package of this module. A test may import what its top-level
// folder may, and all packages in that folder.
func checkOurs(s source, to string, complain func(string, ...any)) {
	from := path.Dir(s.file)
	imports, _ := mayImport(from)
	if s.test() {
		imports = append([]string{room(from) + "/...", generators}, walls[room(from)]...)
	}
	switch {
	case !slices.ContainsFunc(imports, func(pattern string) bool { return within(to, pattern) }):
		complain("%s must not import %s", from, to)
	case slices.Contains(support, to) && !s.test() && !s.supports():
		complain("only tests import %s", to)
	}
}

// checkForeign checks an import of a package outside the module.
func checkForeign(s source, to string, complain func(string, ...any)) {
	if s.test() {
		return
	}
	from := path.Dir(s.file)
	standard := !strings.Contains(room(to), ".")
	switch {
	case room(from) == "protocol" && !standard && (from != "protocol/wire" || to != wirePackage):
		complain("%s must not import %s", from, to)
	case within(to, "testing/...") && !s.supports():
		complain("only tests import %s", to)
	}
}

// readSources returns the imports of every Go file of a module, whatever its build
// constraints. It skips other modules inside.
func readSources(top string) (sources []source, err error) {
	err = filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && name != top {
			_, noModule := os.Stat(filepath.Join(name, "go.mod"))
			if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" || noModule == nil {
				return fs.SkipDir
			}
		}
		if d.IsDir() || filepath.Ext(base) != ".go" {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, name)
		if err != nil {
			return err
		}
		s := source{file: filepath.ToSlash(rel), imports: map[string]string{}}
		for _, i := range f.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports[imported] = ""
			if i.Name != nil {
				s.imports[imported] = i.Name.Name
			}
		}
		sources = append(sources, s)
		return nil
	})
	return sources, err
}

func TestImports(t *testing.T) {
	sources, err := readSources("..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, s := range sources {
		seen[room(s.file)] = true
	}
	for _, name := range []string{"protocol", "node", "compat", "cmd", "itest"} {
		if !seen[name] {
			t.Errorf("no Go file in %s", name)
		}
	}
	for _, line := range checkImports(sources) {
		t.Error(line)
	}
}

// TestImportRules checks the rules on made-up files.
func TestImportRules(t *testing.T) {
	const ours = module + "/"
	for _, c := range []struct {
		file    string
		imports []string // "path" or "name path"
		want    string   // part of the complaint; "" means none
	}{
		{"protocol/a.go", []string{"fmt", "net/netip", ours + "protocol/wire", ours + "protocol/packet", ours + "protocol/internal/core"}, ""},
		{"protocol/a.go", []string{wirePackage}, "protocol must not import " + wirePackage},
		{"protocol/a.go", []string{ours + "protocol/ula"}, "protocol must not import protocol/ula"},
		{"protocol/a.go", []string{ours + "protocol/wire/x"}, "protocol must not import protocol/wire/x"},
		{"protocol/wire/a.go", []string{"fmt", wirePackage}, ""},
		{"protocol/wire/a.go", []string{"google.golang.org/protobuf/proto"}, "protocol/wire must not import google.golang.org/protobuf/proto"},
		{"protocol/wire/a.go", []string{ours + "protocol"}, "protocol/wire must not import protocol"},
		{"protocol/internal/core/a.go", []string{ours + "protocol/wire"}, ""},
		{"protocol/internal/core/a.go", []string{ours + "protocol"}, "protocol/internal/core must not import protocol"},
		{"protocol/internal/overlay/a.go", []string{ours + "protocol/internal/core"}, "protocol/internal/overlay must not import protocol/internal/core"},
		{"protocol/packet/a.go", []string{ours + "protocol/wire"}, ""},
		{"protocol/packet/a.go", []string{ours + "protocol/internal/core"}, "protocol/packet must not import protocol/internal/core"},
		{"protocol/packet/a_test.go", []string{ours + "protocol", ours + "protocol/internal/core"}, ""},
		{"protocol/ula/a.go", []string{ours + "protocol/packet"}, ""},
		{"protocol/sim/a.go", []string{"golang.org/x/sync/errgroup"}, "protocol/sim must not import golang.org/x/sync/errgroup"},
		{"protocol/sim/a.go", []string{ours + "protocol/internal/core"}, ""},
		{"protocol/sim/a.go", []string{ours + "protocol"}, "protocol/sim must not import protocol"},
		{"protocol/x/a.go", []string{ours + "protocol/ula"}, "protocol/x must not import protocol/ula"},
		{"protocol/a_test.go", []string{"go.uber.org/goleak", "testing", ours + "protocol/protocoltest"}, ""},
		{"protocol/a.go", []string{ours + "node"}, "protocol must not import node"},
		{"protocol/a_test.go", []string{ours + "node"}, "protocol must not import node"},
		{"protocol/a.go", []string{"testing"}, "only tests import testing"},
		{"protocol/a.go", []string{"testing/synctest"}, "only tests import testing/synctest"},
		{"protocol/protocoltest/a.go", []string{"testing", ours + "protocol"}, ""},
		{"protocol/protocoltest2/a.go", []string{"testing"}, "only tests import testing"},
		{"node/a.go", []string{ours + "protocol/protocoltest"}, "only tests import protocol/protocoltest"},
		{"node/a.go", []string{"example.org/any", ours + "protocol", ours + "protocol/wire", ours + "node/stream"}, ""},
		{"node/a.go", []string{ours + "compat"}, "node must not import compat"},
		{"node/a_test.go", []string{ours + "compat/internal/x"}, "node must not import compat/internal/x"},
		{"node/a.go", []string{ours + "nodes"}, "node must not import nodes"},
		{"node/a.go", []string{ours + "itest"}, "node must not import itest"},
		{"node/a_test.go", []string{ours + "itest"}, "node must not import itest"},
		{"node/a.go", []string{"testing"}, "only tests import testing"},
		{"node/a.go", []string{module}, "the top of the module is not a package"},
		{"node/stream/a.go", []string{ours + "protocol/packet"}, ""},
		{"node/stream/a.go", []string{ours + "node/internal/port"}, "node/stream must not import node/internal/port"},
		{"node/stream/a_test.go", []string{ours + "node/internal/nodetest"}, ""},
		{"node/internal/port/a.go", []string{ours + "node/internal/scope"}, ""},
		{"node/internal/port/a.go", []string{ours + "node/internal/nodetest"}, "only tests import node/internal/nodetest"},
		{"node/internal/nodetest/a.go", []string{"testing", ours + "node/internal/scope"}, ""},
		{"node/internal/port/a.go", []string{ours + "node"}, "node/internal/port must not import node"},
		{"compat/peerrelay.go", []string{ours + "node", ours + "protocol", ours + "compat/legacy"}, ""},
		{"compat/a_test.go", []string{ours + "node"}, ""},
		{"compat/legacy/websocket.go", []string{ours + "protocol", ours + "protocol/wire", ours + "compat/internal/x"}, ""},
		{"compat/legacy/websocket.go", []string{ours + "node"}, "compat/legacy must not import node"},
		{"compat/legacy/websocket.go", []string{ours + "compat"}, "compat/legacy must not import compat"},
		{"compat/internal/x/socket.go", []string{ours + "node"}, "compat/internal/x must not import node"},
		{"compat/a.go", []string{ours + "cmd/peer-relay"}, "compat must not import cmd/peer-relay"},
		{"cmd/peer-relay/main.go", []string{ours + "compat", ours + "node", ours + "protocol"}, ""},
		{"cmd/peer-relay/main.go", []string{ours + "itest"}, "cmd/peer-relay must not import itest"},
		{"cmd/peer-relay/main.go", []string{"testing"}, "only tests import testing"},
		{"examples/hello/main.go", []string{ours + "compat"}, ""},
		{"examples/hello/main.go", []string{ours + "itest/peers"}, "examples/hello must not import itest/peers"},
		{"itest/accept/main.go", []string{ours + "itest/peers", ours + "compat", ours + "node", ours + "protocol/sim"}, ""},
		{"itest/accept/main.go", []string{ours + "cmd/x"}, "itest/accept must not import cmd/x"},
		{"itest/accept/main.go", []string{ours + "protocol/protocoltest"}, "only tests import protocol/protocoltest"},
		{"itest/accept/main.go", []string{ours + "itest/harness"}, "only tests import itest/harness"},
		{"itest/harness/a.go", []string{"testing", ours + "itest/peers"}, ""},
		{"compat/a_test.go", []string{ours + "itest/jsongen"}, ""},
		{"compat/a.go", []string{ours + "itest/jsongen"}, "compat must not import itest/jsongen"},
		{"itest/jsongen/a.go", []string{ours + "protocol"}, "itest/jsongen must not import protocol"},
		{"itest/jsongen/a_test.go", []string{ours + "itest/jsongen"}, ""},
		{"tools/a.go", []string{"fmt"}, "no line of walls for this folder"},
		{"main.go", []string{"fmt"}, "no line of walls for this folder"},
		{"node/a.go", []string{libp2pIDs}, ""},
		{"node/a.go", []string{"lp " + libp2pIDs, ours + "protocol"}, ""},
		{"node/a.go", []string{libp2pIDs, "relay " + ours + "protocol"}, ""},
		{"node/a.go", []string{libp2pIDs, ours + "protocol"}, "have the same name"},
		{"node/a.go", []string{"p " + libp2pIDs, "p " + ours + "protocol"}, "have the same name"},
	} {
		wrong := checkImports([]source{madeUp(c.file, c.imports...)})
		if c.want == "" && len(wrong) > 0 || c.want != "" && (len(wrong) != 1 || !strings.Contains(wrong[0], c.want)) {
			t.Errorf("%s imports %q: %q, want %q", c.file, c.imports, wrong, c.want)
		}
	}

	// The same name in two files of one package, and in two packages.
	theirs, ofOurs := madeUp("node/a.go", libp2pIDs), madeUp("node/b.go", ours+"protocol")
	if wrong := checkImports([]source{theirs, ofOurs}); len(wrong) != 1 || !strings.Contains(wrong[0], "have the same name") {
		t.Errorf("in two files: %q", wrong)
	}
	ofOurs.file = "node/x/b.go"
	if wrong := checkImports([]source{theirs, ofOurs}); len(wrong) != 0 {
		t.Errorf("in two packages: %q", wrong)
	}
}

func madeUp(file string, imports ...string) source {
	s := source{file: file, imports: map[string]string{}}
	for _, i := range imports {
		name, imported, ok := strings.Cut(i, " ")
		if !ok {
			name, imported = "", i
		}
		s.imports[imported] = name
	}
	return s
}

// TestReadSources checks readSources on a module that it writes.
func TestReadSources(t *testing.T) {
	top := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                         "module m\n",
		"protocol/a.go":                  "//go:build windows\n\npackage protocol\n\nimport (\n\t\"fmt\"\n\tx `" + module + "/node`\n)\n",
		"protocol/testdata/a.go":         "package a\n\nimport \"testdata\"\n",
		"itest/js/node_modules/x/a.go":   "package a\n\nimport \"modules\"\n",
		".ci/a.go":                       "package a\n\nimport \"dot\"\n",
		"node/other/go.mod":              "module other\n",
		"node/other/a.go":                "package a\n\nimport \"other\"\n",
		"node/other/inside/a.go":         "package a\n\nimport \"other\"\n",
		"node/a_test.go":                 "package node\n\nimport \"testing\"\n",
		"node/notes.txt":                 "no Go",
		"compat/internal/rawjson/one.go": "package rawjson\n",
	} {
		name = filepath.Join(top, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := readSources(top)
	if err != nil {
		t.Fatal(err)
	}
	have := fmt.Sprint(sources)
	want := fmt.Sprint([]source{{"compat/internal/rawjson/one.go", map[string]string{}},
		{"node/a_test.go", map[string]string{"testing": ""}},
		{"protocol/a.go", map[string]string{"fmt": "", module + "/node": "x"}}})
	if have != want {
		t.Errorf("read %s, want %s", have, want)
	}
	if wrong := checkImports(sources); len(wrong) != 1 || !strings.HasPrefix(wrong[0], "protocol/a.go: protocol must not import node") {
		t.Errorf("%q", wrong)
	}
	if _, err := readSources(filepath.Join(top, "missing")); err == nil {
		t.Error("no error for a folder that does not exist")
	}
}
