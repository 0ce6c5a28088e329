//! Filters that come from OCI registries: a real one, and ones that say what they like.

use super::filters::{Place, module};
use super::process::{ControlPlane, Ended};
use chancery_control::cli::exit::Exit;
use chancery_control::mesh::model::filter::FilterDigest;
use chancery_control::policies::filters::oci::{Credentials, Digest, OciError, Pulled, Registry};
use chancery_tests::registry;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn manifest(media_type: &str, config: &Value, layers: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers})
}

/// An archive with a module, as `docker build` makes a layer of `COPY plugin.wasm .`
fn layer(module: &[u8]) -> Vec<u8> {
    let mut archive =
        tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_size(module.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, "plugin.wasm", module).unwrap();
    archive.into_inner().unwrap().finish().unwrap()
}

async fn push(plane: &ControlPlane, from: &str, version: &str) -> Ended {
    plane.run(&["filter", "push", "--from", from, "--name", "guard", "--version", version]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_comes_from_a_real_registry_in_every_layout() {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let registry = registry::Registry::start(cache).await.unwrap();
    let at = registry.address;
    let config =
        registry.put_blob("acme/guard", "application/vnd.oci.image.config.v1+json", b"{}").await.unwrap();
    let mut tags = Vec::new();
    let layouts = [
        ("artifact", OCI_MANIFEST, "application/wasm", module('a')),
        ("old-artifact", OCI_MANIFEST, "application/vnd.wasm.content.layer.v1+wasm", module('b')),
        ("istio", OCI_MANIFEST, "application/vnd.oci.image.layer.v1.tar+gzip", layer(&module('c'))),
        ("docker", DOCKER_MANIFEST, "application/vnd.docker.image.rootfs.diff.tar.gzip", layer(&module('d'))),
    ];
    for ((tag, of, media_type, bytes), letter) in layouts.into_iter().zip('a'..) {
        let layer = registry.put_blob("acme/guard", media_type, &bytes).await.unwrap();
        let put = registry.put_manifest("acme/guard", tag, &manifest(of, &config, &[layer])).await.unwrap();
        tags.push((tag, module(letter), put));
    }
    let (_, _, istio) = tags.get(2).unwrap();
    let platform = json!({"os": "linux", "architecture": "arm64"});
    let (digest, size) = (&istio["digest"], &istio["size"]);
    let image = json!({"mediaType": OCI_MANIFEST, "digest": digest, "size": size, "platform": platform});
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [image]});
    let put = registry.put_manifest("acme/guard", "index", &index).await.unwrap();
    tags.push(("index", module('c'), put));

    let place = Place::new();
    let plane = place.start(&[]).await;
    for (number, (tag, module, descriptor)) in tags.iter().enumerate() {
        let digest = descriptor["digest"].as_str().unwrap();
        for (minor, from) in
            [format!("{at}/acme/guard:{tag}"), format!("{at}/acme/guard@{digest}")].iter().enumerate()
        {
            let version = format!("{number}.{minor}.0");
            let pushed = push(&plane, &format!("oci://{from}"), &version).await;
            assert_eq!(pushed.exit, Exit::Well, "{tag}: {}", pushed.stderr);
            let shown = plane.run(&["filter", "show", &format!("guard@{version}")]).await;
            let from = format!("  from         {from} ({digest})\n");
            assert!(shown.stdout.contains(&from), "{}", shown.stdout);
            let of = format!("  sha256       {}\n", FilterDigest::of(module));
            assert!(shown.stdout.contains(&of), "{tag}: {}", shown.stdout);
        }
    }
    let absent = push(&plane, &format!("oci://{at}/acme/guard:absent"), "9.0.0").await;
    assert_eq!(absent.exit, Exit::Refused);
    assert!(
        absent.stderr.contains(&format!("the registry {at} has no {at}/acme/guard:absent")),
        "{}",
        absent.stderr
    );
    let wrong = push(&plane, &format!("{at}/acme/guard:artifact"), "9.0.0").await;
    assert_eq!(wrong.exit, Exit::BadInput);
    assert!(wrong.stderr.contains("it does not begin with `oci://`"), "{}", wrong.stderr);
    plane.terminate().await;
}

/// What a registry answers to a path and what it was shown.
type Answer = dyn Fn(&str, Option<&str>) -> Response<Full<Bytes>> + Send + Sync;

/// A registry that answers what a test likes.
async fn answering(answer: Arc<Answer>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let shown = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                    let answered = answer(&request.uri().to_string(), shown);
                    async move { Ok::<_, Infallible>(answered) }
                });
                let serving = hyper::server::conn::http1::Builder::new();
                let _gone = serving.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

fn answer(status: u16, header: (&str, &str), body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let answer = Response::builder().status(status).header(header.0, header.1);
    answer.body(Full::new(body.into())).unwrap()
}

fn found(body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    answer(200, ("content-type", "application/json"), body)
}

async fn pull(words: &str, credentials: &Credentials) -> Result<Pulled, OciError> {
    Registry::of(words.parse()?, credentials, &[])?.pull().await
}

#[tokio::test]
async fn a_registry_that_wants_a_token_or_a_login_is_shown_it() {
    let module = module('a');
    let (digest, size) = (Digest::of(&module), module.len());
    let layer = json!({"mediaType": "application/wasm", "digest": digest.to_string(), "size": size});
    let manifest = json!({"schemaVersion": 2, "layers": [layer]}).to_string();
    // Who gives tokens is told apart from the registry by its port.
    let giver = answering(Arc::new(|uri, shown| {
        assert!(
            uri.contains("service=r.example") && uri.contains("scope=repository%3Aacme%2Fguard%3Apull"),
            "{uri}"
        );
        // `me:secret` in base64.
        match shown {
            Some("Basic bWU6c2VjcmV0") => found(r#"{"token": "good"}"#),
            _ => answer(401, ("x", "y"), ""),
        }
    }))
    .await;
    let (of_layer, of_manifest) = (module.clone(), manifest.clone());
    let registry = answering(Arc::new(move |uri, shown| {
        let asks = format!(
            "Bearer realm=\"http://{giver}/token\",service=\"r.example\",scope=\"repository:acme/guard:pull\""
        );
        match shown {
            Some("Bearer good") if uri.contains("/manifests/") => found(of_manifest.clone()),
            Some("Bearer good") => found(of_layer.clone()),
            _ => answer(401, ("www-authenticate", &asks), ""),
        }
    }))
    .await;
    let words = format!("oci://{registry}/acme/guard:1");
    let text = json!({"auths": {registry.to_string(): {"auth": "bWU6c2VjcmV0"}}}).to_string();
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let pulled = pull(&words, &credentials).await.unwrap();
    assert_eq!(pulled, Pulled { module, manifest: Digest::of(manifest.as_bytes()) });
    let denied = pull(&words, &Credentials::default()).await.unwrap_err();
    assert!(
        matches!(denied, OciError::Denied { .. }) && denied.help().contains("--registry-auth"),
        "{denied}"
    );

    let basic = answering(Arc::new(move |_, shown| match shown {
        Some("Basic bWU6c2VjcmV0") => answer(404, ("x", "y"), ""),
        _ => answer(401, ("www-authenticate", "Basic realm=\"x\""), ""),
    }))
    .await;
    let text = json!({"auths": {basic.to_string(): {"auth": "bWU6c2VjcmV0"}}}).to_string();
    let credentials = Credentials::parse(text.as_bytes()).unwrap();
    let known = pull(&format!("oci://{basic}/a:1"), &credentials).await.unwrap_err();
    assert!(matches!(known, OciError::NotThere { .. }), "{known}");
}

#[tokio::test]
async fn a_registry_that_says_what_it_likes_gives_nothing_but_an_error() {
    let module = module('a');
    let layer = |digest: Digest, size: usize| {
        json!({"layers": [{"mediaType": "application/wasm", "digest": digest.to_string(), "size": size}]})
            .to_string()
    };
    let digest = Digest::of(&module);
    let itself = "application/vnd.oci.image.index.v1+json";
    let endless = json!({"mediaType": itself, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": digest.to_string(), "size": 1}]});
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = bomb.finish().unwrap();
    let packed = json!({"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
        "digest": Digest::of(&bomb).to_string(), "size": bomb.len()}]});
    let cases: Vec<(&str, String, Vec<u8>, &str)> = vec![
        ("no manifest", "<html>".to_owned(), Vec::new(), "no manifest"),
        ("a large manifest", " ".repeat(5 << 20), Vec::new(), "more than"),
        ("another layer", layer(digest, module.len()), vec![0; module.len()], "not the digest"),
        ("a longer layer", layer(digest, 10), module.clone(), "more than 10 bytes"),
        ("a huge layer", layer(digest, 1 << 40), module.clone(), "more than a module may have"),
        ("an index of another digest", endless.to_string(), Vec::new(), "not the one that was asked for"),
        ("a bomb", packed.to_string(), bomb, "plugin.wasm"),
    ];
    for (name, manifest, blob, expected) in cases {
        let registry = answering(Arc::new(move |uri, _| {
            if uri.contains("/manifests/") { found(manifest.clone()) } else { found(blob.clone()) }
        }))
        .await;
        let error = pull(&format!("oci://{registry}/a:1"), &Credentials::default()).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{name}: {error}");
    }
    let answers: [(&str, Arc<Answer>); 3] = [
        ("a circle", Arc::new(|uri, _| answer(302, ("location", uri), ""))),
        ("elsewhere", Arc::new(|_, _| answer(302, ("location", "http://192.0.2.1/"), ""))),
        (
            "a stranger who gives tokens",
            Arc::new(|_, _| answer(401, ("www-authenticate", "Bearer realm=\"http://192.0.2.1/\""), "")),
        ),
    ];
    for (name, answer) in answers {
        let registry = answering(answer).await;
        let error = pull(&format!("oci://{registry}/a:1"), &Credentials::default()).await.unwrap_err();
        let words = error.to_string();
        assert!(words.contains("elsewhere"), "{name}: {words}");
    }
}
