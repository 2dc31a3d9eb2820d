//! What the detector is worth: `cargo xtask bench detect [--data DIR] [--out DIR] [--json]`.
//!
//! Runs the detector of the agent over labelled series, sample by sample, with one setting and a threshold that was fixed beforehand.
//! `cargo xtask bench contrast` measures the contrast before and after a deployment on the same files.
//! Cross-validation: for each stratum the threshold that was best on all the others.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a measuring tool prints")]

mod contrast;
mod corpus;
mod findings;
mod nab;
mod pages;
mod reliability;
mod vus;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use corpus::{File, Result};
use findings::Finding;
use holdfast_core::detect::{ALARM_AT, Host, Odd};
use holdfast_core::model::Timestamp;
use serde_json::json;

/// What nobody would notice of a metric of the multivariate sets: their authors have scaled each to 0..1.
const PART_OF_SCALE: f64 = 0.01;

/// What the detector said of one file.
struct Said {
    score: Vec<f64>,
    alarm: Vec<f64>,
    named: Vec<Vec<usize>>,
    /// What the whole of the detectors made of it.
    found: Vec<Finding>,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut data, mut out) = (PathBuf::from("target/bench-data/detect"), None);
    let (mut as_json, mut contrast) = (false, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--data" => data = args.next().ok_or("--data wants a directory")?.into(),
            "--out" => out = Some(PathBuf::from(args.next().ok_or("--out wants a directory")?)),
            "--json" => as_json = true,
            "--contrast" => contrast = true,
            // Cargo's own.
            "--bench" => {}
            other => {
                return Err(
                    format!("`{other}` is no flag of this bench; there is: --data DIR, --out DIR, --json").into()
                );
            }
        }
    }
    if !data.join("labels.json").exists() {
        return Err(format!(
            "{} holds no labels.json\nhint: docs/detection.md says where labelled series come from; point --data at them",
            data.display()
        )
        .into());
    }
    let files = corpus::load(&data)?;
    let suites: BTreeSet<&str> = files.iter().map(|it| it.suite.as_str()).collect();
    if contrast {
        for suite in suites {
            let of: Vec<&File> = files.iter().filter(|it| it.suite == suite).collect();
            contrast::report(suite, &of, as_json);
        }
        return Ok(());
    }
    let begun = cpu_ns()?;
    let mut said: Vec<Said> = files.iter().map(watch).collect();
    let values: usize = files.iter().map(|it| it.rows.iter().map(Vec::len).sum::<usize>()).sum();
    let cost_us = (cpu_ns()? - begun) / 1e3 / values as f64;
    // Beside the cost of a detector alone.
    for (file, said) in files.iter().zip(&mut said) {
        said.found = findings::of(file);
    }
    if let Some(out) = &out {
        for (file, said) in files.iter().zip(&said) {
            write(out, file, said)?;
        }
    }
    for suite in &suites {
        let of: Vec<(&File, &Said)> = files.iter().zip(&said).filter(|(file, _)| file.suite == *suite).collect();
        report(suite, &of, as_json);
    }
    let found: Vec<(&File, &[Finding])> =
        files.iter().zip(&said).map(|(file, said)| (file, said.found.as_slice())).collect();
    if as_json {
        println!(
            "{}",
            json!({"bench": "detect", "suite": "all", "findings": {"reliability": findings::reliability(&found)}})
        );
        println!("{}", json!({"bench": "detect", "samples": values, "cost_us": cost_us}));
    } else {
        println!("== findings of all suites");
        findings::print_reliability(&found);
        println!("cost: {cost_us:.2} us a sample, {values} samples");
        println!("a series' state: {} bytes as JSON after 5000 samples", state_bytes()?);
    }
    Ok(())
}

/// CPU time of this thread: a busy machine disturbs it less than the clock on the wall.
fn cpu_ns() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
}

fn watch(file: &File) -> Said {
    let mut said = Said { score: Vec::new(), alarm: Vec::new(), named: Vec::new(), found: Vec::new() };
    let columns = file.rows.first().map_or(0, Vec::len);
    let (mut one, mut host) = (Odd::default(), Host::new(columns));
    let least = vec![PART_OF_SCALE; columns];
    for (at_s, row) in file.at_s.iter().zip(&file.rows) {
        let at = Timestamp::from_secs(*at_s);
        if columns == 1 {
            let odd = one.push(at, row[0], 0.0);
            said.score.push(odd.score);
            said.alarm.push(odd.alarm);
        } else {
            let odd = host.push(at, row, &least);
            said.score.push(odd.score);
            said.alarm.push(odd.score);
            said.named.push(odd.named);
        }
    }
    said
}

fn state_bytes() -> Result<usize> {
    let mut odd = Odd::default();
    for step in 0..5000 {
        odd.push(Timestamp::from_secs(step * 300), f64::from(step as i32 % 97), 0.0);
    }
    Ok(serde_json::to_vec(&odd)?.len())
}

fn write(out: &Path, file: &File, said: &Said) -> Result<()> {
    let path = out.join(&file.key);
    std::fs::create_dir_all(path.parent().unwrap_or(out))?;
    let mut text = String::from("timestamp,score,alarm\n");
    for ((stamp, score), alarm) in file.stamps.iter().zip(&said.score).zip(&said.alarm) {
        writeln!(text, "{stamp},{score},{alarm}")?;
    }
    Ok(std::fs::write(path, text)?)
}

fn report(suite: &str, of: &[(&File, &Said)], as_json: bool) {
    let alarms: Vec<(&File, &[f64])> = of.iter().map(|(file, said)| (*file, said.alarm.as_slice())).collect();
    let windows: usize = of.iter().map(|it| it.0.windows.len()).sum();
    let volumes: Vec<f64> = of.iter().filter_map(|(file, said)| volume(file, &said.score)).collect();
    let vus = volumes.iter().sum::<f64>() / volumes.len() as f64;
    let single = of.iter().all(|it| it.1.named.is_empty());
    let fixed = single.then(|| pages::at(&alarms, ALARM_AT));
    let at_recall: Vec<(f64, pages::Pages)> =
        [0.5, 0.7, 0.9].iter().filter_map(|recall| Some((*recall, pages::at_recall(&alarms, *recall)?))).collect();
    let mut record = json!({"bench": "detect", "suite": suite, "files": of.len(), "windows": windows, "vus_pr": vus});
    if !as_json {
        println!("== {suite}: {} files, {windows} windows", of.len());
    }
    for profile in nab::PROFILES.into_iter().filter(|_| single) {
        let curve = nab::curve(&alarms, profile);
        let (best, best_at) = nab::best(&curve);
        let (crossed, fixed) = (crossed(&alarms, profile), nab::at(&curve, ALARM_AT));
        record[format!("nab_{}", profile.name)] =
            json!({"fixed": fixed, "best": best, "best_at": best_at, "crossed": crossed});
        if !as_json {
            println!(
                "   NAB {:9} {fixed:6.2} at the fixed threshold {ALARM_AT}; {crossed:6.2} cross-validated; {best:6.2} at the best, {best_at:.3}",
                profile.name
            );
        }
    }
    for (recall, it) in &at_recall {
        record[format!("false_per_day_at_{recall}")] = json!(it.false_per_day());
    }
    if let Some(it) = &fixed {
        record["fixed"] = json!({"false_per_day": it.false_per_day(), "recall": it.recall(), "delay_s": it.delay_s});
    }
    let named = (!single).then(|| named(of));
    if let Some(it) = &named {
        record["named"] = json!({"first_right": it.first, "right_among_three": it.any, "of_three_right": it.part, "windows": it.count});
    }
    let found: Vec<(&File, &[Finding])> = of.iter().map(|(file, said)| (*file, said.found.as_slice())).collect();
    let told = findings::told(&found);
    record["findings"] = json!({"opened": told.opened, "false_per_series_day": told.false_per_day(), "recall": told.recall(),
        "delay_s": told.delay_s, "of_spread": told.of_spread, "reliability": findings::reliability(&found)});
    if as_json {
        println!("{record}");
        return;
    }
    println!("   VUS-PR {vus:.4}");
    for (recall, it) in &at_recall {
        println!(
            "   at {:.0} % of windows: {:.3} false alarms a series-day, median delay {:.0} s",
            recall * 100.0,
            it.false_per_day(),
            it.delay_s
        );
    }
    if let Some(it) = &fixed {
        println!(
            "   at the fixed threshold: {:.0} % of windows, {:.3} false alarms a series-day, median delay {:.0} s",
            it.recall() * 100.0,
            it.false_per_day(),
            it.delay_s
        );
    }
    if let Some(it) = &named {
        println!(
            "   named: a metric at fault is the first in {:.0} % of {} windows, among the first three in {:.0} %; {:.0} % of the three are at fault",
            it.first * 100.0,
            it.count,
            it.any * 100.0,
            it.part * 100.0
        );
    }
    println!(
        "   findings: {} opened, in {:.0} % of windows; {:.4} a series-day outside them ({} in {:.0} series-days); median delay {:.0} s",
        told.opened,
        told.recall() * 100.0,
        told.false_per_day(),
        told.wrong,
        told.days,
        told.delay_s
    );
    println!(
        "   of these {} about the spread of a series, {} of them outside windows",
        told.of_spread.0, told.of_spread.1
    );
    findings::print_reliability(&found);
    reliability::print(of.iter().map(|(file, said)| (*file, said.score.as_slice())));
}

fn volume(file: &File, score: &[f64]) -> Option<f64> {
    let mut label = vec![false; score.len()];
    for &(from, to) in &file.windows {
        label[from..=to].fill(true);
    }
    vus::vus_pr(&label[file.skip..], &score[file.skip..])
}

/// Each stratum at the threshold that is best on all the others, put together.
fn crossed(all: &[(&File, &[f64])], profile: nab::Profile) -> f64 {
    let strata: BTreeSet<&str> = all.iter().map(|it| it.0.stratum.as_str()).collect();
    // One scale for all: a file's score moved so that its stratum's threshold comes to lie at 0.5.
    let mut moved: Vec<(&File, Vec<f64>)> = Vec::new();
    for stratum in strata {
        let (own, others): (Vec<_>, Vec<_>) = all.iter().copied().partition(|it| it.0.stratum == stratum);
        let (_, threshold) = nab::best(&nab::curve(&others, profile));
        let over = |it: &f64| if *it >= threshold { 1.0 } else { 0.0 };
        moved.extend(own.iter().map(|(file, score)| (*file, score.iter().map(over).collect())));
    }
    let moved: Vec<(&File, &[f64])> = moved.iter().map(|(file, score)| (*file, score.as_slice())).collect();
    nab::at(&nab::curve(&moved, profile), 0.5)
}

/// Of the windows with a word on who is at fault, at their oddest row.
#[derive(Default)]
struct Named {
    /// Share of windows in which the first that is named is at fault.
    first: f64,
    /// Share in which one of the first three is.
    any: f64,
    /// Share of the three that are, on average.
    part: f64,
    count: usize,
}

fn named(of: &[(&File, &Said)]) -> Named {
    let mut found = Named::default();
    for (file, said) in of {
        for (&(from, to), at_fault) in file.windows.iter().zip(&file.at_fault) {
            let Some(row) = (from..=to).max_by(|a, b| said.score[*a].total_cmp(&said.score[*b])) else { continue };
            let right = said.named[row].iter().filter(|it| at_fault.contains(it)).count();
            found.first += f64::from(u8::from(said.named[row].first().is_some_and(|it| at_fault.contains(it))));
            found.any += f64::from(u8::from(right > 0));
            found.part += right as f64 / said.named[row].len().max(1) as f64;
            found.count += 1;
        }
    }
    let count = found.count as f64;
    Named { first: found.first / count, any: found.any / count, part: found.part / count, ..found }
}
