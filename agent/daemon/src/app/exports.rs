//! From the configured destinations to running exporters.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;

use super::{AppError, credential};
use crate::config::{ExportSection, OtlpDestination};
use crate::export::{self, ExportConfig, ExportHandle, TlsFiles};
use crate::host::Clock;
use crate::store::{StateReader, TelemetryDb};

/// Starts one exporter a destination.
pub(super) fn start(
    section: &ExportSection,
    telemetry: &TelemetryDb,
    state: &StateReader,
    resource: &[(String, String)],
    clock: &Arc<dyn Clock>,
    stopping: &watch::Receiver<bool>,
) -> Result<Arc<Vec<ExportHandle>>, AppError> {
    let credentials = credential::directory();
    let mut handles = Vec::new();
    for destination in &section.otlp {
        let config = settings(destination, &section.otlp, credentials.as_deref());
        let handle =
            export::start(config, telemetry.clone(), state.clone(), resource.to_vec(), Arc::clone(clock), stopping);
        handles.push(handle.map_err(AppError::Export)?);
    }
    Ok(Arc::new(handles))
}

fn settings(it: &OtlpDestination, all: &[OtlpDestination], credentials: Option<&Path>) -> ExportConfig {
    let file = |text: &Option<String>| text.as_deref().map(|text| credential::place(text, credentials));
    // A destination that was given a name goes on where it was without one, unless that is another's by now.
    let taken = all.iter().any(|other| other.identity() == it.endpoint);
    ExportConfig {
        name: it.identity().to_owned(),
        formerly: (!taken).then(|| it.endpoint.clone()),
        protocol: it.protocol,
        compression: it.compression,
        headers: it.headers.iter().map(|(k, v)| (k.clone(), v.expose().to_owned())).collect(),
        headers_file: file(&it.headers_file),
        tls: TlsFiles { ca: file(&it.tls.ca_file), cert: file(&it.tls.cert_file), key: file(&it.tls.key_file) },
        streams: it.streams.clone(),
        interval: it.interval.0,
        timeout: it.timeout.0,
        ..ExportConfig::new(it.endpoint.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_credential_and_a_new_name_keeps_the_position() {
        let text = "[[export.otlp]]\nname = \"far\"\nendpoint = \"https://x:1\"\nheaders-file = \"token\"\n\
                    tls.ca-file = \"/etc/ca.pem\"\n[[export.otlp]]\nname = \"two\"\nendpoint = \"http://y:1\"\n\
                    [[export.otlp]]\nendpoint = \"http://y:1\"\n";
        let all = crate::config::parse(text, "x").unwrap().export.otlp;
        let of = |n: usize, dir| settings(&all[n], &all, dir);
        let far = of(0, Some(Path::new("/run/credentials/holdfast.service")));
        assert_eq!(far.headers_file.as_deref(), Some(Path::new("/run/credentials/holdfast.service/token")));
        assert_eq!(far.tls.ca.as_deref(), Some(Path::new("/etc/ca.pem")));
        assert_eq!((far.name.as_str(), far.formerly.as_deref()), ("far", Some("https://x:1")));
        assert_eq!(of(0, None).headers_file.as_deref(), Some(Path::new("$CREDENTIALS_DIRECTORY/token")));
        assert_eq!((of(1, None).formerly, of(2, None).name.as_str()), (None, "http://y:1"));
    }
}
