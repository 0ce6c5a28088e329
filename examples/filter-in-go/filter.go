// Webhooks is a filter that lets only webhooks pass which their sender signed: with HMAC-SHA-256 over the body, as
// GitHub and others do it. The body is held until it is verified.
package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"

	"webhooks/proxywasm"
)

// signatureHeader is where the sender puts `sha256=` and the digest in hexadecimal numbers.
const signatureHeader = "x-hub-signature-256"

// bodyBytesMax bounds what is held of a request.
const bodyBytesMax = 1 << 20

// secretBytesMin keeps secrets from being guessed.
const secretBytesMin = 16

type configuration struct {
	Secret string `json:"secret"`
}

var (
	secret  []byte
	refused proxywasm.Counter
)

func configure(text []byte) error {
	var stated configuration
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&stated); err != nil {
		return err
	}
	if len(stated.Secret) < secretBytesMin {
		return errors.New("`secret` needs at least 16 bytes")
	}
	secret = []byte(stated.Secret)
	refused = proxywasm.NewCounter("webhooks.refused")
	return nil
}

// webhook is one request.
type webhook struct {
	proxywasm.Pass
	digest []byte
	held   int
}

func (request *webhook) RequestHeaders(ends bool) proxywasm.Action {
	value, _ := proxywasm.Get(proxywasm.Request, signatureHeader)
	digest, err := hex.DecodeString(strings.TrimPrefix(value, "sha256="))
	if err != nil || len(digest) != sha256.Size {
		return refuse(401, "a webhook has to be signed\n")
	}
	request.digest = digest
	if ends {
		return request.verify(nil)
	}
	return proxywasm.Hold
}

func (request *webhook) RequestBody(size int, ends bool) proxywasm.Action {
	request.held = size
	switch {
	case size > bodyBytesMax:
		return refuse(413, "a webhook of this size is not taken\n")
	case !ends:
		return proxywasm.Hold
	default:
		return request.verify(proxywasm.Read(proxywasm.RequestBody, size))
	}
}

// RequestTrailers is how a body can end, too.
func (request *webhook) RequestTrailers() proxywasm.Action {
	return request.verify(proxywasm.Read(proxywasm.RequestBody, request.held))
}

func (request *webhook) verify(body []byte) proxywasm.Action {
	sum := hmac.New(sha256.New, secret)
	sum.Write(body)
	if !hmac.Equal(sum.Sum(nil), request.digest) {
		return refuse(401, "the signature is not that of this webhook\n")
	}
	return proxywasm.Continue
}

func refuse(status int, text string) proxywasm.Action {
	refused.Add(1)
	return proxywasm.Answer(status, text)
}

func init() {
	proxywasm.Register(configure, func() proxywasm.Filter { return &webhook{} })
}

// A module has no main; the toolchain wants one.
func main() {}
