// Tells clients how long the service took: a `server-timing` header on each response, which browsers show beside it.

import { Action, Filter, Headers, add, now, register } from "./proxy";
export * from "./callbacks";

const NANOSECONDS_OF_A_MILLISECOND: u64 = 1_000_000;

class Timing extends Filter {
  began: u64 = 0;

  requestHeaders(ends: bool): Action {
    this.began = now();
    return Action.Continue;
  }

  responseHeaders(ends: bool): Action {
    const ended = now();
    const took = ended > this.began ? ended - this.began : 0;
    add(Headers.Response, "server-timing", "app;dur=" + (took / NANOSECONDS_OF_A_MILLISECOND).toString());
    return Action.Continue;
  }
}

register(
  // There is nothing to state.
  (configuration: string) => (configuration == "" || configuration == "{}" ? "" : "it has to be empty, or {}"),
  () => new Timing(),
);
