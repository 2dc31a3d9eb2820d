//! What follows a position in a stream, as the body of one request. Reads the stores and compresses: blocks.

use holdfast_core::model::Timestamp;
use hyper::body::Bytes;

use super::{ExportConfig, Stream, body, wire};
use crate::store::{Documents, ExportCursor, Revised, StateReader, StoreError, TelemetryDb};

/// Log records in one request.
pub(super) const RECORDS_MAX: usize = 256;
/// Of documents that make several spans each, so many fewer.
const SPANS_EACH: usize = 8;

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) body: Bytes,
    /// Samples, records or spans in it.
    pub(super) items: u64,
    /// Ticks or documents in it: one cannot be parted any more.
    pub(super) parts: u64,
    /// The position after it.
    pub(super) next: u64,
    /// Ticks before it that are no longer there.
    pub(super) skipped: u64,
    /// Samples left out, because their series was forgotten meanwhile.
    pub(super) nameless: u64,
    /// Moments of its first and its last tick.
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
}

/// Why there is no parcel.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Making it smaller.
    #[error("cannot compress a request")]
    Compress(#[source] std::io::Error),
}

/// Where parcels are made from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) telemetry: TelemetryDb,
    pub(super) state: StateReader,
    pub(super) resource: wire::Origin,
}

impl Source {
    /// The position after everything that there is of a stream of `state.db`; `None` of samples, which are numbered elsewhere.
    pub(super) fn end(&self, stream: Stream) -> Result<Option<u64>, StoreError> {
        let documents = match stream {
            Stream::Metrics => return Ok(None),
            Stream::Findings => Documents::Findings,
            Stream::Decisions => Documents::Decisions,
            Stream::Audit => Documents::Audit,
            Stream::Remediations => Documents::Remediations,
            Stream::Steps => Documents::Steps,
        };
        self.state.end_of(documents).map(Some)
    }

    /// What follows `after`, about `items_max` samples or at most so many records.
    pub(super) fn read(
        &self,
        config: &ExportConfig,
        stream: Stream,
        after: u64,
        items_max: usize,
    ) -> Result<Option<Parcel>, ReadError> {
        let (state, resource) = (&self.state, &self.resource);
        let few = (items_max / SPANS_EACH).max(1);
        let (message, mut parcel) = match stream {
            Stream::Metrics => {
                let slice = self.telemetry.reader().export_after(ExportCursor(after), items_max)?;
                if slice.next_cursor.0 <= after {
                    return Ok(None);
                }
                let parcel = Parcel {
                    body: Bytes::new(),
                    items: slice.samples,
                    parts: (slice.next_cursor.0 - after).saturating_sub(slice.skipped_ticks),
                    next: slice.next_cursor.0,
                    skipped: slice.skipped_ticks,
                    nameless: slice.nameless,
                    first_at: slice.series.iter().filter_map(|s| Some(s.points.first()?.0)).min(),
                    last_at: slice.last_at,
                };
                (wire::metrics(resource, slice.series), parcel)
            }
            Stream::Findings => {
                let found = state.findings_after(after, items_max)?;
                let Some(parcel) = documents(&found, found.len()) else { return Ok(None) };
                (wire::logs(resource, found.iter().map(|r| wire::finding(&r.document)).collect()), parcel)
            }
            Stream::Decisions => {
                let found = state.decisions_after(after, items_max)?;
                let Some(parcel) = documents(&found, found.len()) else { return Ok(None) };
                (wire::logs(resource, found.iter().map(|r| wire::decision(&r.document)).collect()), parcel)
            }
            Stream::Audit => {
                let found = state.audit(after, items_max)?;
                let Some(last) = found.last().map(|e| e.seq) else { return Ok(None) };
                let parcel = whole(found.len(), found.len(), last);
                (wire::logs(resource, found.iter().map(wire::audit_head).collect()), parcel)
            }
            Stream::Remediations => {
                let found = state.finished_after(after, few)?;
                let spans: Vec<_> = found.iter().flat_map(|r| wire::remediation(&r.document)).collect();
                let Some(parcel) = documents(&found, spans.len()) else { return Ok(None) };
                (wire::traces(resource, spans), parcel)
            }
            Stream::Steps => {
                let found = state.steps_after(after, items_max)?;
                let spans: Vec<_> = found.iter().filter_map(|r| wire::step_run(&r.document)).collect();
                let Some(parcel) = documents(&found, spans.len()) else { return Ok(None) };
                (wire::traces(resource, spans), parcel)
            }
        };
        let wrapped = body::wrap(config.protocol, config.compression, message).map_err(ReadError::Compress)?;
        parcel.body = Bytes::from(wrapped);
        Ok(Some(parcel))
    }
}

fn whole(parts: usize, items: usize, next: u64) -> Parcel {
    Parcel {
        body: Bytes::new(),
        items: items as u64,
        parts: parts as u64,
        next,
        skipped: 0,
        nameless: 0,
        first_at: None,
        last_at: None,
    }
}

fn documents<T>(found: &[Revised<T>], items: usize) -> Option<Parcel> {
    found.last().map(|last| whole(found.len(), items, last.revision))
}
