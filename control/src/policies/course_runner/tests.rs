//! A module and the evaluator side by side: what it tells Envoy of each of many requests is what is defined.

use super::*;
use chancery_policy_lang::budget::Budget;
use chancery_policy_lang::check::CheckOptions;
use chancery_policy_lang::checked::ServiceRef;
use chancery_policy_lang::emit::compile;
use chancery_policy_lang::eval::course;
use chancery_policy_lang::link::link_calls;
use chancery_policy_lang::linked::Workload;
use chancery_policy_lang::{SourceSet, analyse};
use chancery_sdk_host::Limits;
use std::collections::BTreeMap;

const POLICY: &str = r#"traffic checkout on service shop/checkout {
  canary: route /** when headers["x-canary"] == "1" -> service shop/checkout@v2
  batch:  route /** from service shop/batch -> service shop/checkout@v2
  basket: route GET /basket/**, /*/basket -> service shop/basket
  moved:  redirect GET /cart/{id} -> "https://shop.example/basket/{id}?from=cart" 308
  home:   redirect /home/** -> "/welcome/**"
  rest:   route /** -> service shop/checkout@v1
  old:    rewrite /v1/** -> /v2/**
  user:   rewrite /users/{id}/posts/{post} -> /p/{post}/of/{id}
  timeout 5s
  timeout 2s for /slow/**
  timeout at_most 3s for POST
  timeout at_most 4s
  retry 2 on 5xx
  retry 1 on connect, refused for POST
  mirror 10% -> service shop/basket for GET /copied
  fault 100% delay 20ms for /late/**
  fault 50% delay 10ms for /late/**
  fault 100% abort 503 for /abort
  fault 50% abort 504 for /perhaps
}"#;

fn service(name: &str) -> ServiceRef {
    ServiceRef { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn program(caller: Option<&ServiceRef>) -> LinkedProgram {
    let mut sources = SourceSet::new();
    sources.add("case", POLICY);
    let analysis = analyse(&sources, CheckOptions::default());
    assert!(analysis.is_ok(), "{:?}", analysis.diagnostics);
    let target = Workload {
        namespace: "shop".to_owned(),
        service: "checkout".to_owned(),
        labels: BTreeMap::new(),
        trust_domain: "mesh.test".to_owned(),
    };
    let caller = caller.map(|caller| Workload::of_service(caller, &target.trust_domain));
    link_calls(&analysis.policies, &target, caller.as_ref(), &mut Budget::new()).unwrap().unwrap()
}

fn requests() -> Vec<Request> {
    let mut requests = Vec::new();
    for path in [
        "/",
        "/a",
        "/basket/7",
        "/x/basket",
        "/cart/7",
        "/cart/a%20%e9?q=1",
        "/home",
        "/home/a/b?q",
        "/v1",
        "/v1/a%3fb?x=1",
        "/users/7/posts/a",
        "/slow/1",
        "/copied",
        "/late/1",
        "/abort",
        "/perhaps",
        "/a/../b",
        "/%zz",
    ] {
        for method in ["GET", "POST"] {
            for canary in ["0", "1"] {
                requests.push(Request {
                    method: method.into(),
                    path: path.into(),
                    headers: vec![(b"x-canary".to_vec(), canary.into())],
                    ..Request::default()
                });
            }
        }
    }
    requests
}

#[test]
fn a_module_tells_envoy_what_is_defined() {
    let host = Host::new(Limits::default()).unwrap();
    for caller in [None, Some(service("web")), Some(service("batch"))] {
        let program = program(caller.as_ref());
        let module = compile(&program).unwrap();
        let mut runner = CourseRunner::on_host(&host, &module.bytes).unwrap();
        for request in requests() {
            let ran = runner.run(&request).unwrap();
            let defined = course(&program, &request);
            assert!(ran.may_be(defined.as_ref(), &program), "{caller:?} {request:?}\n{ran:?}\n{defined:?}");
            assert!(runner.fuel_used() <= module.manifest.cost.worst(), "{request:?}");
        }
    }
}
