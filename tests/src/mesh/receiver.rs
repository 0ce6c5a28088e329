//! A receiver of OTLP over gRPC, of OpenTelemetry's own service, that keeps what it is sent.

use anyhow::{Result, bail};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// A running receiver; it goes away with its value.
#[derive(Debug)]
pub struct Receiver {
    /// Where it is.
    pub address: SocketAddr,
    taken: Taken,
    server: JoinHandle<()>,
}

/// A record of a log, with the attributes of its resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What it says.
    pub body: String,
    /// Its attributes, as texts.
    pub attributes: BTreeMap<String, String>,
    /// Those of whoever sent it.
    pub resource: BTreeMap<String, String>,
    /// When it happened, in ns since 1970.
    pub time_unix_nano: u64,
}

#[derive(Clone, Debug, Default)]
struct Taken(Arc<Mutex<Vec<Record>>>);

#[tonic::async_trait]
impl LogsService for Taken {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for logs in request.into_inner().resource_logs {
            let resource = texts(logs.resource.unwrap_or_default().attributes);
            for record in logs.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let body = record.body.and_then(|body| body.value).map(text).unwrap_or_default();
                let (attributes, time_unix_nano) = (texts(record.attributes), record.time_unix_nano);
                taken.push(Record { body, attributes, resource: resource.clone(), time_unix_nano });
            }
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

impl Receiver {
    /// Starts one at an address.
    ///
    /// # Errors
    /// When that is taken.
    pub async fn start(address: SocketAddr) -> Result<Self> {
        Self::serve(address, tonic::transport::Server::builder()).await
    }

    /// Starts one that speaks TLS with a certificate of its own; gives it and the certificate.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn start_with_tls(address: SocketAddr) -> Result<(Self, String)> {
        let own = rcgen::generate_simple_self_signed([address.ip().to_string()])?;
        let certificate = own.cert.pem();
        let identity = Identity::from_pem(&certificate, own.signing_key.serialize_pem());
        let server = tonic::transport::Server::builder();
        let server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
        Ok((Self::serve(address, server).await?, certificate))
    }

    async fn serve(address: SocketAddr, mut server: tonic::transport::Server) -> Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let (address, taken) = (listener.local_addr()?, Taken::default());
        let server = server.add_service(LogsServiceServer::new(taken.clone()));
        let serving = server.serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { drop(serving.await) });
        Ok(Self { address, taken, server })
    }

    /// What it was sent so far.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.taken.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it was sent since this was asked last.
    #[must_use]
    pub fn take(&self) -> Vec<Record> {
        std::mem::take(&mut self.taken.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What it was sent, once there is so much.
    ///
    /// # Errors
    /// When that is not so in time.
    pub async fn until(&self, count: usize) -> Result<Vec<Record>> {
        let deadline = Instant::now() + super::PATIENCE;
        loop {
            let records = self.records();
            if records.len() >= count {
                return Ok(records);
            }
            if Instant::now() > deadline {
                bail!("{} of {count} records came: {records:#?}", records.len());
            }
            sleep(super::LOOK_AGAIN).await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let value = |attribute: KeyValue| {
        let value = attribute.value.and_then(|value| value.value).map(text).unwrap_or_default();
        (attribute.key, value)
    };
    attributes.into_iter().map(value).collect()
}

fn text(value: any_value::Value) -> String {
    match value {
        any_value::Value::StringValue(text) => text,
        any_value::Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
