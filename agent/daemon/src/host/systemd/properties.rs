//! From systemd's properties to [`UnitState`], and from object paths to unit names. Pure; what is missing stays empty.

use std::collections::HashMap;

use holdfast_core::model::plan::hex;
use holdfast_core::model::{Timestamp, UnitState};
use zbus::OwnedVariant;

/// Properties of one interface.
pub(super) type Properties = HashMap<String, OwnedVariant>;

/// Those of the unit's own kind that matter, by name.
pub(super) const OF_KIND: [&str; 4] = ["Result", "NRestarts", "Restart", "MainPID"];

/// The interface of a unit's own kind, and which of [`OF_KIND`] it has; `None` for kinds that are not kept in view.
pub(super) fn kind_of(unit: &str) -> Option<(&'static str, &'static [&'static str])> {
    let (_, suffix) = unit.rsplit_once('.')?;
    match suffix {
        "service" => Some(("org.freedesktop.systemd1.Service", &OF_KIND)),
        "socket" => Some(("org.freedesktop.systemd1.Socket", &OF_KIND[..1])),
        "timer" => Some(("org.freedesktop.systemd1.Timer", &OF_KIND[..1])),
        "mount" => Some(("org.freedesktop.systemd1.Mount", &OF_KIND[..1])),
        _ => None,
    }
}

fn text(properties: &Properties, name: &str) -> String {
    properties.get(name).and_then(|value| <&str>::try_from(&**value).ok()).unwrap_or_default().to_owned()
}

fn number(properties: &Properties, name: &str) -> Option<u32> {
    properties.get(name).and_then(|value| u32::try_from(&**value).ok())
}

/// Bytes as 32 hexadecimal digits; none, or all zero, is a unit that was never started.
fn invocation_id(properties: &Properties) -> Option<String> {
    let bytes: Vec<u8> = properties.get("InvocationID")?.try_clone().ok()?.try_into().ok()?;
    (bytes.len() == 16 && bytes.iter().any(|byte| *byte != 0)).then(|| hex(&bytes))
}

/// Microseconds since the epoch; 0 is never.
fn moment(properties: &Properties, name: &str) -> Option<Timestamp> {
    let us = properties.get(name).and_then(|value| u64::try_from(&**value).ok()).filter(|us| *us > 0)?;
    i64::try_from(us).ok()?.checked_mul(1_000).map(Timestamp::from_ns)
}

/// The state that the properties of the two interfaces describe.
pub(super) fn unit_state(unit: &Properties, own: &Properties) -> UnitState {
    UnitState {
        name: text(unit, "Id"),
        load_state: text(unit, "LoadState"),
        active_state: text(unit, "ActiveState"),
        sub_state: text(unit, "SubState"),
        result: text(own, "Result"),
        unit_file_state: text(unit, "UnitFileState"),
        n_restarts: number(own, "NRestarts").unwrap_or(0),
        invocation_id: invocation_id(unit),
        main_pid: number(own, "MainPID").filter(|pid| *pid != 0),
        restart: text(own, "Restart"),
        since: moment(unit, "StateChangeTimestamp"),
        fragment_path: Some(text(unit, "FragmentPath")).filter(|path| !path.is_empty()),
    }
}

/// The unit's name in `/org/freedesktop/systemd1/unit/web_2eservice`: `_` and two hexadecimal digits stand for one byte.
pub(super) fn name_of_path(path: &str) -> Option<String> {
    let label = path.strip_prefix("/org/freedesktop/systemd1/unit/")?;
    if label == "_" || label.contains('/') {
        return None;
    }
    let mut bytes = Vec::with_capacity(label.len());
    let mut rest = label.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = if first == b'_' {
            after
                .get(..2)
                .and_then(|two| std::str::from_utf8(two).ok())
                .and_then(|two| u8::from_str_radix(two, 16).ok())
        } else {
            None
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8(bytes).ok()
}
