//! What happened, written down and replayed.

use chancery_sdk::testing::{Event, Plugin};
use chancery_sdk::{Answer, ConfigError, Headers, Host, HttpFilter, Next, Proxy};

#[derive(serde::Deserialize)]
struct Config {
    team: String,
}

struct Team(Config);

impl<H: Host> HttpFilter<H> for Team {
    type Config = Config;
    type State = ();

    fn configure(config: Config, _proxy: Proxy<'_, H>) -> Result<Self, ConfigError> {
        Ok(Self(config))
    }

    fn request_headers(&self, _state: &mut (), request: Headers<'_, H>) -> Next {
        if request.only("x-team") != Ok(Some(self.0.team.clone().into_bytes())) {
            return Next::Answer(Answer::new(403));
        }
        request.remove("x-team");
        request.set_property("team", &self.0.team);
        Next::Continue
    }
}

fn plugin(team: &str) -> Plugin<Team> {
    Plugin::start(&format!(r#"{{"team": "{team}"}}"#)).unwrap()
}

#[test]
fn a_recording_reads_as_a_conversation() {
    let plugin = plugin("blue");
    let mut exchange = plugin.exchange();
    exchange.request(&[(":path", "/"), ("X-Team", "blue")], "hi");
    exchange.response(&[(":status", "200")], "");
    exchange.finish();
    let expected = "\
-> request :path: /, x-team: blue
   RequestHeaders - x-team
   property team = blue
<- went on
-> request body `hi`, the end
<- went on
-> response :status: 200, the end
<- went on
-> finished
<- went on
";
    assert_eq!(exchange.recording().to_string(), expected);
}

#[test]
fn a_replay_shows_what_another_configuration_does() {
    let headers = vec![("x-team".to_owned(), b"blue".to_vec())];
    let recording = plugin("blue").record([Event::RequestHeaders { headers, ends: true }]);
    assert_eq!(plugin("blue").replay(&recording), recording);
    let other = plugin("red").replay(&recording).to_string();
    assert_eq!(other, "-> request x-team: blue, the end\n   answer 403\n<- answered 403\n");
}
