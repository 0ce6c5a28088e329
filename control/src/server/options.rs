//! What an operator can choose when a control plane starts.

use super::StartError;
use crate::mesh::identity::{authority, spiffe};
use crate::mesh::model::rollout::{RolloutPlan, Share, Stage};
use crate::policies::filters::admission::PushTerms;
use jiff::SignedDuration;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// How a control plane is to run.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen; port 0 means any.
    pub listen: SocketAddr,
    /// The name or address by which others reach it; that of `listen` if absent.
    pub advertise: Option<String>,
    /// Where its data is.
    pub data_dir: PathBuf,
    /// The key that secrets are sealed with; in the data directory if absent.
    pub key_file: Option<PathBuf>,
    /// The SPIFFE trust domain; of the data, or the default, if absent.
    pub trust_domain: Option<String>,
    /// Whether the data directory may be a copy that is the only one in use from now on.
    pub is_restored: bool,
    /// How long sidecars' certificates are valid.
    pub certificate_lifetime: SignedDuration,
    /// How long after the end of its stream a sidecar is forgotten.
    pub leave_after: Duration,
    /// How long a stream between sidecars may be quiet; `None` means as long as it likes.
    pub quiet_streams: Option<Duration>,
    /// On which terms filters are admitted.
    pub filters: PushTerms,
    /// The stages in which an apply is delivered that says nothing of it; none if all at once.
    pub rollout_stages: Vec<Share>,
}

impl ServerOptions {
    /// Refuses what cannot work.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if let Some(domain) = self.trust_domain.as_deref().filter(|domain| !spiffe::is_trust_domain(domain)) {
            return Err(StartError::Options(format!(
                "`{domain}` cannot be a trust domain: write lower-case letters, digits, `.`, `_` or `-`, such as mesh.example"
            )));
        }
        if let Some(name) = self.advertise.as_deref().filter(|name| !is_host(name)) {
            return Err(StartError::Options(format!(
                "`{name}` cannot be advertised: write a host name or an address, without a port"
            )));
        }
        if self.listen.ip().is_unspecified() && self.advertise.is_none() {
            return Err(StartError::Options(format!(
                "{} is every address of this machine: say with --advertise by which one sidecars reach it",
                self.listen
            )));
        }
        let stages = RolloutPlan {
            stages: self.rollout_stages.iter().copied().map(Stage::Share).collect(),
            soak: Duration::ZERO,
            absent_wait: Duration::ZERO,
            errors_max: Share::ALL,
        };
        if let Some(problem) = stages.problem().filter(|_| !self.rollout_stages.is_empty()) {
            return Err(StartError::Options(format!(
                "these cannot be the stages of rollouts: {problem}; write shares that grow, such as 5%,50%,100%"
            )));
        }
        let allowed = authority::LIFETIME_MIN..=authority::LIFETIME_MAX;
        if !allowed.contains(&self.certificate_lifetime) {
            return Err(StartError::Options(format!(
                "certificates cannot live {} seconds: choose from {} seconds to {} days",
                self.certificate_lifetime.as_secs(),
                allowed.start().as_secs(),
                allowed.end().as_hours() / 24
            )));
        }
        Ok(())
    }

    /// Where others reach it.
    pub(super) fn url(&self, address: SocketAddr) -> String {
        match self.advertise.as_deref().map(|name| (name, name.parse::<IpAddr>())) {
            None => format!("https://{address}"),
            Some((_, Ok(ip))) => format!("https://{}", SocketAddr::new(ip, address.port())),
            Some((name, Err(_))) => format!("https://{name}:{}", address.port()),
        }
    }

    /// What its certificate is for.
    pub(super) fn certificate_names(&self, address: SocketAddr) -> Vec<String> {
        let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let own = (!address.ip().is_unspecified()).then(|| address.ip().to_string());
        for name in self.advertise.clone().into_iter().chain(own) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn options(listen: &str, advertise: Option<&str>) -> ServerOptions {
        ServerOptions {
            listen: listen.parse().unwrap(),
            advertise: advertise.map(str::to_owned),
            data_dir: PathBuf::new(),
            key_file: None,
            trust_domain: None,
            is_restored: false,
            certificate_lifetime: authority::LIFETIME_DEFAULT,
            leave_after: Duration::from_secs(60),
            quiet_streams: None,
            filters: PushTerms::default(),
            rollout_stages: Vec::new(),
        }
    }

    fn url(listen: &str, advertise: Option<&str>) -> String {
        let options = options(listen, advertise);
        options.check().unwrap();
        options.url(options.listen)
    }

    #[test]
    fn the_url_is_what_others_reach() {
        assert_eq!(url("127.0.0.1:5680", None), "https://127.0.0.1:5680");
        assert_eq!(url("0.0.0.0:5680", Some("cp.example")), "https://cp.example:5680");
        assert_eq!(url("[::]:5680", Some("fd00::1")), "https://[fd00::1]:5680");
    }

    #[test]
    fn what_cannot_work_is_refused_with_the_remedy() {
        let refusal = |options: ServerOptions| options.check().unwrap_err().to_string();
        assert!(refusal(options("0.0.0.0:1", None)).contains("--advertise"));
        assert!(refusal(options("127.0.0.1:1", Some("cp.example:1"))).contains("without a port"));
        let upper = ServerOptions { trust_domain: Some("Mesh".to_owned()), ..options("127.0.0.1:1", None) };
        assert!(refusal(upper).contains("lower-case"));
        let short = ServerOptions {
            certificate_lifetime: SignedDuration::from_secs(1),
            ..options("127.0.0.1:1", None)
        };
        assert!(refusal(short).contains("10 seconds"));
    }
}
