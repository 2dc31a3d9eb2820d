//! One destination's way out, shared by its streams: one request, one answer, one deadline.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use holdfast_core::model::Timestamp;
use hyper::body::Bytes;

use super::connect::{self, Connection};
use super::delivery::{self, Delivery};
use super::settings::Signal;
use super::{ExportConfig, ExportError, Protocol, grpc, http};
use crate::host::Clock;
use crate::telemetry::Chain;

/// Files are not read more often than this.
const RENEW_PAUSE: Duration = Duration::from_secs(1);

pub(super) struct Sender {
    config: Arc<ExportConfig>,
    base: String,
    clock: Arc<dyn Clock>,
    connection: RwLock<Connection>,
    /// When files were read last.
    renewed: Mutex<Duration>,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Sender {
    pub(super) fn new(config: Arc<ExportConfig>, clock: Arc<dyn Clock>) -> Result<Self, ExportError> {
        let base = connect::base(&config.endpoint, config.protocol)
            .map_err(|why| ExportError::Endpoint { endpoint: config.endpoint.clone(), why: why.to_owned() })?;
        let connection = RwLock::new(Connection::new(&config)?);
        let renewed = Mutex::new(clock.monotonic());
        Ok(Self { config, base, clock, connection, renewed })
    }

    /// Sends a body that [`super::body::wrap`] has made.
    pub(super) async fn send(&self, signal: Signal, body: Bytes) -> Delivery {
        let Connection { client, headers } = self.connection.read().unwrap_or_else(PoisonError::into_inner).clone();
        let (config, base) = (&self.config, &self.base);
        let request = match config.protocol {
            Protocol::HttpProtobuf => http::request(config, base, headers, signal, body),
            Protocol::Grpc => grpc::request(config, base, headers, signal, body),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Delivery::lost(error.to_string()),
        };
        let exchange = async {
            let answer = match client.request(request).await {
                Ok(answer) => answer,
                Err(error) => return Delivery::lost(Chain(&error).to_string()),
            };
            match config.protocol {
                Protocol::HttpProtobuf => delivery::judge_http(http::reply(answer, self.clock.wall()).await, signal),
                Protocol::Grpc => match grpc::reply(answer).await {
                    Ok(reply) => delivery::judge_grpc(reply, signal),
                    Err(why) => Delivery::lost(why),
                },
            }
        };
        let within = tokio::time::timeout(config.timeout, exchange).await;
        within.unwrap_or_else(|_| Delivery::lost(format!("no answer within {} s", config.timeout.as_secs_f64())))
    }

    /// By the wall clock.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// New connections from now on, with files as they are now: a connection on which nothing comes any more is not used
    /// again, and renewed certificates and tokens are. Files that cannot be used at the moment leave everything as it was.
    /// Reads files: blocks.
    pub(super) fn renew(&self) -> Result<(), ExportError> {
        let now = self.clock.monotonic();
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(*renewed) < RENEW_PAUSE {
            return Ok(());
        }
        *renewed = now;
        let fresh = Connection::new(&self.config)?;
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}
