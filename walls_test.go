package ticketgate_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A wall says which of our packages the packages of a subtree may import, and
// why. The longest matching subtree decides. An entry in may ends in /... to
// mean a subtree.
type wall struct {
	subtree string
	may     []string
	why     string
}

var walls = []wall{
	{"config", nil,
		"configuration is words; packages get plain option structs from cmd, so config can change without them"},
	{"ticketing/store", nil,
		"the port knows no domain, or no second engine could be written for it"},
	{"ticketing/store/pebble", []string{"ticketing/store"},
		"an engine knows the port only"},
	{"ticketing/store/storetest", []string{"ticketing/store", "ticketing/store/pebble"},
		"the exam opens engines; production code never imports it"},
	{"ticketing/message", nil,
		"reading and writing mail is pure: no store, no clock, no network"},
	{"ticketing/journal", []string{"ticketing/store"}, "a primitive rests on the store alone"},
	{"ticketing/agenda", []string{"ticketing/store"}, "a primitive rests on the store alone"},
	{"ticketing/blob", []string{"ticketing/store"}, "a primitive rests on the store alone"},
	{"ticketing", []string{"ticketing/store", "ticketing/message", "ticketing/journal", "ticketing/agenda", "ticketing/blob"},
		"the desk knows no doors, no mail transport and no configuration file"},
	{"ticketing/notify", []string{"ticketing", "ticketing/store", "ticketing/message", "ticketing/journal", "ticketing/agenda", "ticketing/blob"},
		"notify hands mail to an outbox it declares itself"},
	{"delivery", []string{"delivery/...", "ticketing/store", "ticketing/message", "ticketing/agenda", "ticketing/blob"},
		"the outbound queue carries parcels; what they say is not its business"},
	{"gateway", []string{"gateway/...", "ticketing", "ticketing/message", "ticketing/blob", "ticketing/journal"},
		"a door opens no transaction and knows no outbound queue"},
	{"gateway/login", []string{"ticketing", "ticketing/store"},
		"people and tokens are rows of their own; login stores them through the port"},
	{"gateway/replay", []string{"ticketing/store"},
		"kept answers are rows of their own; replay stores them through the port and knows nothing of what they say"},
	{"gateway/certs", []string{"ticketing/store"},
		"what an authority gave is a row of its own; certs stores it through the port and knows no mail"},
	{"cmd", []string{"config", "resolver", "gateway/...", "delivery/...", "ticketing", "ticketing/..."},
		"cmd introduces everybody to everybody"},
	{"resolver", nil,
		"DNS answers serve the doors and the couriers alike; both declare the few methods they ask"},
	{"test", []string{"test/..."}, "starting real mail servers for tests needs nothing of ours"},
}

// TestWalls enforces the table over the imports of every non-test file.
func TestWalls(t *testing.T) {
	checked := 0
	eachFile(t, func(file string, f *ast.File) {
		pkg := path.Dir(file)
		w, ok := wallOf(pkg)
		if !ok {
			t.Errorf("%s: package %s is behind no wall; add it to the table with a reason", file, pkg)
			return
		}
		for _, spec := range f.Imports {
			target, _ := strconv.Unquote(spec.Path.Value)
			target, ours := strings.CutPrefix(target, "ticketgate/")
			if ours && !allowed(w.may, target) {
				t.Errorf("%s imports %s; it may import %v: %s", file, target, w.may, w.why)
			}
		}
		checked++
	})
	if checked < 20 {
		t.Fatalf("only %d files found: the walk is broken", checked)
	}
}

// TestNoAmbientClock keeps the real clock out of the domain: transactions have
// one time, and everything else gets its clock as an argument.
func TestNoAmbientClock(t *testing.T) {
	eachFile(t, func(file string, f *ast.File) {
		if !strings.HasPrefix(file, "ticketing/") && !strings.HasPrefix(file, "delivery/") {
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			sel, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since" || sel.Sel.Name == "Sleep") {
				t.Errorf("%s calls time.%s: the clock is an argument", file, sel.Sel.Name)
			}
			return true
		})
	})
}

// TestNoInit keeps work out of package initialisation.
func TestNoInit(t *testing.T) {
	eachFile(t, func(file string, f *ast.File) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function", file)
			}
		}
	})
}

func wallOf(pkg string) (best wall, ok bool) {
	for _, w := range walls {
		if (pkg == w.subtree || strings.HasPrefix(pkg, w.subtree+"/")) && len(w.subtree) >= len(best.subtree) {
			best, ok = w, true
		}
	}
	return best, ok
}

func allowed(may []string, target string) bool {
	for _, m := range may {
		if m == target {
			return true
		}
		if subtree, deep := strings.CutSuffix(m, "/..."); deep && (target == subtree || strings.HasPrefix(target, subtree+"/")) {
			return true
		}
	}
	return false
}

// eachFile parses every non-test Go file of the module; paths are relative to
// its root, with slashes.
func eachFile(t *testing.T, visit func(file string, f *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (name == "testdata" || strings.HasPrefix(name, ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || path.Dir(filepath.ToSlash(p)) == "." {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, 0)
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		visit(filepath.ToSlash(p), f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
