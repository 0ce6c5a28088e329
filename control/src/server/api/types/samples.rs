//! One value of each type with every optional part present, to hold the schemas to the types.

use super::{
    AppliedPolicy, ApplyOutcome, ApplyRequest, ApplyResponse, AuditBody, AuditList, DeleteResponse,
    DiagnosticBody, DocumentBody, DocumentList, Done, ErrorBody, FailedTestBody, FileBody, IdentityResponse,
    InboundBody, JoinRequest, LeaveRequest, LeftOutBody, OutboundBody, PolicyBody, PolicyList, ProxyBody,
    ProxyList, ProxyStatement, Rejection, RenewRequest, Role, StatusResponse, TokenBody, TokenList,
    TokenRequest, TokenResponse,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};

/// Names of schemas and values that they describe.
pub(crate) fn all() -> Vec<(&'static str, Value)> {
    let apply = ApplyRequest {
        files: vec![FileBody { name: text(), text: text() }],
        dry_run: true,
        skip_tests: true,
    };
    let join = JoinRequest { token: text(), service: text(), csr_pem: text(), proxy: statement() };
    let join_token = TokenRequest::Join { service: text(), lifetime_seconds: Some(1) };
    let role_token = TokenRequest::Role { role: Role::Reader, lifetime_seconds: None };
    vec![
        ("ErrorBody", json!(error())),
        ("ApplyRequest", json!(apply)),
        ("ApplyResponse", json!(applied())),
        ("PolicyList", json!(PolicyList { revision: 1, policies: vec![policy()] })),
        ("DocumentList", json!(DocumentList { revision: 1, documents: vec![document()] })),
        ("DeleteResponse", json!(DeleteResponse { revision: 1, left_out: vec![left_out()] })),
        ("ProxyList", json!(ProxyList { proxies: vec![proxy()] })),
        ("StatusResponse", json!(status())),
        ("TokenRequest", json!(join_token)),
        ("TokenRequest", json!(role_token)),
        ("TokenResponse", json!(TokenResponse { token: text(), id: text(), expires_at: Some(text()) })),
        ("TokenList", json!(TokenList { tokens: vec![token()] })),
        ("AuditList", json!(AuditList { entries: vec![audit()] })),
        ("JoinRequest", json!(join)),
        ("RenewRequest", json!(RenewRequest { csr_pem: text(), proxy: statement() })),
        ("LeaveRequest", json!(LeaveRequest { proxy: statement() })),
        ("IdentityResponse", json!(identity())),
        ("Done", json!(Done {})),
    ]
}

fn text() -> String {
    "text".to_owned()
}

fn address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 1))
}

fn inbound() -> InboundBody {
    InboundBody { listen: address(), application: address() }
}

fn outbound() -> OutboundBody {
    OutboundBody { service: text(), listen: address() }
}

fn statement() -> ProxyStatement {
    ProxyStatement {
        instance: Some(text()),
        labels: [(text(), text())].into(),
        inbound: Some(inbound()),
        outbounds: vec![outbound()],
    }
}

fn diagnostic() -> DiagnosticBody {
    DiagnosticBody {
        code: text(),
        severity: "error".to_owned(),
        message: text(),
        file: text(),
        line: 1,
        column: 1,
        help: Some(text()),
        rendered: text(),
    }
}

fn error() -> ErrorBody {
    let failed_test =
        FailedTestBody { name: text(), file: text(), line: 1, case: text(), failures: vec![text()] };
    ErrorBody {
        code: text(),
        message: text(),
        help: Some(text()),
        diagnostics: vec![diagnostic()],
        failed_tests: vec![failed_test],
    }
}

fn applied() -> ApplyResponse {
    ApplyResponse {
        revision: 1,
        dry_run: false,
        policies: vec![AppliedPolicy { name: text(), outcome: ApplyOutcome::Unchanged }],
        tests: Some(1),
        warnings: vec![diagnostic()],
        left_out: vec![left_out()],
    }
}

fn policy() -> PolicyBody {
    PolicyBody {
        name: text(),
        revision: 1,
        targets: vec![text()],
        mode: "enforce".to_owned(),
        file: text(),
        line: 1,
        document: Some(document()),
    }
}

fn document() -> DocumentBody {
    DocumentBody { file: text(), text: text(), policies: vec![text()], left_out: vec![left_out()] }
}

fn left_out() -> LeftOutBody {
    LeftOutBody { kind: "policy".to_owned(), name: text(), file: text(), line: 1, reason: text() }
}

fn proxy() -> ProxyBody {
    let rejection =
        Rejection { resource_type: text(), resource: text(), policies: vec![text()], message: text() };
    ProxyBody {
        id: text(),
        service: text(),
        labels: [(text(), text())].into(),
        inbound: Some(inbound()),
        outbounds: vec![outbound()],
        connected: true,
        revision: Some(1),
        offered: Some(1),
        rejections: vec![rejection],
        problems: vec![text()],
    }
}

fn status() -> StatusResponse {
    StatusResponse {
        revision: 1,
        trust_domain: text(),
        policies: 1,
        on_revision: 1,
        connected: 1,
        proxies: vec![proxy()],
    }
}

fn token() -> TokenBody {
    TokenBody { id: text(), grants: text(), expires_at: None }
}

fn audit() -> AuditBody {
    AuditBody { number: 1, at: text(), actor: text(), action: text(), revision: 1 }
}

fn identity() -> IdentityResponse {
    IdentityResponse {
        proxy_id: text(),
        spiffe_id: text(),
        certificate_pem: text(),
        bundle_pem: text(),
        trust_domain: text(),
        lifetime_seconds: 1,
        expires_at: text(),
    }
}
