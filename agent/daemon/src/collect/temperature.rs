//! Temperatures in degrees Celsius, from `/sys/class/hwmon`, or from `/sys/class/thermal` where no driver offers more.
//!
//! Sensors are looked for at the first reading and every [`LOOK_AGAIN`]-th; in between a sensor that doesn't answer (a disk that
//! sleeps, a driver that was unloaded) has no sample. The kernel numbers its devices in the order of their discovery, so
//! a sensor is named by its device or driver, not by that number. At most [`SENSORS_MAX`].

use std::collections::BTreeSet;
use std::time::Duration;

use super::listing::numbered;
use super::sink::{Cached, gauge};
use super::{CollectError, Collector, Context, Reading};
use crate::host::HeldFile;

const HWMON: &str = "/sys/class/hwmon";
const THERMAL: &str = "/sys/class/thermal";
const LOOK_AGAIN: u32 = 6;
const SENSORS_MAX: usize = 64;
/// What no machine measures, such as the absolute zero of an unconnected sensor.
const PLAUSIBLE_MILLI: std::ops::RangeInclusive<i64> = -100_000..=250_000;

#[derive(Debug)]
struct Sensor {
    input: HeldFile,
    /// `coretemp.0/temp1`.
    id: String,
    /// `coretemp`.
    name: String,
    /// `Package id 0`, where the driver says so.
    location: Option<String>,
    critical: Option<f64>,
    series: Cached,
    limit: Cached,
}

impl Sensor {
    fn attributes(&self) -> Vec<(&str, &str)> {
        let mut all = vec![("hw.id", self.id.as_str()), ("hw.name", self.name.as_str())];
        all.extend(self.location.as_deref().map(|location| ("hw.sensor_location", location)));
        all
    }
}

/// Pure: thousandths of a degree to degrees; `None` for what no machine measures.
pub(crate) fn parse(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|milli| PLAUSIBLE_MILLI.contains(milli)).map(|milli: i64| milli as f64 / 1e3)
}

pub(crate) struct Temperature {
    every: Duration,
    sensors: Vec<Sensor>,
    left_out: usize,
    runs: u32,
}

impl Temperature {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, sensors: Vec::new(), left_out: 0, runs: 0 }
    }

    fn look(&mut self, context: &mut Context<'_>) -> Result<(), CollectError> {
        let mut found = Vec::new();
        for chip in context.names(HWMON)? {
            let directory = format!("{HWMON}/{chip}");
            let Some(name) = context.word(&format!("{directory}/name")) else { continue };
            // The device's own name tells two disks apart; a chip without a device has only its driver's.
            let device = std::fs::read_link(context.fs.path(format!("{directory}/device"))).ok();
            let device =
                device.as_deref().and_then(std::path::Path::file_name).and_then(|n| n.to_str()).unwrap_or(&name);
            for number in context.names(&directory)?.iter().filter_map(|name| numbered(name, "temp", "_input")) {
                let base = format!("{directory}/temp{number}");
                found.push(Sensor {
                    input: HeldFile::record(format!("{base}_input")),
                    id: format!("{device}/temp{number}"),
                    name: name.clone(),
                    location: context.word(&format!("{base}_label")),
                    critical: context.word(&format!("{base}_crit")).as_deref().and_then(parse),
                    series: Cached::default(),
                    limit: Cached::default(),
                });
            }
        }
        if found.is_empty() {
            for zone in context.names(THERMAL)?.iter().filter(|name| numbered(name, "thermal_zone", "").is_some()) {
                let directory = format!("{THERMAL}/{zone}");
                let Some(name) = context.word(&format!("{directory}/type")) else { continue };
                found.push(Sensor {
                    input: HeldFile::record(format!("{directory}/temp")),
                    id: zone.clone(),
                    name,
                    location: None,
                    critical: None,
                    series: Cached::default(),
                    limit: Cached::default(),
                });
            }
        }
        // Two chips of one driver without devices would have one name: the second one's series is left out.
        let mut names = BTreeSet::new();
        let all = found.len();
        found.retain(|sensor| names.insert(sensor.id.clone()));
        found.truncate(SENSORS_MAX);
        self.left_out = all - found.len();
        // A sensor that is still where it was keeps its open file.
        let same = |a: &Sensor, b: &Sensor| a.input.path() == b.input.path() && a.attributes() == b.attributes();
        for sensor in &mut found {
            if let Some(at) = self.sensors.iter().position(|old| same(old, sensor)) {
                *sensor = self.sensors.swap_remove(at);
            }
        }
        self.sensors = found;
        Ok(())
    }
}

impl Collector for Temperature {
    fn name(&self) -> &'static str {
        "temperature"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn collect(&mut self, context: &mut Context<'_>) -> Result<Reading, CollectError> {
        if self.runs.is_multiple_of(LOOK_AGAIN) {
            self.look(context)?;
        }
        self.runs = self.runs.wrapping_add(1);
        for sensor in &mut self.sensors {
            if context.fs.reread(&mut sensor.input, context.text).is_err() {
                continue;
            }
            let Some(degrees) = parse(context.text) else { continue };
            let (mut series, mut limit) = (sensor.series, sensor.limit);
            context.sink.put(&mut series, degrees, || gauge("hw.temperature", "Cel", &sensor.attributes()));
            if let Some(critical) = sensor.critical {
                context.sink.put(&mut limit, critical, || {
                    let mut attributes = sensor.attributes();
                    attributes.push(("hw.limit_type", "high.critical"));
                    gauge("hw.temperature.limit", "Cel", &attributes)
                });
            }
            (sensor.series, sensor.limit) = (series, limit);
        }
        if self.left_out > 0 {
            return Ok(Reading::Partial {
                why: format!("{} sensors are left out: at most {SENSORS_MAX}, each name once", self.left_out),
            });
        }
        if self.sensors.is_empty() {
            return Ok(Reading::Absent { why: format!("no sensor below {HWMON} or {THERMAL}") });
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
    fn sensors_have_the_names_that_their_drivers_give() {
        let samples = Trees::of("host").samples(&mut Temperature::new(Duration::from_secs(10)), 1);
        let package = "hw.id=coretemp/temp1";
        assert_eq!(
            samples[&format!("hw.temperature{{{package},hw.name=coretemp,hw.sensor_location=Package id 0}}")],
            45.0
        );
        assert_eq!(samples["hw.temperature{hw.id=nvme/temp1,hw.name=nvme}"], 33.85);
        assert_eq!(samples.keys().filter(|key| key.starts_with("hw.temperature.limit")).count(), 1, "{samples:?}");
        assert_eq!(samples.len(), 4);
    }

    #[test]
    fn without_a_driver_the_thermal_zones_tell() {
        let samples = Trees::of("host").samples(&mut Temperature::new(Duration::from_secs(10)), 2);
        let expected = ("hw.temperature{hw.id=thermal_zone0,hw.name=x86_pkg_temp}".to_owned(), 51.0);
        assert_eq!(samples.into_iter().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_sensor_that_is_gone_has_no_sample_and_a_new_one_is_found() {
        let (mut trees, mut temperature) = (Trees::of("host"), Temperature::new(Duration::from_secs(10)));
        assert_eq!(trees.samples(&mut temperature, 1).len(), 4);
        for _ in 1..LOOK_AGAIN {
            assert!(trees.samples(&mut temperature, 3).is_empty(), "the sensors of the first tree are gone");
        }
        assert_eq!(trees.samples(&mut temperature, 2).len(), 1, "looked for again");
    }

    #[test]
    fn a_virtual_machine_has_none_and_that_is_no_error() {
        let (reading, samples) = Trees::of("bare").read(&mut Temperature::new(Duration::from_secs(10)), 1).unwrap();
        assert!(matches!(reading, Reading::Absent { .. }) && samples.is_empty());
    }

    #[test]
    fn what_no_machine_measures_is_no_sample() {
        assert_eq!(parse("-5500\n"), Some(-5.5));
        assert_eq!(parse("-273150"), None);
        assert_eq!(parse("warm"), None);
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "-?[0-9]{0,25}\\PC{0,5}") {
            let _ = parse(&text);
        }
    }
}
