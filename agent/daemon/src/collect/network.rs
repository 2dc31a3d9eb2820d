//! Traffic of each network interface, from `/proc/net/dev`: counters since the interface came up.
//!
//! At most [`INTERFACES_MAX`] interfaces; the rest is told in the report. The file is that of the agent's own network namespace.

use std::time::Duration;

use super::keyed::Keyed;
use super::sink::{Cached, counter};
use super::{CollectError, Collector, Context, ParseFault, Reading, number};
use crate::host::HeldFile;

const PATH: &str = "/proc/net/dev";
/// A container host has an interface for each container.
const INTERFACES_MAX: usize = 128;

/// Bytes, packets, errors, drops.
pub(crate) type Flow = [u64; 4];

/// Pure: one line after the two of the head. Name, then receive and transmit.
pub(crate) fn parse_line(index: usize, line: &str) -> Result<(&str, [Flow; 2]), ParseFault> {
    let (name, rest) = line.split_once(':').ok_or_else(|| ParseFault::at(index, line, "no colon"))?;
    let mut values = [0; 16];
    let mut fields = rest.split_ascii_whitespace();
    for value in &mut values {
        *value = number(index, line, fields.next())?;
    }
    let flow = |at: usize| [values[at], values[at + 1], values[at + 2], values[at + 3]];
    Ok((name.trim(), [flow(0), flow(8)]))
}

#[derive(Debug, Default)]
struct Series([[Cached; 4]; 2]);

pub(crate) struct Network {
    every: Duration,
    file: HeldFile,
    interfaces: Keyed<Series>,
}

impl Network {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, file: HeldFile::listing(PATH), interfaces: Keyed::new() }
    }
}

impl Collector for Network {
    fn name(&self) -> &'static str {
        "network"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if !context.reread(&mut self.file)? {
            return Ok(Reading::Absent { why: format!("no {PATH}") });
        }
        self.interfaces.next_round();
        for (count, (index, line)) in context.text.lines().enumerate().skip(2).enumerate() {
            if count == INTERFACES_MAX {
                return Ok(Reading::Partial {
                    why: format!("more than {INTERFACES_MAX} interfaces; the rest is left out"),
                });
            }
            let (name, flows) = parse_line(index, line).map_err(|fault| fault.of(PATH))?;
            let series = self.interfaces.of(name);
            for (at, direction) in ["receive", "transmit"].into_iter().enumerate() {
                let attributes = [("network.interface.name", name), ("network.io.direction", direction)];
                let [bytes, packets, errors, drops] = flows[at].map(|value| value as f64);
                let [a, b, c, d] = &mut series.0[at];
                context.sink.put(a, bytes, || counter("system.network.io", "By", &attributes));
                context.sink.put(b, packets, || {
                    // The conventions name the interface differently here.
                    let attributes = [("system.device", name), ("network.io.direction", direction)];
                    counter("system.network.packet.count", "{packet}", &attributes)
                });
                context.sink.put(c, errors, || counter("system.network.errors", "{error}", &attributes));
                context.sink.put(d, drops, || counter("system.network.packet.dropped", "{packet}", &attributes));
            }
        }
        Ok(Reading::Taken)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::Trees;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bytes_and_errors_by_direction() {
        let samples = Trees::of("host").samples(&mut Network::new(Duration::from_secs(1)), 1);
        assert_eq!(
            samples["system.network.io{network.interface.name=eth0,network.io.direction=receive}"],
            115_272_283.0
        );
        assert_eq!(samples["system.network.errors{network.interface.name=eth0,network.io.direction=transmit}"], 7.0);
        assert_eq!(
            samples["system.network.packet.dropped{network.interface.name=eth0,network.io.direction=receive}"],
            3.0
        );
    }

    #[test]
    fn numbers_may_stick_to_the_colon() {
        let line = "eth0:1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0";
        assert_eq!(parse_line(2, line), Ok(("eth0", [[1, 2, 3, 4], [5, 6, 7, 8]])));
    }

    #[test]
    fn the_error_names_the_line() {
        assert_eq!(parse_line(2, "eth0: 1 2").unwrap_err().line, 3);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(line in "\\PC{0,8}:?[0-9 x]{0,90}") {
            let _ = parse_line(0, &line);
        }
    }
}
