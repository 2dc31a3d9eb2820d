//! Test harness: a collector, a fixture tree with numbered successive reads, and the samples by printed key.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use holdfast_core::model::{SeriesId, SeriesKey, Timestamp};

use super::sink::{Intern, Sink};
use super::{CollectError, Collector, Context, Reading};
use crate::host::FsRoot;

/// A registry in memory, and what is stored of its sums.
#[derive(Default)]
pub(crate) struct Numbers(Mutex<HashMap<SeriesKey, u32>>, pub(crate) Mutex<HashMap<SeriesId, f64>>);

impl Intern for Numbers {
    fn intern(&self, key: &SeriesKey) -> (SeriesId, bool) {
        let mut known = self.0.lock().unwrap();
        let next = known.len() as u32;
        let mut new = false;
        let id = *known.entry(key.clone()).or_insert_with(|| {
            new = true;
            next
        });
        (SeriesId(id), new)
    }

    fn take_last(&self, id: SeriesId) -> Option<f64> {
        self.1.lock().unwrap().remove(&id)
    }
}

/// `agent/daemon/fixtures/NAME/N`: the tree at the N-th reading, one second after the one before.
pub(crate) struct Trees {
    name: &'static str,
    names: HashMap<SeriesId, String>,
    sink: Sink,
}

impl Trees {
    pub(crate) fn of(name: &'static str) -> Self {
        Self { name, names: HashMap::new(), sink: Sink::new(Arc::new(Numbers::default())) }
    }

    pub(crate) fn root(&self, number: u32) -> FsRoot {
        FsRoot::new(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(self.name).join(number.to_string()))
    }

    /// The N-th reading.
    pub(crate) fn read(
        &mut self,
        collector: &mut dyn Collector,
        number: u32,
    ) -> Result<(Reading, BTreeMap<String, f64>), CollectError> {
        let fs = self.root(number);
        let mut context = Context { fs: &fs, text: &mut String::new(), sink: &mut self.sink };
        let reading = collector.collect(&mut context)?;
        let batch = self.sink.take(Timestamp::from_secs(0));
        self.names.extend(batch.new_series.iter().map(|(id, key)| (*id, key.to_string())));
        Ok((reading, batch.samples.iter().map(|(id, value)| (self.names[id].clone(), *value)).collect()))
    }

    /// The N-th reading, which must succeed.
    pub(crate) fn samples(&mut self, collector: &mut dyn Collector, number: u32) -> BTreeMap<String, f64> {
        self.read(collector, number).unwrap().1
    }
}
