package oauth

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// errRefused says that the authority understood and will not.
var errRefused = errors.New("refused by the authority")

func refusal(err error) bool { return errors.Is(err, errRefused) }

// ask gets tokens for a refresh token; "" is the configured one.
func (s *Source) ask(ctx context.Context, refresh string) (tokens, error) {
	a := &s.o.Account
	form := url.Values{"client_id": {a.ClientID}}
	if a.ClientSecret != "" {
		form.Set("client_secret", a.ClientSecret)
	}
	if refresh == "" {
		refresh = a.RefreshToken
	}
	if refresh != "" {
		form.Set("grant_type", "refresh_token")
		form.Set("refresh_token", refresh)
	} else {
		form.Set("grant_type", "client_credentials")
	}
	if a.Scope != "" {
		form.Set("scope", a.Scope)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.TokenURL, strings.NewReader(form.Encode()))
	if err != nil {
		return tokens{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	asked := s.o.Now()
	res, err := s.client.Do(req)
	if err != nil {
		return tokens{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return tokens{}, err
	}
	return read(res.StatusCode, body, asked)
}

// read makes tokens of an answer (RFC 6749 §5). Nothing of the answer but the
// error's code and description comes back in an error.
func read(status int, body []byte, asked time.Time) (tokens, error) {
	var answer struct {
		Access      string      `json:"access_token"`
		Type        string      `json:"token_type"`
		Expires     json.Number `json:"expires_in"`
		Refresh     string      `json:"refresh_token"`
		Error       string      `json:"error"`
		Description string      `json:"error_description"`
	}
	if len(body) > maxAnswer {
		return tokens{}, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	jerr := json.Unmarshal(body, &answer)
	switch {
	case status == http.StatusBadRequest || status == http.StatusUnauthorized || status == http.StatusForbidden:
		return tokens{}, fmt.Errorf("%w: %d %s", errRefused, status, plain(answer.Error+" "+answer.Description))
	case status != http.StatusOK:
		return tokens{}, fmt.Errorf("the authority says %d", status)
	case jerr != nil:
		return tokens{}, errors.New("the authority's answer is not JSON")
	case answer.Access == "" || !strings.EqualFold(answer.Type, "bearer"):
		return tokens{}, errors.New("the authority's answer has no bearer token")
	case len(answer.Access) > maxToken || len(answer.Refresh) > maxToken || strings.ContainsFunc(answer.Access, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return tokens{}, errors.New("the authority's token is not one that can be used")
	}
	life := time.Hour // RFC 6749 §5.1 only recommends to say it
	if n, err := answer.Expires.Int64(); err == nil && n > 0 {
		life = min(time.Duration(min(n, 1<<30))*time.Second, maxLife)
	}
	return tokens{Access: answer.Access, Refresh: answer.Refresh, From: asked.UTC(), To: asked.Add(max(life, minLife)).UTC()}, nil
}

// plain makes foreign words fit for the log.
func plain(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return ' '
		}
		return r
	}, s)), " ")
	return s[:min(len(s), 300)]
}

// aead is made from what only the configuration knows.
func (a *Account) aead() (cipher.AEAD, error) {
	secret := a.ClientID + "\x00" + a.ClientSecret + "\x00" + a.RefreshToken + "\x00" + a.TokenURL
	key, err := hkdf.Key(sha256.New, []byte(secret), nil, "ticketgate oauth tokens of "+a.Name, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func (a *Account) seal(random io.Reader, plain []byte) ([]byte, error) {
	gcm, err := a.aead()
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, err
	}
	return gcm.Seal(nonce, nonce, plain, nil), nil
}

func (a *Account) open(sealed []byte) ([]byte, error) {
	gcm, err := a.aead()
	if err != nil {
		return nil, err
	}
	n := gcm.NonceSize()
	if len(sealed) < n {
		return nil, errors.New("too short")
	}
	return gcm.Open(nil, sealed[:n], sealed[n:], nil)
}
