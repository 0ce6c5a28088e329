// The filter my-filter: requests of agents that are not wanted are answered with 403, and counted.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"my-filter/proxywasm"
)

// configuration is what the operator states.
type configuration struct {
	// Agents are how the user-agent of those begins that are refused.
	Agents []string `json:"agents"`
}

var (
	stated  configuration
	refused proxywasm.Counter
)

func configure(text []byte) error {
	read := configuration{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return err
	}
	for at, begin := range read.Agents {
		if begin == "" {
			return fmt.Errorf("`agents[%d]` must not be empty: it would refuse everybody", at)
		}
	}
	stated = read
	refused = proxywasm.NewCounter("my-filter.refused")
	return nil
}

// request is one request; what is remembered of it goes here.
type request struct{ proxywasm.Pass }

func (*request) RequestHeaders(ends bool) proxywasm.Action {
	agent, _ := proxywasm.Get(proxywasm.Request, "user-agent")
	for _, begin := range stated.Agents {
		if strings.HasPrefix(agent, begin) {
			refused.Add(1)
			return proxywasm.Answer(403, "this agent is not wanted here\n")
		}
	}
	return proxywasm.Continue
}

func init() {
	proxywasm.Register(configure, func() proxywasm.Filter { return &request{} })
}

// A module has no main; the toolchain wants one.
func main() {}
