package main

import (
	"testing"

	"my-filter/proxywasm"
)

func TestAgentsThatAreNotWantedAreRefusedAndCounted(t *testing.T) {
	world, err := proxywasm.Start(`{"agents": ["curl/"]}`)
	if err != nil {
		t.Fatal(err)
	}
	for agent, status := range map[string]int{"curl/8.5": 403, "Firefox": 0, "": 0} {
		world.Begin(map[string]string{"user-agent": agent}).RequestHeaders(true)
		if world.Status != status {
			t.Errorf("%q: %d instead of %d", agent, world.Status, status)
		}
	}
	if refused := world.Counters["my-filter.refused"]; refused != 1 {
		t.Errorf("%d refused", refused)
	}
}

func TestAMistakeInTheConfigurationIsNamed(t *testing.T) {
	for _, text := range []string{``, `{"agent": []}`, `{"agents": [""]}`} {
		if _, err := proxywasm.Start(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}
