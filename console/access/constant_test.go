package access_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"testing"
)

// How long it takes to look at a secret says nothing of it: every token is compared, in constant time, and nothing ends the loop before its
// end or branches within it. A clock would not tell that on a busy machine; the source does.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "token.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var loop *ast.RangeStmt
	ast.Inspect(file, func(n ast.Node) bool {
		if f, ok := n.(*ast.FuncDecl); ok && f.Name.Name == "holder" {
			ast.Inspect(f, func(n ast.Node) bool {
				if r, ok := n.(*ast.RangeStmt); ok {
					loop = r
				}
				return true
			})
		}
		return true
	})
	if loop == nil {
		t.Fatal("holder has no loop over the tokens")
	}
	compared := 0
	ast.Inspect(loop.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "subtle" && n.Sel.Name == "ConstantTimeCompare" {
				compared++
			}
		case *ast.IfStmt, *ast.SwitchStmt, *ast.BranchStmt, *ast.ReturnStmt:
			t.Errorf("the loop branches on what it compares: %T", n)
		case *ast.BinaryExpr:
			t.Errorf("the loop compares with %s", n.Op)
		}
		return true
	})
	if compared != 1 {
		t.Errorf("%d comparisons in constant time, want one a token", compared)
	}
}
