//! gRPC through the mesh: calls, streams, their end, and what a client is told of a denial.

use super::{PATIENCE, Pair};
use crate::command_line::transcript::CHANCERY;
use chancery_tests::mesh::{LOOK_AGAIN, Member, Mesh};
use hyper::body::Incoming;
use hyper::http;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::bytes::{Buf, BufMut};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

const POLICY: &str = r#"
auth orders on service shop/orders {
  closed:  deny POST /test.Echo/Closed respond 403 "closed on Sundays: 100% ü"
  who:     deny POST /test.Echo/Who respond 401
  unknown: deny POST /test.Echo/Unknown respond 404
  odd:     deny POST /test.Echo/Odd respond 400
  large:   deny POST /test.Echo/Large respond 413
  busy:    deny POST /test.Echo/Busy respond 503 "later"
  calls:   allow POST /test.Echo/** when headers["content-type"] == "application/grpc"
}
traffic orders-limits on service shop/orders {
  few: limit 1/d for POST /test.Echo/Few respond 429 "slow down"
}
"#;

/// Messages of a test are texts.
#[derive(Clone, Copy, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// A gRPC service that says back what it hears. It ends with its value.
struct Echo {
    address: SocketAddr,
    /// Streams that are open.
    open: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// What answers one call.
#[derive(Clone)]
struct Answering {
    open: Arc<AtomicUsize>,
}

/// Counts a stream for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

type Texts = Pin<Box<dyn Stream<Item = Result<String, Status>> + Send>>;
type Outcome<T> = Pin<Box<dyn Future<Output = Result<Response<T>, Status>> + Send>>;

impl tonic::server::UnaryService<String> for Answering {
    type Response = String;
    type Future = Outcome<String>;

    fn call(&mut self, request: Request<String>) -> Self::Future {
        Box::pin(async move {
            let token = request.metadata().get("x-token").cloned();
            let message = request.into_inner();
            if message == "fail" {
                let mut status = Status::failed_precondition("out of stock: 0% ü");
                status.metadata_mut().insert("x-left", MetadataValue::from_static("0"));
                return Err(status);
            }
            let mut response = Response::new(format!("echo {message}"));
            if let Some(token) = token {
                response.metadata_mut().insert("x-token", token);
            }
            Ok(response)
        })
    }
}

impl tonic::server::StreamingService<String> for Answering {
    type Response = String;
    type ResponseStream = Texts;
    type Future = Outcome<Texts>;

    fn call(&mut self, request: Request<Streaming<String>>) -> Self::Future {
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(self.open.clone());
        Box::pin(async move {
            let answer = request.into_inner().map(move |message| {
                let _open = &open;
                match message?.as_str() {
                    "quit" => Err(Status::aborted("as you wish")),
                    message => Ok(format!("echo {message}")),
                }
            });
            Ok(Response::new(Box::pin(answer) as Texts))
        })
    }
}

impl tonic::server::ServerStreamingService<String> for Answering {
    type Response = String;
    type ResponseStream = Texts;
    type Future = Outcome<Texts>;

    /// Answers at once, and then never again.
    fn call(&mut self, request: Request<String>) -> Self::Future {
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(self.open.clone());
        Box::pin(async move {
            let first = tokio_stream::once(Ok(format!("echo {}", request.into_inner())));
            let answer = first.chain(tokio_stream::pending()).map(move |message| {
                let _open = &open;
                message
            });
            Ok(Response::new(Box::pin(answer) as Texts))
        })
    }
}

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::<AtomicUsize>::default();
        let answering = Answering { open: open.clone() };
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let answering = answering.clone();
                let answer = service_fn(move |request: http::Request<Incoming>| {
                    let answering = answering.clone();
                    async move {
                        let mut grpc = tonic::server::Grpc::new(Text);
                        Ok::<_, Infallible>(match request.uri().path() {
                            "/test.Echo/Stream" => grpc.streaming(answering, request).await,
                            "/test.Echo/Watch" => grpc.server_streaming(answering, request).await,
                            _ => grpc.unary(answering, request).await,
                        })
                    }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                connections.spawn(server.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, open, task }
    }

    async fn until_open(&self, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.open.load(Ordering::SeqCst) != count {
            assert!(Instant::now() < deadline, "not {count} streams are open");
            sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of the service.
struct Client(tonic::client::Grpc<Channel>);

impl Client {
    async fn connect(to: SocketAddr) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{to}")).unwrap();
        Self(tonic::client::Grpc::new(endpoint.connect().await.unwrap()))
    }

    async fn call(&mut self, method: &str, message: &str) -> Result<Response<String>, Status> {
        let mut request = Request::new(message.to_owned());
        request.metadata_mut().insert("x-token", MetadataValue::from_static("t1"));
        let path = format!("/test.Echo/{method}").parse().unwrap();
        self.0.ready().await.unwrap();
        timeout(PATIENCE, self.0.unary(request, path, Text)).await.unwrap()
    }

    /// What a client is told of a call that fails.
    async fn refused(&mut self, method: &str) -> (Code, String) {
        let status = self.call(method, "hello").await.unwrap_err();
        (status.code(), status.message().to_owned())
    }

    /// A stream of answers that does not end.
    async fn watch(&mut self, message: &str) -> Streaming<String> {
        let path = "/test.Echo/Watch".parse().unwrap();
        self.0.ready().await.unwrap();
        let call = self.0.server_streaming(Request::new(message.to_owned()), path, Text);
        timeout(PATIENCE, call).await.unwrap().unwrap().into_inner()
    }

    /// A stream both ways: what is said into it, and what comes.
    async fn stream(&mut self) -> (mpsc::Sender<String>, Streaming<String>) {
        let (say, said) = mpsc::channel(1);
        let path = "/test.Echo/Stream".parse().unwrap();
        self.0.ready().await.unwrap();
        let call = self.0.streaming(Request::new(ReceiverStream::new(said)), path, Text);
        let response = timeout(PATIENCE, call).await.unwrap().unwrap();
        (say, response.into_inner())
    }
}

async fn next(answers: &mut Streaming<String>) -> Result<Option<String>, Status> {
    timeout(PATIENCE, answers.message()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_streams_of_grpc_go_through() {
    let echo = Echo::start().await;
    let pair = Pair::start(Some(format!("{}/grpc", echo.address))).await;
    pair.mesh.apply(POLICY).await.unwrap();
    let mut client = Client::connect(pair.outbound()).await;

    let answer = client.call("Unary", "hello").await.unwrap();
    assert_eq!(answer.metadata().get("x-token").unwrap(), "t1");
    assert_eq!(answer.into_inner(), "echo hello");
    let status = client.call("Unary", "fail").await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, "out of stock: 0% ü"));
    assert_eq!(status.metadata().get("x-left").unwrap(), "0", "what stands in the trailers");

    // Each message is answered before the next one is sent, so nothing is kept back.
    let (say, mut answers) = client.stream().await;
    for number in 0..10 {
        say.send(format!("{number}")).await.unwrap();
        assert_eq!(next(&mut answers).await.unwrap(), Some(format!("echo {number}")));
    }
    let long = "x".repeat(3_000_000);
    say.send(long.clone()).await.unwrap();
    assert_eq!(next(&mut answers).await.unwrap().map(|answer| answer.len()), Some(long.len() + 5));
    drop(say);
    assert_eq!(next(&mut answers).await.unwrap(), None, "it ends well when the client has said all");

    let (say, mut answers) = client.stream().await;
    say.send("quit".to_owned()).await.unwrap();
    let status = next(&mut answers).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Aborted, "as you wish"));

    // A call that is given up is given up at the service too.
    drop((say, answers));
    echo.until_open(0).await;
    let mut answers = client.watch("a").await;
    assert_eq!(next(&mut answers).await.unwrap().as_deref(), Some("echo a"));
    echo.until_open(1).await;
    drop(answers);
    echo.until_open(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_is_a_status_of_grpc_with_its_text() {
    let echo = Echo::start().await;
    let pair = Pair::start(Some(format!("{}/h2c", echo.address))).await;
    pair.mesh.apply(POLICY).await.unwrap();
    let mut client = Client::connect(pair.outbound()).await;
    let told = |code, text: &str| (code, text.to_owned());
    assert_eq!(client.refused("Closed").await, told(Code::PermissionDenied, "closed on Sundays: 100% ü"));
    assert_eq!(client.refused("Who").await, told(Code::Unauthenticated, ""));
    assert_eq!(client.refused("Unknown").await, told(Code::Unimplemented, ""));
    assert_eq!(client.refused("Odd").await, told(Code::InvalidArgument, ""));
    assert_eq!(client.refused("Large").await, told(Code::ResourceExhausted, ""));
    assert_eq!(client.refused("Busy").await, told(Code::Unavailable, "later"));
    client.call("Few", "hello").await.unwrap();
    assert_eq!(client.refused("Few").await, told(Code::ResourceExhausted, "slow down"));
    let rules = pair.rules(8).await;
    assert_eq!(
        rules,
        [
            "orders/closed",
            "orders/who",
            "orders/unknown",
            "orders/odd",
            "orders/large",
            "orders/busy",
            "orders/calls",
            "orders-limits/few"
        ]
    );

    // Nobody is there to answer: the sidecar says so, in the same way.
    drop(echo);
    let (code, message) = client.refused("Unary").await;
    assert_eq!(code, Code::Unavailable, "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_reached_no_application_goes_to_another_replica() {
    let (echo, gone) = (Echo::start().await, Echo::start().await);
    let mut mesh = Mesh::start(Path::new(CHANCERY)).await.unwrap();
    let replica = |instance: &str, echo: &Echo| {
        Member::new("shop/orders", instance).unwrap().before(format!("{}/grpc", echo.address))
    };
    let frontend = Member::new("shop/frontend", "frontend").unwrap().calling(&["shop/orders"]).unwrap();
    let members = [frontend, replica("orders-1", &echo), replica("orders-2", &gone)];
    let [frontend, _orders, orders_2] = mesh.join(members).await.unwrap();
    // Nobody takes the replica out of the endpoints.
    mesh.kill_control_plane().await.unwrap();
    drop(gone);
    let mut client = Client::connect(frontend.outbound("shop/orders").unwrap()).await;
    for number in 0..20 {
        client.call("Unary", "hello").await.unwrap_or_else(|status| unreachable!("call {number}: {status}"));
    }
    let tried = orders_2.entries_after(0, 1).await.unwrap();
    assert!(tried[0]["flags"].as_str().unwrap().contains("UF"), "{tried:?}");
}
