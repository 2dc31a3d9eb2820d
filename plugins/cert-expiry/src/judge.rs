//! Certificates against the clock, in the words of findings. Pure.

use std::collections::BTreeMap;

use holdfast_plugin_sdk::{Problem, Severity, evidence, subject, text};

use crate::pem::Cert;

/// It is over.
pub const EXPIRED: &str = "certificate.expired";
/// It will be soon.
pub const EXPIRING: &str = "certificate.expiring";
/// It has not begun.
pub const EARLY: &str = "certificate.not_yet_valid";
/// All of them.
pub const RULES: [&str; 3] = [EXPIRED, EXPIRING, EARLY];

const SECOND: u64 = 1_000_000_000;

/// A certificate and the files that hold it, each with its place in the file and how many there are in it.
pub type Places = BTreeMap<String, (Cert, Vec<(String, usize, usize)>)>;

/// When one is warned of, in nanoseconds before the end.
#[derive(Debug, Clone, Copy)]
pub struct Notice {
    /// First.
    pub warn_ns: u64,
    /// Then.
    pub urgent_ns: u64,
}

/// All findings: one a certificate, however many files hold it.
pub fn judge(places: &Places, now_ns: u64, notice: Notice) -> Vec<Problem> {
    places.values().filter_map(|(cert, files)| one(cert, files, now_ns, notice)).collect()
}

fn one(cert: &Cert, files: &[(String, usize, usize)], now_ns: u64, notice: Notice) -> Option<Problem> {
    let (file, at, of) = files.first()?;
    let (begins, ends) = (cert.not_before.0.saturating_mul(SECOND), cert.not_after.0.saturating_mul(SECOND));
    let life = ends.saturating_sub(begins);
    let left = ends.saturating_sub(now_ns);
    let whose = format!("the certificate of {} in {file}", cert.subject);
    let (rule, severity, title) = if ends <= now_ns {
        let title = format!("{whose} ended {} ago", text::span(now_ns - ends));
        (EXPIRED, Severity::High, title)
    } else if begins > now_ns {
        let title = format!("{whose} is valid from {} on, in {}", cert.not_before.1, text::span(begins - now_ns));
        (EARLY, Severity::Medium, title)
    } else if left < notice.urgent_ns.min(life / 6) {
        (EXPIRING, Severity::High, format!("{whose} ends in {}", text::span(left)))
    } else if left < notice.warn_ns.min(life / 3) {
        (EXPIRING, Severity::Medium, format!("{whose} ends in {}", text::span(left)))
    } else {
        return None;
    };
    let mut problem = Problem::new(rule, cert.sha256.get(..16)?, subject("file", file.as_str()), &title)
        .severity(severity)
        .evidence(evidence("certificate.subject", cert.subject.as_str()))
        .evidence(evidence("certificate.issuer", cert.issuer.as_str()))
        .evidence(evidence("certificate.serial", text::line(&cert.serial)))
        .evidence(evidence("certificate.not_before", cert.not_before.1.as_str()))
        .evidence(evidence("certificate.not_after", cert.not_after.1.as_str()))
        .evidence(evidence("certificate.sha256", cert.sha256.as_str()));
    if *of > 1 {
        problem = problem.evidence(evidence("certificate.place", format!("{at} of {of} in the file")));
    }
    if files.len() > 1 {
        let others: Vec<String> = files.iter().skip(1).take(20).map(|(file, ..)| text::line(file)).collect();
        problem = problem.evidence(evidence("certificate.also_in", others));
    }
    Some(problem)
}
