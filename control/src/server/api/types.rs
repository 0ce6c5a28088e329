//! What the REST API says and hears, in JSON; the server and the command line share these types.
//!
//! Services and proxies are written as people write them: `namespace/name`,
//! `namespace/name/instance`. Instants are RFC 3339 in UTC. Unknown fields of requests are refused,
//! so that a misspelt option is never silently ignored.

mod filters;
mod from_filters;
mod from_policies;
mod plaintext;
mod progress;
mod protocol;
mod rollout;

pub use filters::{
    FilterBody, FilterList, FilterSourceBody, FilterVersions, ModuleFindingBody, PushRequest, PushResponse,
    RetiredFilterBody,
};
pub use plaintext::{PlaintextBody, PlaintextCaller};
pub use progress::Progress;
pub use protocol::ProtocolBody;
pub use rollout::{
    AnsweredBody, RolloutBody, RolloutPlanBody, RolloutProxyBody, RolloutResponse, RolloutState, UndoneBody,
};

pub use crate::mesh::identity::Role;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The body of every answer that is not a success.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct ErrorBody {
    /// A stable word, such as `unknown-policy` or `token-expired`; listed in `docs/operating.md`.
    pub code: String,
    /// What is wrong, and where.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Findings in policies, if that is what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub diagnostics: Vec<DiagnosticBody>,
    /// Tests of policies that fail, if that is what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_tests: Vec<FailedTestBody>,
    /// Findings in a module, if that is what is wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<ModuleFindingBody>,
}

/// A case of a `test` block in which a policy decides otherwise than is expected.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct FailedTestBody {
    /// The test's title.
    pub name: String,
    /// The file that the test stands in.
    pub file: String,
    /// The line of the case.
    pub line: u32,
    /// The case, on one line.
    pub case: String,
    /// What was expected and what came instead.
    pub failures: Vec<String>,
}

/// A finding in a policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DiagnosticBody {
    /// Such as `E304`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// One line.
    pub message: String,
    /// The file, as it was named when it was applied.
    pub file: String,
    /// Line of its main place, from 1.
    pub line: u32,
    /// Column of its main place in characters, from 1.
    pub column: u32,
    /// The remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The whole finding as plain text, with the lines of the source.
    pub rendered: String,
}

/// `POST /v1/policies`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The files; their order does not matter.
    pub files: Vec<FileBody>,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do not run the tests; the audit log says so.
    #[serde(default)]
    pub skip_tests: bool,
    /// The set that the policies are in from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// Take policies of the set out of force that are in none of the files.
    #[serde(default)]
    pub prune: bool,
    /// With `dry_run`: the revision from which the differences are told; the newest if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// How it reaches the sidecars that it changes, if in stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutPlanBody>,
    /// All at once, also where the control plane was started with stages.
    #[serde(default)]
    pub at_once: bool,
}

impl ApplyRequest {
    /// Files that are simply to be applied.
    #[must_use]
    pub fn of(files: Vec<FileBody>) -> Self {
        Self {
            files,
            dry_run: false,
            skip_tests: false,
            set: None,
            prune: false,
            since: None,
            rollout: None,
            at_once: false,
        }
    }
}

/// `POST /v1/rollback`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The revision whose policies are to be in force again.
    pub revision: u64,
    /// Check everything, change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// Do not run the tests; the audit log says so.
    #[serde(default)]
    pub skip_tests: bool,
}

/// A file of policies.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileBody {
    /// The name its author knows it by.
    pub name: String,
    /// Its whole text.
    pub text: String,
}

/// The answer to [`ApplyRequest`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct ApplyResponse {
    /// The revision in which all of it is in force; it does not grow when nothing changed.
    pub revision: u64,
    /// Whether nothing was stored because that was asked for.
    pub dry_run: bool,
    /// What became of each policy, by name.
    pub policies: Vec<AppliedPolicy>,
    /// How many tests were run, all of which passed; absent if that was not wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tests: Option<usize>,
    /// Warnings of the checker.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<DiagnosticBody>,
    /// Tests in files that stay which do not count any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutBody>,
    /// The sidecars that a policy concerns which changes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sidecars: Vec<String>,
    /// With `dry_run`: how the documents would differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub documents: Vec<DocumentDiff>,
    /// The stages in which it reaches the sidecars; none if all at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<String>,
}

/// How a document differs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DocumentDiff {
    /// The file, as it was named when it was applied.
    pub file: String,
    /// The policies that stand in it, before or after.
    pub policies: Vec<String>,
    /// A unified diff.
    pub unified: String,
}

/// `GET /v1/diff`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DiffResponse {
    /// The earlier revision.
    pub from: u64,
    /// The later one.
    pub to: u64,
    /// By file; those that do not differ are not there.
    pub documents: Vec<DocumentDiff>,
}

/// `GET /v1/revisions`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RevisionList {
    /// The newest revision.
    pub revision: u64,
    /// Newest first.
    pub revisions: Vec<RevisionBody>,
}

/// What one revision changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RevisionBody {
    /// Its number.
    pub revision: u64,
    /// When it was made.
    pub at: String,
    /// By whom.
    pub actor: String,
    /// By what, in the words of the audit log.
    pub action: String,
    /// The policies that it changed, by name.
    pub policies: Vec<RevisionPolicy>,
}

/// What a revision did with a policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct RevisionPolicy {
    /// Its name.
    pub name: String,
    /// What became of it.
    pub step: RevisionStep,
}

/// What became of a policy in a revision.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionStep {
    /// It had not been in force.
    Created,
    /// It got another text.
    Changed,
    /// Its text stayed; its file, or its set, is another one.
    Moved,
    /// It was in force no more.
    Deleted,
}

/// What became of an applied policy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// Its name.
    pub name: String,
    /// Whether it is new, other than before, or the same.
    pub outcome: ApplyOutcome,
}

/// Whether an applied policy is new, other than before, or the same.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ApplyOutcome {
    /// There was no policy of this name.
    Created,
    /// Its text differs from what was in force.
    Changed,
    /// It was in force already.
    Unchanged,
    /// It is in force no more.
    Deleted,
}

/// A policy in force.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct PolicyBody {
    /// Its name.
    pub name: String,
    /// The revision in which it got its present text.
    pub revision: u64,
    /// What it is attached to, as written; of a sink, where lines go.
    pub targets: Vec<String>,
    /// `enforce`, `shadow` or `off`, `sink` of what is no policy but a sink; `unreadable` if this version of the control plane is too old for it.
    pub mode: String,
    /// The set that it was applied in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The file it was applied from.
    pub file: String,
    /// The line of that file on which it begins; 0 if it is unreadable.
    pub line: u32,
    /// What that file says, if this policy alone was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<DocumentBody>,
    /// The ids of the sidecars that it concerns; only where one policy is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Vec<String>>,
}

/// A file that policies are in force from, as it may be applied again without changing anything.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DocumentBody {
    /// The file, as it was named when it was applied.
    pub file: String,
    /// Its whole text, byte for byte, without what is in `left_out`.
    pub text: String,
    /// The policies that are in force from it, in the order of the text.
    pub policies: Vec<String>,
    /// Policies and tests that it had when it was applied, and that do not count any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutBody>,
}

/// What a document has no more.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct LeftOutBody {
    /// `policy` or `test`
    pub kind: String,
    /// The policy's name, or the test's title.
    pub name: String,
    /// The file, as it was named when it was applied.
    pub file: String,
    /// The line on which it began when the file was applied.
    pub line: u32,
    /// Why, as the end of a sentence that begins with it.
    pub reason: String,
}

/// `GET /v1/documents`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DocumentList {
    /// The revision.
    pub revision: u64,
    /// By the names of their files.
    pub documents: Vec<DocumentBody>,
}

/// `GET /v1/policies`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct PolicyList {
    /// The revision.
    pub revision: u64,
    /// By name.
    pub policies: Vec<PolicyBody>,
}

/// `POST /v1/deletions`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteRequest {
    /// Names of policies. All of them have to be in force.
    pub policies: Vec<String>,
}

/// `DELETE /v1/policies/{name}` and `POST /v1/deletions`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct DeleteResponse {
    /// The revision without it.
    pub revision: u64,
    /// Tests in files that stay which do not count any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutBody>,
}

/// `GET /v1/proxies`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct ProxyList {
    /// By id.
    pub proxies: Vec<ProxyBody>,
}

/// A sidecar that joined.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct ProxyBody {
    /// `namespace/service/instance`
    pub id: String,
    /// `namespace/service`
    pub service: String,
    /// Labels of the workload.
    pub labels: BTreeMap<String, String>,
    /// Where the service is offered.
    pub inbound: Option<InboundBody>,
    /// Services that the workload calls.
    pub outbounds: Vec<OutboundBody>,
    /// Whether its stream is open now.
    pub connected: bool,
    /// The newest revision of which it acknowledged everything.
    pub revision: Option<u64>,
    /// The revision that it is being given.
    pub offered: Option<u64>,
    /// What it refuses at present.
    pub rejections: Vec<Rejection>,
    /// Whether requests are sent to it, if it offers its service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<ReadinessBody>,
    /// Why what it is given is not what the policies say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Whether requests are sent to a replica.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct ReadinessBody {
    /// How it is.
    pub state: ReadinessState,
    /// Since when its application does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How ready a replica is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessState {
    /// It gets no requests: it has not been ready since it joined.
    Starting,
    /// Its application does not answer; it gets requests only while no replica of its service is ready.
    NotAnswering,
    /// It gets requests.
    Ready,
}

/// Where a service is offered.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct InboundBody {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where other sidecars reach it; absent where that is the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertised: Option<SocketAddr>,
    /// The application behind it.
    pub application: SocketAddr,
    /// What the application speaks; HTTP/1.1 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<ProtocolBody>,
    /// How the sidecar looks whether the application answers, which it then says on its stream: `tcp`, or `GET:/path`.
    /// Absent if it does not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// Where probes without TLS are let through, if anywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probes: Option<SocketAddr>,
}

/// A service that a workload calls.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OutboundBody {
    /// `namespace/name`
    pub service: String,
    /// Where the application reaches it.
    pub listen: SocketAddr,
}

/// A resource that a proxy refused.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Rejection {
    /// `listener`, `cluster`, …
    pub resource_type: String,
    /// The resource's name; empty if the proxy did not say.
    pub resource: String,
    /// The policies that shaped it.
    pub policies: Vec<String>,
    /// The statements of these that shaped it, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// The proxy's own words.
    pub message: String,
    /// Whether an earlier version of it is in use in its place.
    pub keeps_earlier: bool,
}

/// `GET /v1/status`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct StatusResponse {
    /// The revision that is asked about: the newest, unless the request named one.
    pub revision: u64,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// How many policies are in force.
    pub policies: usize,
    /// How many connected sidecars acknowledged everything of the revision.
    pub on_revision: usize,
    /// How many sidecars are connected.
    pub connected: usize,
    /// How many are registered and have no stream: nobody knows what they do.
    pub away: usize,
    /// Each sidecar, by id.
    pub proxies: Vec<ProxyBody>,
    /// The rollout of which the revision is a part, or that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutBody>,
    /// Where policies in force send requests and no sidecar has joined: such requests are answered with 503. Not told
    /// where only those that are behind are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nowhere: Vec<NowhereBody>,
    /// The services that take connections without TLS, because a policy says so. Not told where only those that are
    /// behind are asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plaintext: Vec<PlaintextBody>,
}

/// A service, or a version of one, to which requests are sent and of which no sidecar has joined.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct NowhereBody {
    /// `namespace/name` or `namespace/name@version`
    pub destination: String,
    /// The policies that send requests there.
    pub policies: Vec<String>,
}

/// `POST /v1/tokens`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "kind", rename_all = "kebab-case")]
pub enum TokenRequest {
    /// A token with which sidecars of one service join.
    Join {
        /// `namespace/name`
        service: String,
        /// How long it is good for joining; the server's default if absent.
        #[serde(default)]
        lifetime_seconds: Option<u64>,
    },
    /// A token for people and machines that use this API.
    Role {
        /// What it may do.
        role: Role,
        /// How long it is good; for ever if absent.
        #[serde(default)]
        lifetime_seconds: Option<u64>,
    },
}

/// The answer to [`TokenRequest`]. The token itself is shown this once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenResponse {
    /// The token.
    pub token: String,
    /// By which it is listed and revoked.
    pub id: String,
    /// When it ends; for ever if absent.
    pub expires_at: Option<String>,
}

/// A token that is in force, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct TokenBody {
    /// By which it is revoked.
    pub id: String,
    /// `join shop/orders`, `admin` or `reader`.
    pub grants: String,
    /// When it ends; for ever if absent.
    pub expires_at: Option<String>,
}

/// `GET /v1/tokens`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct TokenList {
    /// By id.
    pub tokens: Vec<TokenBody>,
}

/// What a sidecar states of itself; its service comes from its token or certificate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ProxyStatement {
    /// The last part of its id; made up by the control plane if absent. Ignored when renewing.
    #[serde(default)]
    pub instance: Option<String>,
    /// Labels of the workload.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Where the service is offered.
    #[serde(default)]
    pub inbound: Option<InboundBody>,
    /// Services that the workload calls.
    #[serde(default)]
    pub outbounds: Vec<OutboundBody>,
}

/// `POST /v1/join`: needs no other credential than the token in it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// A join token.
    pub token: String,
    /// `namespace/name`, for which the token must have been made.
    pub service: String,
    /// A PKCS #10 request for the sidecar's key, PEM; the names in it do not matter.
    pub csr_pem: String,
    /// The sidecar.
    pub proxy: ProxyStatement,
}

/// `POST /v1/renew`: authenticated by the client certificate that is to be renewed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// As in [`JoinRequest`]; the key may be a new one.
    pub csr_pem: String,
    /// The sidecar as it is now.
    pub proxy: ProxyStatement,
}

/// `POST /v1/leave`: authenticated by the client certificate.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// The sidecar that leaves: nothing happens if one that listens elsewhere has its id now.
    pub proxy: ProxyStatement,
}

/// The answer to [`JoinRequest`] and [`RenewRequest`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct IdentityResponse {
    /// The sidecar's id, which it gives as node id.
    pub proxy_id: String,
    /// `spiffe://<trust domain>/ns/<namespace>/sa/<service>`
    pub spiffe_id: String,
    /// The certificate and what leads to the root, PEM.
    pub certificate_pem: String,
    /// The roots by which other identities of the mesh are verified, PEM.
    pub bundle_pem: String,
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// How long the certificate is valid from now.
    pub lifetime_seconds: u64,
    /// When it ends.
    pub expires_at: String,
}

/// The answer to a request that has nothing to say but that it was done.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Done {}

/// `GET /v1/audit`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct AuditList {
    /// Newest first.
    pub entries: Vec<AuditBody>,
}

/// Who was shut out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct Evicted {
    /// Ids of sidecars.
    pub evicted: Vec<String>,
}

/// One write that was made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct AuditBody {
    /// Counts from 1, without a gap.
    pub number: u64,
    /// When.
    pub at: String,
    /// Who.
    pub actor: String,
    /// What.
    pub action: String,
    /// The revision after it.
    pub revision: u64,
    /// What changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<AuditChangeBody>,
}

/// One thing that a write changed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema, PartialEq, Eq)]
pub struct AuditChangeBody {
    /// Such as ``policy `orders` ``.
    pub what: String,
    /// The SHA-256 of what it was, in hex: of a policy's document, of a sidecar's registration; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The same of what it is now; absent if it is no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}
