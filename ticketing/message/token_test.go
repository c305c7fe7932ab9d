package message

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tokenRing is a keyring of fixed secrets, one pair per epoch, oldest first.
func tokenRing(t testing.TB, epochs ...uint8) *Keyring {
	t.Helper()
	var addresses, ids []Secret
	for i, e := range epochs {
		for j, list := range []*[]Secret{&addresses, &ids} {
			random := rand.NewChaCha8([32]byte{e, byte(j)})
			s, err := NewSecret(e, time.Unix(int64(1000*i), 0), random)
			if err != nil {
				t.Fatal(err)
			}
			*list = append(*list, s)
		}
	}
	k, err := NewKeyring(addresses, ids)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func genToken() *rapid.Generator[Token] {
	return rapid.Custom(func(t *rapid.T) Token {
		return Token{
			Kind:     Kind(rapid.IntRange(1, 3).Draw(t, "kind")),
			Ticket:   rapid.Uint64().Draw(t, "ticket"),
			Mail:     rapid.Uint32().Draw(t, "mail"),
			Person:   rapid.Uint32().Draw(t, "person"),
			Role:     Role(rapid.IntRange(0, 5).Draw(t, "role")),
			Internal: rapid.Bool().Draw(t, "internal"),
		}
	})
}

var sampleToken = Token{Kind: KindReply, Ticket: 1001, Mail: 3, Person: 0xdecafbad, Role: RoleRequester}

func TestTokenRoundTrip(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 7)
	rapid.Check(t, func(t *rapid.T) {
		want := genToken().Draw(t, "token")
		scope := rapid.String().Draw(t, "scope")
		want.Epoch = 7

		s := k.AddressToken(scope, want)
		if got, err := k.ParseAddressToken(scope, s); err != nil || got != want {
			t.Fatalf("address token: %+v, %v", got, err)
		}
		if got, err := k.ParseAddressToken(scope, strings.ToUpper(s)); err != nil || got != want {
			t.Fatalf("address token in upper case: %+v, %v", got, err)
		}
		id := k.MessageID("help.example.com", want)
		for _, spelling := range []string{id, strings.ToUpper(id), " " + id + "\t", id[1 : len(id)-1]} {
			if got, err := k.ParseMessageID(spelling); err != nil || got != want {
				t.Fatalf("message id %q: %+v, %v", spelling, got, err)
			}
		}
	})
}

func TestTokenLength(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 255)
	tests := []struct {
		ticket uint64
		mail   uint32
		want   int
	}{
		{1, 1, 29},
		{1_000_000, 127, 32},
		{1<<35 - 1, 1<<21 - 1, 39}, // the documented promise
		{1<<64 - 1, 1<<32 - 1, 50}, // the documented worst case
	}
	for _, tt := range tests {
		got := len(k.AddressToken("q", Token{Kind: KindAlias, Ticket: tt.ticket, Mail: tt.mail, Person: 1<<32 - 1, Role: RoleAgent, Internal: true}))
		if got != tt.want {
			t.Errorf("ticket %d, mail %d: %d characters, want %d", tt.ticket, tt.mail, got, tt.want)
		}
	}
}

// Whatever single character of a token is changed, dropped or added, nothing
// else than the same token in another letter case is accepted.
func TestTokenEveryChangeIsRefused(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 1)
	for _, token := range []Token{sampleToken, {Kind: KindReturnPath, Ticket: 5, Mail: 1, Person: 9, Role: RoleCC}} {
		s := k.AddressToken("support", token)
		id := k.MessageID("x.example", token)
		loop := k.LoopMark(id)
		try := func(change func(string) string) {
			t.Helper()
			if c := change(s); lowerASCII(c) != s {
				if got, err := k.ParseAddressToken("support", c); err != ErrToken {
					t.Errorf("address token %q accepted for %q: %+v", c, s, got)
				}
			}
			local := strings.TrimSuffix(id[1:], "@x.example>")
			if c := change(local); lowerASCII(c) != local {
				if got, err := k.ParseMessageID("<" + c + "@x.example>"); err != ErrToken {
					t.Errorf("message id %q accepted for %q: %+v", c, local, got)
				}
			}
			if c := strings.TrimSpace(change(loop)); lowerASCII(c) != loop && k.CheckLoopMark(c) {
				t.Errorf("loop mark %q accepted for %q", c, loop)
			}
		}
		for i := range len(s) {
			for c := 1; c < 256; c++ { // every byte, among them the spare bits of the last character
				try(func(s string) string {
					if i >= len(s) {
						return "a" + s
					}
					return s[:i] + string([]byte{byte(c)}) + s[i+1:]
				})
			}
			for _, add := range []string{"a", "\n", "=", " ", "+", "\u212a"} {
				try(func(s string) string { return s[:min(i, len(s))] + add + s[min(i, len(s)):] })
				try(func(s string) string { return s[:min(i, len(s)-1)] + add + s[min(i+1, len(s)):] })
			}
			try(func(s string) string { return s[:min(i, len(s)-1)] })
			try(func(s string) string { return s[min(i+1, len(s)):] })
		}
	}
}

func TestTokenScope(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 1)
	rapid.Check(t, func(t *rapid.T) {
		a := rapid.String().Draw(t, "a")
		b := rapid.String().Filter(func(b string) bool { return b != a }).Draw(t, "b")
		s := k.AddressToken(a, genToken().Draw(t, "token"))
		if _, err := k.ParseAddressToken(b, s); err != ErrToken {
			t.Fatalf("token of %q is valid at %q", a, b)
		}
	})
}

// A secret used for two purposes by mistake must not make one pass as the other.
func TestTokenPurposes(t *testing.T) {
	t.Parallel()
	secret, err := NewSecret(1, time.Unix(0, 0), rand.NewChaCha8([32]byte{}))
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewKeyring([]Secret{secret}, []Secret{secret})
	if err != nil {
		t.Fatal(err)
	}
	address := k.AddressToken("", sampleToken)
	id := k.MessageID("x.example", sampleToken)
	loop := k.LoopMark(id)
	local, _, _ := strings.Cut(id[1:], "@")
	for _, s := range []string{local, loop, id} {
		if _, err := k.ParseAddressToken("", s); err == nil {
			t.Errorf("%q is valid as an address token", s)
		}
	}
	for _, s := range []string{address, loop} {
		if _, err := k.ParseMessageID("<" + s + "@x.example>"); err == nil {
			t.Errorf("%q is valid as a message id", s)
		}
	}
	for _, s := range []string{address, local, id} {
		if k.CheckLoopMark(s) {
			t.Errorf("%q is valid as a loop mark", s)
		}
	}
}

// What a customer holds (a public token) can be turned into nothing else: not
// another class, person, role, ticket or kind, whatever bytes are patched.
func TestTokenCannotBeUpgraded(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 1)
	public := k.MessageID("x.example", sampleToken)
	local, _, _ := strings.Cut(public[1:], "@")
	signed, ok := decodeToken(local)
	if !ok {
		t.Fatal("own token does not decode")
	}
	changes := map[string]func(*Token){
		"internal class": func(t *Token) { t.Internal = true },
		"agent's role":   func(t *Token) { t.Role = RoleAgent },
		"other ticket":   func(t *Token) { t.Ticket++ },
		"other person":   func(t *Token) { t.Person++ },
		"other mail":     func(t *Token) { t.Mail++ },
		"other kind":     func(t *Token) { t.Kind = KindAlias },
	}
	for name, change := range changes {
		want := sampleToken
		change(&want)
		forged := append(appendToken(nil, 1, want), signed[len(signed)-macLen:]...)
		if got, err := k.ParseMessageID("<" + tokenEncoding.EncodeToString(forged) + "@x.example>"); err != ErrToken {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
}

func TestTokenEpochs(t *testing.T) {
	t.Parallel()
	before := tokenRing(t, 1)
	both := tokenRing(t, 1, 2)
	after := tokenRing(t, 2)
	old := before.AddressToken("q", sampleToken)
	oldID := before.MessageID("x.example", sampleToken)
	oldLoop := before.LoopMark(oldID)

	if got, err := both.ParseAddressToken("q", old); err != nil || got.Epoch != 1 {
		t.Errorf("old token after rotation: %+v, %v", got, err)
	}
	if got, err := both.ParseMessageID(oldID); err != nil || got.Epoch != 1 {
		t.Errorf("old id after rotation: %+v, %v", got, err)
	}
	if !both.CheckLoopMark(oldLoop) {
		t.Error("old loop mark after rotation is refused")
	}
	if got, err := both.ParseAddressToken("q", both.AddressToken("q", sampleToken)); err != nil || got.Epoch != 2 {
		t.Errorf("new tokens are not signed by the newest epoch: %+v, %v", got, err)
	}
	if _, err := after.ParseAddressToken("q", old); err != ErrToken {
		t.Errorf("token of a retired epoch: %v", err)
	}
	if _, err := after.ParseMessageID(oldID); err != ErrToken {
		t.Errorf("id of a retired epoch: %v", err)
	}
	if after.CheckLoopMark(oldLoop) {
		t.Error("loop mark of a retired epoch is accepted")
	}
}

// Epoch numbers wrap: what was created last signs, not what has the highest
// number.
func TestTokenNewestIsLatest(t *testing.T) {
	t.Parallel()
	k := tokenRing(t, 254, 255, 0)
	got, err := k.ParseAddressToken("q", k.AddressToken("q", sampleToken))
	if err != nil || got.Epoch != 0 {
		t.Fatalf("signed by epoch %d (%v), want 0", got.Epoch, err)
	}
}

func TestKeyringRefuses(t *testing.T) {
	t.Parallel()
	good := Secret{Epoch: 1, Key: make([]byte, 32)}
	tests := []struct {
		name           string
		addresses, ids []Secret
		want           string
	}{
		{"no address secret", nil, []Secret{good}, "there is none"},
		{"no id secret", []Secret{good}, nil, "there is none"},
		{"short key", []Secret{{Epoch: 2, Key: make([]byte, 16)}}, []Secret{good}, "16 bytes"},
		{"epoch twice", []Secret{good, good}, []Secret{good}, "twice"},
	}
	for _, tt := range tests {
		if _, err := NewKeyring(tt.addresses, tt.ids); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want it to say %q", tt.name, err, tt.want)
		}
	}
	if _, err := NewSecret(1, time.Time{}, strings.NewReader("short")); err == nil {
		t.Error("a dry random source made a secret")
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	key := []byte("0123456789abcdef0123456789abcdef")
	s := Secret{Epoch: 3, Key: key}
	k, err := NewKeyring([]Secret{s}, []Secret{s})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("x", "secret", s, "ring", k.String())
	for _, out := range []string{
		log.String(),
		fmt.Sprintf("%v %+v %#v %s %x", s, s, s, s, s),
		fmt.Sprintf("%v %+v %#v %s", k, k, k, k),
		fmt.Sprintf("%v %+v %#v", *k, *k, *k),
	} {
		for _, leak := range []string{"0123456789abcdef", "48 49 50", "0x30, 0x31", "3031323334", "MDEyMzQ1"} {
			if strings.Contains(out, leak) {
				t.Errorf("the key shows in %s", out)
			}
		}
	}
	doc, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var back Secret
	if err := json.Unmarshal(doc, &back); err != nil || !bytes.Equal(back.Key, key) {
		t.Errorf("a secret does not survive the store: %v", err)
	}
}

func TestPersonHashIsOfTheMailbox(t *testing.T) {
	t.Parallel()
	if PersonHash("Anna@Customer.Example") != PersonHash("anna@customer.example") {
		t.Error("two spellings of one mailbox differ")
	}
	if PersonHash("anna@customer.example") == PersonHash("bert@customer.example") {
		t.Error("two mailboxes agree")
	}
}

func FuzzParseAddressToken(f *testing.F) {
	k := tokenRing(f, 1, 2)
	f.Add("support", k.AddressToken("support", sampleToken))
	f.Add("", "aeaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	f.Add("q", "\u212a=\r\n")
	f.Fuzz(func(t *testing.T, scope, s string) {
		got, err := k.ParseAddressToken(scope, s)
		if err != nil {
			return
		}
		if got.Epoch == 2 && k.AddressToken(scope, got) != lowerASCII(s) {
			t.Errorf("%q is a second spelling of %+v", s, got)
		}
	})
}

func FuzzParseMessageID(f *testing.F) {
	k := tokenRing(f, 1)
	f.Add(k.MessageID("help.example", sampleToken))
	f.Add("<@>")
	f.Add("<a@b")
	f.Add("AAAA@B>")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := k.ParseMessageID(s)
		if err != nil {
			return
		}
		local, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(s), "<"), "@")
		if own := k.MessageID("d", got); own != "<"+lowerASCII(local)+"@d>" {
			t.Errorf("%q is a second spelling of %q", s, own)
		}
	})
}

func BenchmarkToken(b *testing.B) {
	k := tokenRing(b, 1)
	b.Run("sign", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.AddressToken("support", sampleToken)
		}
	})
	s := k.AddressToken("support", sampleToken)
	b.Run("verify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := k.ParseAddressToken("support", s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
