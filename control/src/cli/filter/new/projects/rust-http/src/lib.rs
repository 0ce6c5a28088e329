//! The filter `my-filter`: requests of agents that are not wanted are answered with 403, and counted.

use chancery_sdk::{Answer, ConfigError, Counter, Headers, Host, HttpFilter, Level, Next, Proxy};

/// What the operator states.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How the `user-agent` of those begins that are refused.
    agents: Vec<String>,
}

/// The filter: one in each worker of a proxy.
#[derive(Debug)]
pub struct MyFilter {
    config: Config,
    refused: Counter,
}

impl<H: Host> HttpFilter<H> for MyFilter {
    type Config = Config;
    /// What is remembered of a request until its response is over.
    type State = ();

    fn configure(config: Config, proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        if let Some(at) = config.agents.iter().position(String::is_empty) {
            return Err(ConfigError::at(format!("agents[{at}]"), "an empty one would refuse everybody"));
        }
        Ok(Self { config, refused: proxy.counter("my-filter.refused") })
    }

    fn request_headers(&self, _state: &mut (), request: Headers<'_, H>) -> Next {
        let agent = request.first("user-agent").unwrap_or_default();
        if !self.config.agents.iter().any(|begin| agent.starts_with(begin.as_bytes())) {
            return Next::Continue;
        }
        request.count(self.refused, 1);
        request.log(Level::Debug, format_args!("a request is refused for its agent"));
        Next::Answer(Answer::new(403).text("this agent is not wanted here\n"))
    }
}

chancery_sdk::http_filter!(MyFilter);
