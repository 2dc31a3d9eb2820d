//! The journal: what a unit writes is counted by its priority, through systemd's own journal and the shipped service's rights.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::crash::print;
use crate::harness::{Machine, on};

const UNIT: &str = "noisy.service";
/// Entries of each priority: a line may begin with its priority, as `sd-daemon(3)` says.
const ERRORS: usize = 7;
const NOTES: usize = 3;

#[test]
fn errors_that_a_unit_logs_are_counted_and_their_texts_are_not_kept() -> Result<()> {
    on("journal", Machine::installed()?, |machine| {
        machine.set_up("advise", "[ingest]\njournal = true\n", "")?;
        machine.wait_until("the journal is followed", Duration::from_secs(30), |m| {
            let status = m.ask(&["status"])?;
            let all = status["receivers"].as_array().context("status names the receivers")?;
            Ok(all.iter().any(|it| it["name"] == "journal" && it["failing"].is_null()).then_some(()))
        })?;
        let loud = format!(
            "sh -c 'sleep 2; for n in $(seq {ERRORS}); do echo \"<3>password=hunter2 $n\"; done; for n in $(seq {NOTES}); do echo \"<6>fine\"; done; sleep 60'"
        );
        machine.add_unit(UNIT, &loud, "no")?;
        let unit = format!("systemd.unit={UNIT}");
        let counted = machine.wait_until("its errors are counted", Duration::from_mins(1), |m| {
            let asked = ["metrics", "query", "holdfast.journal.entries", "--since", "2m", "--where", &unit];
            // There is no such series yet.
            let Ok(answer) = m.ask(&asked) else { return Ok(None) };
            let series = answer["series"].as_array().context("an answer has series")?;
            let newest = |it: &serde_json::Value| Some(it["points"].as_array()?.last()?[1].as_f64()? as usize);
            let of = |priority: &str| {
                let found = series.iter().find(|it| it["attributes"]["severity"] == priority);
                found.and_then(newest).unwrap_or(0)
            };
            Ok((of("err") >= ERRORS && of("info") >= NOTES).then(|| (of("err"), of("info"))))
        })?;
        ensure!(counted.0 == ERRORS, "{} errors instead of {ERRORS}", counted.0);
        let kept = machine.run("grep -rl hunter2 /var/lib/holdfast || true")?;
        ensure!(kept.trim().is_empty(), "what the unit wrote is kept in {kept}");
        print(&format!("journal: {} errors and {} notes of {UNIT} counted", counted.0, counted.1));
        Ok(())
    })
}
