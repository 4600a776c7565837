package protocol

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// Limits of what one reader can keep in mind.
const (
	mostExported = 80   // exported identifiers of this package
	mostLines    = 500  // lines of a file
	mostInAll    = 4500 // lines of a package without its tests
)

// TestShape checks the sizes of the packages in this folder.
func TestShape(t *testing.T) {
	lines := make(map[string]int)
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		n := bytes.Count(text, []byte("\n"))
		if n > mostLines {
			t.Errorf("%s has %d lines, want at most %d", name, n, mostLines)
		}
		lines[filepath.Dir(name)] += n
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, folder := range []string{".", "wire", "packet", filepath.Join("internal", "core"), filepath.Join("internal", "overlay")} {
		if n := lines[folder]; n == 0 || n > mostInAll {
			t.Errorf("%s has %d lines, want 1 to %d", folder, n, mostInAll)
		}
	}
	exported := 0
	for _, d := range declarations(t) {
		for _, name := range d.names {
			if ast.IsExported(name) {
				exported++
			}
		}
	}
	if exported == 0 || exported > mostExported {
		t.Errorf("%d exported identifiers, want 1 to %d", exported, mostExported)
	}
}

// TestAliases checks the comments of types that alias a type of another package. Each must
// name every field and its type.
func TestAliases(t *testing.T) {
	comments := make(map[string]string)
	reasons := 0
	for _, d := range declarations(t) {
		for _, name := range d.names {
			comments[name] = d.comment
			if strings.HasPrefix(name, "Drop") && d.token == token.CONST {
				reasons++
			}
		}
	}
	for _, v := range []any{LinkInfo{}, Progress{}, Contact{}, Stats{}} {
		typ := reflect.TypeOf(v)
		for i := range typ.NumField() {
			f := typ.Field(i)
			named := false
			for line := range strings.Lines(comments[typ.Name()]) {
				words := append(strings.Fields(line), "", "")
				named = named || words[0] == f.Name && words[1] != "" && strings.HasSuffix(strings.ReplaceAll(f.Type.String(), "uint8", "byte"), words[1])
			}
			if !named {
				t.Errorf("the comment of %s does not name %s %v", typ.Name(), f.Name, f.Type)
			}
		}
	}
	if all := len(Stats{}.Dropped); reasons != all {
		t.Errorf("%d constants for %d reasons", reasons, all)
	}
}

// A declaration is one top-level specification of a file.
type declaration struct {
	names   []string
	token   token.Token
	comment string
}

// declarations returns the declarations of this package, without methods and tests.
func declarations(t *testing.T) (all []declaration) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					all = append(all, declaration{[]string{d.Name.Name}, token.FUNC, d.Doc.Text()})
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						all = append(all, declaration{[]string{s.Name.Name}, d.Tok, d.Doc.Text()})
					case *ast.ValueSpec:
						for _, n := range s.Names {
							all = append(all, declaration{[]string{n.Name}, d.Tok, s.Doc.Text()})
						}
					}
				}
			}
		}
	}
	return all
}
