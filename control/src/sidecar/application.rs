//! Looks whether the application beside the sidecar answers.
//!
//! ```text
//! every second: connect, or GET --> Judge (pure: no socket, no clock) --> Application --> relay --> control plane
//! ```
//!
//! One look that fails says little: an application that is started anew is away for a moment. So it counts as silent
//! after `FALL` looks in a row, and as answering again after `RISE`. Until it has answered for the first time, as when
//! both are started together, it is looked more often, and one look counts by itself.

use crate::delivery::xds::Application;
use crate::mesh::model::Protocol;
use crate::mesh::words::visible;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2;
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Looks in a row that have to fail until the application counts as silent.
const FALL: u32 = 2;
/// Looks in a row that have to succeed until it counts as answering again.
const RISE: u32 = 2;
/// How often it is looked, at least, until it has answered for the first time.
const EAGER_EVERY: Duration = Duration::from_millis(200);
/// How long an answer may take. More than a busy application does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How much of an answer's body is read.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// What begins the check of a path.
const GET: &str = "GET:";
/// Who looks.
const USER_AGENT: &str = "chancery-sidecar";

/// How it is looked whether an application answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It takes a TCP connection.
    Tcp,
    /// It answers `GET` of this path with a status below 400.
    Get(PathAndQuery),
}

/// What `--check` says: how it is looked; `None` if it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOption(pub Option<Check>);

/// What is looked at, how and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looking {
    /// How.
    pub check: Check,
    /// Where.
    pub application: SocketAddr,
    /// What it speaks.
    pub protocol: Protocol,
    /// How often.
    pub every: Duration,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Get(path) => write!(f, "{GET}{path}"),
        }
    }
}

impl FromStr for CheckOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = || text.strip_prefix(GET).filter(|path| path.starts_with('/'))?.parse().ok();
        match text {
            "none" => Ok(Self(None)),
            "tcp" => Ok(Self(Some(Check::Tcp))),
            _ => match path() {
                Some(path) => Ok(Self(Some(Check::Get(path)))),
                None => Err(format!(
                    "`{text}` is not a check: write `tcp`, `GET:/PATH` such as GET:/healthz, or `none`"
                )),
            },
        }
    }
}

impl Looking {
    /// Looks again and again, and says what it finds out. Ends only by being dropped.
    pub async fn run(self, found: watch::Sender<Option<Application>>) {
        let mut judge = Judge::default();
        loop {
            if let Some(verdict) = judge.take_in(self.look().await) {
                self.log(&verdict);
                found.send_replace(Some(verdict));
            }
            sleep(if judge.has_answered { self.every } else { self.every.min(EAGER_EVERY) }).await;
        }
    }

    fn log(&self, verdict: &Application) {
        let Self { application, check, .. } = self;
        match verdict {
            Application::Answers => tracing::info!(%application, "the application answers"),
            Application::Silent { reason } => tracing::warn!(
                %application,
                %check,
                "the application does not answer, and others are sent to replicas whose application does: {}",
                visible(reason)
            ),
        }
    }

    /// Looks once.
    ///
    /// # Errors
    /// Why the application does not answer.
    pub async fn look(&self) -> Result<(), String> {
        match timeout(ANSWER_TIMEOUT, self.ask()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("{error:#}")),
            Err(_) => Err(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        }
    }

    async fn ask(&self) -> anyhow::Result<()> {
        let stream = TcpStream::connect(self.application).await?;
        let Check::Get(path) = &self.check else { return Ok(()) };
        let stream = TokioIo::new(stream);
        let status = match self.protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
                let request = Request::get(path.as_str())
                    .header("host", self.application.to_string())
                    .header("user-agent", USER_AGENT)
                    .header("connection", "close")
                    .body(Empty::<Bytes>::new())?;
                status_of(async { sender.send_request(request).await }, connection).await?
            }
            Protocol::H2c => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                let request = Request::get(format!("http://{}{path}", self.application))
                    .header("user-agent", USER_AGENT)
                    .body(Empty::<Bytes>::new())?;
                status_of(async { sender.send_request(request).await }, connection).await?
            }
        };
        anyhow::ensure!(status < StatusCode::BAD_REQUEST, "it answers with {status}");
        Ok(())
    }
}

/// The status of an answer that is there whole, or too long to be looked at.
async fn status_of(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> anyhow::Result<StatusCode> {
    let exchange = async {
        let response = answer.await?;
        let status = response.status();
        let _body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        anyhow::Ok(status)
    };
    tokio::pin!(exchange);
    tokio::select! {
        status = &mut exchange => status,
        ended = connection => match ended {
            // The connection may end together with the answer.
            Ok(()) => exchange.await,
            Err(error) => Err(error.into()),
        },
    }
}

/// Judges an application by what looks at it gave.
#[derive(Debug, Default)]
struct Judge {
    /// Whether it has answered at all.
    has_answered: bool,
    /// What was said of it last.
    said: Option<Application>,
    /// How many looks in a row gave the opposite.
    contrary: u32,
}

impl Judge {
    /// Takes in a look; gives what is to be said, if that is news.
    fn take_in(&mut self, look: Result<(), String>) -> Option<Application> {
        let answered = look.is_ok();
        let needed = match &self.said {
            None => 1,
            Some(Application::Answers) if answered => 0,
            Some(Application::Silent { .. }) if !answered => 0,
            Some(Application::Answers) => FALL,
            Some(Application::Silent { .. }) if !self.has_answered => 1,
            Some(Application::Silent { .. }) => RISE,
        };
        self.has_answered |= answered;
        if needed == 0 {
            self.contrary = 0;
            return None;
        }
        self.contrary += 1;
        if self.contrary < needed {
            return None;
        }
        self.contrary = 0;
        let verdict = match look {
            Ok(()) => Application::Answers,
            Err(reason) => Application::Silent { reason: reason.into() },
        };
        self.said = Some(verdict.clone());
        Some(verdict)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What is said when looks give this, `+` an answer and `-` none.
    fn said(looks: &str) -> String {
        let mut judge = Judge::default();
        let say = |look| match judge.take_in(if look == '+' { Ok(()) } else { Err("no".to_owned()) }) {
            None => '.',
            Some(Application::Answers) => '+',
            Some(Application::Silent { .. }) => '-',
        };
        looks.chars().map(say).collect()
    }

    #[test]
    fn the_first_answer_counts_at_once_and_later_looks_in_a_row() {
        assert_eq!(said("+++"), "+..");
        assert_eq!(said("--+-++"), "-.+...", "it has just been started");
        assert_eq!(said("+-+-+--"), "+.....-");
        assert_eq!(said("+---+-++-"), "+.-....+.");
        assert_eq!(said("-+--+-++"), "-+.-...+");
    }

    #[test]
    fn a_check_is_written_as_it_is_shown() {
        for text in ["tcp", "GET:/", "GET:/healthz?deep=1"] {
            let CheckOption(check) = text.parse().unwrap();
            assert_eq!(check.unwrap().to_string(), text);
        }
        assert_eq!("none".parse(), Ok(CheckOption(None)));
        for text in ["", "http", "GET", "GET:healthz", "GET:http://a/", "GET:/a b", "POST:/x", "TCP"] {
            let refused = text.parse::<CheckOption>().unwrap_err();
            assert!(refused.contains("GET:/healthz"), "{refused}");
        }
    }

    /// What a check finds at an application that gives this answer to each connection.
    async fn found(check: &str, answer: Option<&'static str>) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let application = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let (Some(answer), Ok((mut stream, _))) = (answer, listener.accept().await) {
                let mut request = [0; 1024];
                let _asked = stream.read(&mut request).await;
                let _sent = stream.write_all(answer.as_bytes()).await;
            }
        });
        let CheckOption(check) = check.parse().unwrap();
        if answer.is_none() {
            task.abort();
            let _gone = task.await;
        }
        let protocol = Protocol::Http1;
        Looking { check: check.unwrap(), application, protocol, every: Duration::from_secs(1) }.look().await
    }

    #[tokio::test]
    async fn an_application_answers_when_it_does() {
        let good = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(found("tcp", Some("")).await, Ok(()));
        assert_eq!(found("GET:/healthz", Some(good)).await, Ok(()));
        assert_eq!(found("GET:/", Some("HTTP/1.1 302 Found\r\ncontent-length: 0\r\n\r\n")).await, Ok(()));
        let refused = found("tcp", None).await.unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
        let failing = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let refused = found("GET:/healthz", Some(failing)).await.unwrap_err();
        assert_eq!(refused, "it answers with 503 Service Unavailable");
        assert!(found("GET:/", Some("SSH-2.0-x\r\n")).await.is_err(), "no HTTP");
        assert!(found("GET:/", Some("")).await.is_err(), "it hangs up");
    }

    #[tokio::test]
    async fn an_application_of_http2_is_asked_in_http2() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let application = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = hyper::service::service_fn(async |request: Request<Incoming>| {
                    let is_well = request.uri().path() == "/healthz" && request.uri().authority().is_some();
                    let mut response = Response::new(Empty::<Bytes>::new());
                    *response.status_mut() =
                        if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                    Ok::<_, std::convert::Infallible>(response)
                });
                let serving = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                let _served = serving.serve_connection(TokioIo::new(stream), answer).await;
            }
        });
        let look = async |path: &str, protocol| {
            let every = Duration::from_secs(1);
            let check = Check::Get(path.parse().unwrap());
            Looking { check, application, protocol, every }.look().await
        };
        assert_eq!(look("/healthz", Protocol::H2c).await, Ok(()));
        assert_eq!(look("/x", Protocol::H2c).await.unwrap_err(), "it answers with 503 Service Unavailable");
        assert!(look("/healthz", Protocol::Http1).await.is_err());
        serving.abort();
    }
}
