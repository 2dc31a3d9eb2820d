//! `audit`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::super::args::Audit;
use super::super::exit::{DONE, Failure, NO, Outcome};
use super::super::view;
use super::{Session, given};
use crate::api::wire::{AuditDocument, VerifyDocument};
use crate::store::{Completeness, Integrity, StateReader, load_or_create_audit_key, read_anchors, verify_chain};

/// Entries asked for at once while exporting.
const PAGE: usize = 2_000;

pub(super) fn run(it: &Session, command: Audit) -> Outcome {
    match command {
        Audit::List { subject, after, since, limit } => {
            let number = |n: u64| n.to_string();
            let parameters = given(vec![
                ("subject", subject),
                ("after", after.map(number)),
                ("since", since),
                ("limit", limit.map(|l| l.to_string())),
            ]);
            let document: AuditDocument = it.client()?.get("/audit", &parameters)?;
            it.out.document(&document, |look| view::audit::list(&document, look))?;
            Ok(DONE)
        }
        Audit::Verify { data_dir } => verify(it, data_dir.as_deref()),
        Audit::Export { output } => export(it, output.as_deref()),
    }
}

fn verify(it: &Session, data_dir: Option<&Path>) -> Outcome {
    let document = match data_dir {
        None => it.client()?.get("/audit/verify", &[])?,
        Some(dir) => VerifyDocument { report: offline(dir)? },
    };
    let report = &document.report;
    it.out.document(&document, |look| view::audit::verify(report, look))?;
    let good = report.integrity == Integrity::Intact && !matches!(report.completeness, Completeness::Truncated { .. });
    Ok(if good { DONE } else { NO })
}

/// Reads a directory without its agent. The key is never made here: a key made now would call every entry a forgery.
fn offline(dir: &Path) -> Result<crate::store::ChainReport, Failure> {
    let key = dir.join("audit.key");
    if !key.exists() {
        return Err(Failure::usage(format!("there is no audit key at {}", key.display()))
            .hint("name the agent's data directory, as a user that may read it"));
    }
    let reader = StateReader::open(dir)?;
    Ok(verify_chain(&reader, &load_or_create_audit_key(dir)?, &read_anchors(dir)?)?)
}

fn export(it: &Session, output: Option<&Path>) -> Outcome {
    let cannot = |path: &Path, e: std::io::Error| Failure::new(NO, format!("cannot write {}: {e}", path.display()));
    let mut file = match output {
        Some(path) => Some((path, BufWriter::new(File::create(path).map_err(|e| cannot(path, e))?))),
        None => None,
    };
    let (mut after, mut count) = (0, 0_u64);
    loop {
        let parameters = [("after", after.to_string()), ("limit", PAGE.to_string())];
        let page: AuditDocument = it.client()?.get("/audit", &parameters)?;
        for entry in &page.entries {
            let line = serde_json::to_string(entry).map_err(|e| Failure::new(NO, e))?;
            match &mut file {
                Some((path, file)) => writeln!(file, "{line}").map_err(|e| cannot(path, e))?,
                None => it.out.raw(&format!("{line}\n"))?,
            }
            count += 1;
        }
        match page.next_after {
            Some(next) if next > after => after = next,
            _ => break,
        }
    }
    if let Some((path, file)) = file {
        let file = file.into_inner().map_err(|e| cannot(path, e.into_error()))?;
        file.sync_all().map_err(|e| cannot(path, e))?;
        it.out.remark(&format!("{count} entries written to {}", path.display()));
    }
    Ok(DONE)
}
