//! WebSockets: a request for one crosses HTTP/2 as an extended CONNECT, and a policy sees the GET that was sent.

use super::script::{Scripted, Talker};
use super::{PATIENCE, Pair};
use http_body_util::Empty;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const POLICY: &str = r#"
auth chat on service shop/orders {
  no-socket: deny /plain when "upgrade" in headers respond 403 "no sockets here"
  sockets:   allow GET /chat/** when has(headers["upgrade"])
  plain:     allow GET /plain, /refuses
}
"#;

/// An application that accepts WebSockets, and then says everything back.
async fn chat() -> Scripted {
    Scripted::start(async |mut talker: Talker| {
        while let Some(head) = talker.head().await {
            let lower = head.to_ascii_lowercase();
            let asks = lower.contains("\nupgrade: websocket\n") && lower.contains("\nconnection: upgrade\n");
            if head.starts_with("GET /refuses") {
                talker.say("HTTP/1.1 400 Bad Request\ncontent-length: 2\n\nno").await?;
                continue;
            }
            if !asks {
                talker.say("HTTP/1.1 200 OK\ncontent-length: 5\n\nplain").await?;
                continue;
            }
            talker
                .say("HTTP/1.1 101 Switching Protocols\nupgrade: websocket\nconnection: Upgrade\nx-room: 7\n\n")
                .await?;
            loop {
                let heard = talker.exactly(5).await?;
                talker.send(&heard).await?;
            }
        }
        Some(())
    })
    .await
}

fn wish(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\nhost: shop.test\nConnection: keep-alive, Upgrade\nUpgrade: WebSocket\n\
         Sec-WebSocket-Key: x\nSec-WebSocket-Version: 13\n\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_opens_when_the_policy_lets_it() {
    let application = chat().await;
    let pair = Pair::start(application.name()).await;
    pair.mesh.apply(POLICY).await.unwrap();

    let mut client = Talker::connect(pair.outbound()).await;
    client.say(&wish("/chat/7")).await.unwrap();
    let head = client.head().await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 ") && head.to_ascii_lowercase().contains("x-room: 7"), "{head}");
    for word in ["hello", "again"] {
        client.send(word.as_bytes()).await.unwrap();
        assert_eq!(client.exactly(5).await.unwrap(), word.as_bytes());
    }
    // What is in force later is for later requests.
    pair.mesh.delete("chat").await.unwrap();
    client.send(b"still").await.unwrap();
    assert_eq!(client.exactly(5).await.unwrap(), b"still");
    drop(client);
    pair.mesh.apply(POLICY).await.unwrap();

    let denied = async |request: &str| {
        let mut client = Talker::connect(pair.outbound()).await;
        client.say(request).await.unwrap();
        client.head().await.unwrap()
    };
    let head = denied(&wish("/plain")).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    // On HTTP/2 a wish has no method of its own: what the client wrote is a GET for policy and application alike.
    let head = denied(&wish("/chat").replacen("GET", "POST", 1)).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = denied("GET /chat/7 HTTP/1.1\nhost: shop.test\n\n").await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let head = denied("GET /plain HTTP/1.1\nhost: shop.test\nconnection: close\n\n").await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    // An application that does not want one says so, and what is no WebSocket is refused by Envoy.
    let head = denied(&wish("/refuses")).await;
    assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
    let head = denied(&wish("/chat/7").replacen("WebSocket", "tunnel", 1)).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let mut rules = pair.rules(6).await;
    rules.sort();
    let expected =
        ["chat/no-socket", "chat/plain", "chat/plain", "chat/sockets", "chat/sockets", "default-deny"];
    assert_eq!(rules, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_may_be_asked_for_over_http2() {
    let application = chat().await;
    let pair = Pair::start(application.name()).await;
    pair.mesh.apply(POLICY).await.unwrap();
    let stream = TokioIo::new(TcpStream::connect(pair.outbound()).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    // After an answer the settings of the server are known, which say that it takes such requests.
    let request = hyper::Request::get("http://shop.test/plain").body(Empty::<Bytes>::new()).unwrap();
    assert_eq!(timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap().status(), 200);
    let mut ask = async |path: &str| {
        let mut request = hyper::Request::connect(format!("http://shop.test{path}"));
        request.extensions_mut().unwrap().insert(Protocol::from_static("websocket"));
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
    };
    let answer = ask("/plain").await;
    assert_eq!(answer.status(), 403);
    let answer = ask("/chat/7").await;
    assert_eq!(answer.status(), 200);
    let mut socket = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    socket.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    timeout(PATIENCE, socket.read_exact(&mut heard)).await.unwrap().unwrap();
    assert_eq!(&heard, b"hello");
    drop((socket, sender));
    let _ended = timeout(PATIENCE, connection).await.unwrap();
    assert_eq!(pair.rules(3).await, ["chat/plain", "chat/no-socket", "chat/sockets"]);
}
