// The filter my-filter: requests of an agent that is not wanted are answered with 403. Its configuration is how the
// `user-agent` of those begins, as a JSON string.

import { Action, Filter, Headers, answer, get, register } from "./proxy";
export * from "./callbacks";

let begin = "";

class Request extends Filter {
  requestHeaders(ends: bool): Action {
    const agent = get(Headers.Request, "user-agent");
    if (agent === null || !agent.startsWith(begin)) return Action.Continue;
    return answer(403, "this agent is not wanted here\n");
  }
}

function configure(configuration: string): string {
  const text = configuration.trim();
  const isString = text.length > 2 && text.startsWith('"') && text.endsWith('"') && !text.includes("\\");
  if (!isString) return 'it has to be a string such as "curl/"';
  begin = text.substring(1, text.length - 1);
  return "";
}

register(configure, () => new Request());
