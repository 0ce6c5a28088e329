package main

import (
	"testing"

	"webhooks/proxywasm"
)

const secretText = `{"secret": "It's a Secret to Everybody"}`

// The example of GitHub's documentation.
const signed = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

func start(t *testing.T) *proxywasm.World {
	t.Helper()
	world, err := proxywasm.Start(secretText)
	if err != nil {
		t.Fatal(err)
	}
	return world
}

func send(world *proxywasm.World, signature, body string) int {
	filter := world.Begin(map[string]string{signatureHeader: signature})
	if filter.RequestHeaders(false); world.Status != 0 {
		return world.Status
	}
	world.Bodies[proxywasm.RequestBody] = []byte(body)
	if filter.RequestBody(len(body), true) == proxywasm.Continue {
		return 200
	}
	return world.Status
}

func TestOnlyWhatWasSignedPasses(t *testing.T) {
	world := start(t)
	for _, c := range []struct {
		signature, body string
		status          int
	}{
		{signed, "Hello, World!", 200},
		{signed, "Hello, world!", 401},
		{"", "Hello, World!", 401},
		{"sha256=757107", "Hello, World!", 401},
	} {
		if status := send(world, c.signature, c.body); status != c.status {
			t.Errorf("%q with %q: %d instead of %d", c.body, c.signature, status, c.status)
		}
	}
	if refused := world.Counters["webhooks.refused"]; refused != 3 {
		t.Errorf("%d refused", refused)
	}
}

func TestTrailersEndABodyToo(t *testing.T) {
	world := start(t)
	for body, want := range map[string]proxywasm.Action{"Hello, World!": proxywasm.Continue, "Hello, all!": proxywasm.Hold} {
		filter := world.Begin(map[string]string{signatureHeader: signed})
		filter.RequestHeaders(false)
		world.Bodies[proxywasm.RequestBody] = []byte(body)
		if held := filter.RequestBody(len(body), false); held != proxywasm.Hold {
			t.Errorf("%q goes on before its end", body)
		}
		if got := filter.RequestTrailers(); got != want {
			t.Errorf("%q: %d instead of %d", body, got, want)
		}
	}
}

func TestABodyHasALimit(t *testing.T) {
	world := start(t)
	filter := world.Begin(map[string]string{signatureHeader: signed})
	filter.RequestHeaders(false)
	filter.RequestBody(bodyBytesMax+1, false)
	if world.Status != 413 {
		t.Errorf("%d", world.Status)
	}
}

func TestAShortSecretIsNotAccepted(t *testing.T) {
	for _, text := range []string{``, `{}`, `{"secret": "short"}`, `{"sekret": "It's a Secret to Everybody"}`} {
		if _, err := proxywasm.Start(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
