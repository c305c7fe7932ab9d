package api

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// TestSpec checks the served document's structure: what a generator of clients
// stumbles over.
func TestSpec(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	w := httptest.NewRecorder()
	s.api.Handler().ServeHTTP(w, httptest.NewRequest("GET", Base+"/openapi.json", nil)) // without a token
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	var doc map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if v, _ := doc["openapi"].(string); !strings.HasPrefix(v, "3.1") {
		t.Errorf("openapi %v", doc["openapi"])
	}
	info := doc["info"].(map[string]any)
	if info["title"] == "" || info["version"] == "" {
		t.Errorf("info %v", info)
	}
	if text := w.Body.String(); strings.Contains(text, "ErrorModel") || strings.Contains(text, "$schema") {
		t.Error("the document names what is never served")
	}
	checkRefs(t, doc, doc, "#")
	ids := map[string]bool{}
	operations := 0
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for name, open := range map[string]bool{"Ticket": true, "Message": true, "Problem": true, "NewMessage": false, "ChangeTicketInputBody": false} {
		if closed := schemas[name].(map[string]any)["additionalProperties"] == false; closed == open {
			t.Errorf("%s: additional properties refused: %v", name, closed)
		}
	}
	for path, item := range doc["paths"].(map[string]any) {
		for method, op := range item.(map[string]any) {
			operations++
			checkOperation(t, fmt.Sprintf("%s %s", method, path), path, op.(map[string]any), ids)
		}
	}
	for _, want := range []string{"get-receipt", "intake", "list-tickets", "get-ticket", "create-ticket", "change-ticket", "add-cc", "remove-cc", "follow", "unfollow",
		"list-messages", "post-message", "get-message", "get-raw", "get-attachment", "list-outbound", "get-outbound", "hold-outbound", "release-outbound",
		"retry-outbound", "drop-outbound", "create-token", "list-tokens", "revoke-token",
		"create-app-password", "list-app-passwords", "revoke-app-password", "reconcile",
		"bulk-outbound", "top-outbound", "outbound-limits", "list-measures", "decide-measure", "end-measure", "pause-destination", "resume-destination",
		"list-suppressions", "add-suppression", "remove-suppression",
		"list-dkim-keys", "prepare-dkim-keys", "check-dkim-keys", "activate-dkim-keys", "retire-dkim-keys", "check-dns", "examine", "send-test", "get-test",
		"list-opt-outs", "add-opt-out", "remove-opt-out",
		"list-held", "get-held", "get-held-raw", "release-held", "attach-held", "discard-held"} {
		if !ids[want] {
			t.Errorf("no operation %s", want)
		}
	}
	if operations < len(ids) || operations < 34 {
		t.Errorf("%d operations", operations)
	}
}

var pathParam = regexp.MustCompile(`\{(\w+)\}`)

func checkOperation(t *testing.T, name, path string, op map[string]any, ids map[string]bool) {
	t.Helper()
	id, _ := op["operationId"].(string)
	if id == "" || ids[id] {
		t.Errorf("%s: operation id %q", name, id)
	}
	ids[id] = true
	if op["summary"] == nil {
		t.Errorf("%s has no summary", name)
	}
	declared := map[string]bool{}
	for _, p := range anyList(op["parameters"]) {
		p := p.(map[string]any)
		if p["schema"] == nil {
			t.Errorf("%s: parameter %v has no schema", name, p["name"])
		}
		if p["in"] == "path" {
			declared[p["name"].(string)] = true
			if p["required"] != true {
				t.Errorf("%s: path parameter %v is not required", name, p["name"])
			}
		}
	}
	for _, m := range pathParam.FindAllStringSubmatch(path, -1) {
		if !declared[m[1]] {
			t.Errorf("%s: {%s} is not declared", name, m[1])
		}
		delete(declared, m[1])
	}
	if len(declared) > 0 {
		t.Errorf("%s: %v is not in the path", name, declared)
	}
	good := false
	responses, _ := op["responses"].(map[string]any)
	for status, r := range responses {
		r := r.(map[string]any)
		if r["description"] == nil {
			t.Errorf("%s: response %s has no description", name, status)
		}
		good = good || strings.HasPrefix(status, "2")
	}
	fallback, _ := json.Marshal(responses["default"])
	if !good || !strings.Contains(string(fallback), "application/problem+json") || !strings.Contains(string(fallback), "schemas/Problem") {
		t.Errorf("%s: responses %v", name, responses)
	}
}

func anyList(v any) []any {
	l, _ := v.([]any)
	return l
}

// checkRefs follows every $ref and wants every object schema to have a type,
// a reference or alternatives.
func checkRefs(t *testing.T, doc, v any, at string) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok && !resolves(doc, ref) {
			t.Errorf("%s: %s leads nowhere", at, ref)
		}
		if strings.HasSuffix(at, "/schema") && v["type"] == nil && v["$ref"] == nil && v["anyOf"] == nil {
			t.Errorf("%s: a schema that says nothing", at)
		}
		for k, sub := range v {
			checkRefs(t, doc, sub, at+"/"+k)
		}
	case []any:
		for i, sub := range v {
			checkRefs(t, doc, sub, fmt.Sprintf("%s/%d", at, i))
		}
	}
}

func resolves(doc any, ref string) bool {
	rest, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return false
	}
	for part := range strings.SplitSeq(rest, "/") {
		m, ok := doc.(map[string]any)
		if !ok || m[part] == nil {
			return false
		}
		doc = m[part]
	}
	return true
}
