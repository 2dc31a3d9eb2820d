//! Whether a finished plan is what its finding, the plugin's grant and the vocabulary permit: looked at before policy and before people.
//!
//! Knows nothing of policy and shares no code with it, nor with what made the plan. Whoever wrote the plan is not trusted: every
//! text in it may be shown on a terminal, every number may be absurd, every path may be a trick. The actuator looks again when it acts.

use std::collections::BTreeSet;

use globset::{GlobSet, GlobSetBuilder};

use crate::model::{Action, Evidence, Finding, Globs, PlanBody, ReclaimEntry, Step, Timestamp, Undo, Value};

/// Most steps.
pub const STEPS_MAX: usize = 16;
/// Longest time for one step, and for settling, in milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 600_000;
/// How far ahead a plan may expire, in hours.
pub const EXPIRY_HOURS_MAX: u64 = 24;
/// Most entries of one reclaim.
pub const ENTRIES_MAX: usize = 4_096;
/// Largest plan as JSON, in bytes: it is stored, shown, and sent to the actuator on one line.
pub const PLAN_BYTES_MAX: usize = 768 * 1_024;
/// Largest file that can be restored, in bytes: what the actuator takes.
pub const RESTORE_BYTES_MAX: u64 = 64 << 20;

/// Longest summary and side effect, in bytes.
pub const LINE_BYTES_MAX: usize = 500;
/// Side effects of one step.
pub const SIDE_EFFECTS_MAX: usize = 16;
/// Pieces of evidence.
pub const EVIDENCE_MAX: usize = 64;
/// Longest id of a step.
pub const STEP_ID_BYTES_MAX: usize = 64;
/// Permission bits that can be restored: setuid, setgid and sticky are not.
pub const RESTORE_MODE_MAX: u32 = 0o777;
const RATIONALE_BYTES_MAX: usize = 2_000;
const EVIDENCE_BYTES_MAX: usize = 64 * 1_024;
const PATH_BYTES_MAX: usize = 4_096;
/// Problems listed; the rest is counted.
const PROBLEMS_MAX: usize = 32;
/// Units whose restart would end the agent in the middle of its own remediation.
const OWN_UNITS: [&str; 3] = ["holdfast.service", "holdfast-actuator.service", "holdfast-actuator.socket"];
const ACTIVE_STATES: [&str; 6] = ["active", "inactive", "failed", "activating", "deactivating", "reloading"];

/// What a plan is held against.
#[derive(Debug, Clone, Copy)]
pub struct PlanFacts<'a> {
    /// What it is to cure.
    pub finding: &'a Finding,
    /// Verbs granted to the plugin.
    pub actions: &'a [String],
    /// Globs of units that it may act on.
    pub units: &'a [String],
    /// Globs of paths that it may act on; `*` stays within one component.
    pub paths: &'a [String],
    /// Now.
    pub now: Timestamp,
}

/// Every problem, in sentences; empty: the plan may go to policy.
pub fn check(body: &PlanBody, facts: &PlanFacts<'_>) -> Vec<String> {
    let mut problems = Problems::default();
    let units = globs(facts.units, Globs::Units, &mut problems);
    let paths = globs(facts.paths, Globs::Paths, &mut problems);
    about_the_whole(body, facts, &mut problems);
    let mut ids = BTreeSet::new();
    for step in body.steps.iter().take(STEPS_MAX) {
        let mut here = In { step: shown(&step.id), problems: &mut problems };
        if !ids.insert(&step.id) {
            here.say("has the same id as another step");
        }
        about_the_step(step, &mut here);
        let verb = step.action.verb();
        if !facts.actions.iter().any(|granted| granted == verb) {
            here.say(&format!("the plugin is not granted `{verb}`"));
        }
        match &step.action {
            Action::RestartUnit { unit, only_if_invocation, only_if_active_state } => {
                about_the_unit(unit, only_if_invocation.as_deref(), facts, &units, &mut here);
                if !ACTIVE_STATES.contains(&only_if_active_state.as_str()) {
                    here.say(&format!("its guard `{}` is not an active state of a unit", shown(only_if_active_state)));
                }
            }
            Action::ResetFailedUnit { unit, only_if_invocation } => {
                about_the_unit(unit, only_if_invocation.as_deref(), facts, &units, &mut here);
            }
            Action::RestoreFile { path, only_if_sha256, sha256, bytes, mode, .. } => {
                about_the_path(path, facts, &paths, &mut here);
                for digest in only_if_sha256.iter().chain([sha256]) {
                    about_the_digest(digest, &mut here);
                }
                if *bytes > RESTORE_BYTES_MAX {
                    here.say(&format!("{bytes} bytes are more than can be restored ({RESTORE_BYTES_MAX})"));
                }
                if *mode & !RESTORE_MODE_MAX != 0 {
                    here.say(&format!(
                        "mode {mode:o} has more than permission bits: setuid, setgid and sticky are not restored"
                    ));
                }
            }
            Action::QuarantinePath { path, only_if_sha256 } => {
                about_the_path(path, facts, &paths, &mut here);
                about_the_digest(only_if_sha256, &mut here);
            }
            Action::ReclaimPaths { root, entries } => about_the_reclaim(root, entries, facts, &paths, &mut here),
        }
    }
    problems.finish()
}

/// Problems found so far; bounded.
#[derive(Default)]
struct Problems {
    listed: Vec<String>,
    more: usize,
}

impl Problems {
    fn say(&mut self, text: String) {
        if self.listed.len() < PROBLEMS_MAX { self.listed.push(text) } else { self.more += 1 }
    }
    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.listed.push(format!("and {} more", self.more));
        }
        self.listed
    }
}

/// Problems of one step.
struct In<'a> {
    step: String,
    problems: &'a mut Problems,
}

impl In<'_> {
    fn say(&mut self, text: &str) {
        self.problems.say(format!("step {}: {text}", self.step));
    }
}

/// A glob that cannot be compiled grants nothing, and is said.
fn globs(texts: &[String], about: Globs, problems: &mut Problems) -> GlobSet {
    let mut builder = GlobSetBuilder::new();
    for text in texts {
        match about.read(text) {
            Ok(glob) => drop(builder.add(glob)),
            Err(error) => {
                problems.say(format!("the grant has a glob that is not valid, `{}`: {}", shown(text), error.kind()));
            }
        }
    }
    builder.build().unwrap_or_else(|error| {
        problems.say(format!("the globs of the grant cannot be used: {error}"));
        GlobSet::empty()
    })
}

fn about_the_whole(body: &PlanBody, facts: &PlanFacts<'_>, problems: &mut Problems) {
    let finding = facts.finding;
    if body.finding != finding.id {
        problems.say(format!("the plan is for {}, not for {}", body.finding, finding.id));
    }
    if body.target != finding.target {
        problems.say(format!(
            "the plan is about {}, the finding about {}",
            shown(&body.target.to_string()),
            shown(&finding.target.to_string())
        ));
    }
    if !(1..=STEPS_MAX).contains(&body.steps.len()) {
        problems.say(format!("the plan has {} steps, and 1 to {STEPS_MAX} are possible", body.steps.len()));
    }
    if body.settle_ms > TIMEOUT_MS_MAX {
        problems.say(format!("settling takes {} ms, more than {TIMEOUT_MS_MAX}", body.settle_ms));
    }
    let latest = facts.now.plus(std::time::Duration::from_secs(EXPIRY_HOURS_MAX * 3_600));
    if body.expires_at <= facts.now || body.expires_at > latest {
        problems.say(format!(
            "the plan is good until {}, and that must be after now and at most {EXPIRY_HOURS_MAX} h ahead",
            body.expires_at
        ));
    }
    if body.made_at > facts.now {
        problems.say(format!("the plan was made at {}, in the future", body.made_at));
    }
    if body.plugin_digest.len() != 64 || !lower_hex(&body.plugin_digest) {
        problems.say("the plugin's digest is not one".into());
    }
    line("the plugin's name", &body.proposed_by, 128, problems);
    line("the summary", &body.summary, LINE_BYTES_MAX, problems);
    about_the_evidence(&body.evidence, problems);
    match serde_json::to_vec(body) {
        Ok(json) if json.len() > PLAN_BYTES_MAX => {
            problems.say(format!("the plan has {} bytes, more than {PLAN_BYTES_MAX}", json.len()));
        }
        Ok(_) => {}
        Err(error) => problems.say(format!("the plan cannot be stored: {error}")),
    }
}

fn about_the_evidence(evidence: &[Evidence], problems: &mut Problems) {
    if evidence.len() > EVIDENCE_MAX {
        problems.say(format!("the plan has {} pieces of evidence, more than {EVIDENCE_MAX}", evidence.len()));
    }
    for piece in evidence.iter().take(EVIDENCE_MAX) {
        line("the name of a piece of evidence", &piece.name, 128, problems);
        let bytes = match &piece.value {
            Value::Number(number) if !number.is_finite() => {
                problems.say(format!("the evidence `{}` is not a finite number", shown(&piece.name)));
                0
            }
            Value::Boolean(_) | Value::Integer(_) | Value::Number(_) => 0,
            Value::Text(text) => text.len(),
            Value::Texts(texts) => texts.iter().map(|text| text.len() + 1).sum(),
        };
        if bytes > EVIDENCE_BYTES_MAX {
            problems.say(format!(
                "the evidence `{}` has {bytes} bytes, more than {EVIDENCE_BYTES_MAX}",
                shown(&piece.name)
            ));
        }
    }
}

/// Whether a step can be called so.
pub fn is_step_id(id: &str) -> bool {
    (1..=STEP_ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn about_the_step(step: &Step, here: &mut In<'_>) {
    if !is_step_id(&step.id) {
        here.say("its id must have 1 to 64 of A-Z a-z 0-9 - _ .");
    }
    if !(1..=TIMEOUT_MS_MAX).contains(&step.timeout_ms) {
        here.say(&format!("it may take {} ms, and 1 to {TIMEOUT_MS_MAX} are possible", step.timeout_ms));
    }
    let (verb, least) = (step.action.verb(), step.action.minimum_risk());
    if step.risk < least {
        here.say(&format!("its risk is {}, and `{verb}` has at least {least}", step.risk));
    }
    // The plugin may know that nothing brings back what goes with it; never that more can be taken back.
    if step.undo != step.action.undo() && step.undo != Undo::Impossible {
        here.say(&format!("it does not say truly how `{verb}` is taken back"));
    }
    line(&format!("step {}: the rationale", here.step), &step.rationale, RATIONALE_BYTES_MAX, here.problems);
    if step.side_effects.len() > SIDE_EFFECTS_MAX {
        here.say(&format!("it has {} side effects, more than {SIDE_EFFECTS_MAX}", step.side_effects.len()));
    }
    for effect in step.side_effects.iter().take(SIDE_EFFECTS_MAX) {
        line(&format!("step {}: a side effect", here.step), effect, LINE_BYTES_MAX, here.problems);
    }
}

fn about_the_unit(unit: &str, invocation: Option<&str>, facts: &PlanFacts<'_>, granted: &GlobSet, here: &mut In<'_>) {
    let target = &facts.finding.target;
    if target.kind != "unit" || target.name != unit {
        here.say(&format!("it acts on unit {}, and the finding is about {}", shown(unit), shown(&target.to_string())));
    }
    let valid = (1..=255).contains(&unit.len())
        && unit.contains('.')
        && unit.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && unit.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b));
    if !valid {
        here.say(&format!("`{}` is not the name of a unit", shown(unit)));
    } else if !granted.is_match(unit) {
        here.say(&format!("the plugin is not granted unit {}", shown(unit)));
    }
    if OWN_UNITS.contains(&unit) {
        here.say("the agent does not act on its own units");
    }
    if invocation.is_some_and(|id| id.len() != 32 || !lower_hex(id)) {
        here.say("its guard is not an invocation id (32 hexadecimal digits)");
    }
}

fn about_the_path(path: &str, facts: &PlanFacts<'_>, granted: &GlobSet, here: &mut In<'_>) {
    let target = &facts.finding.target;
    match target.kind.as_str() {
        kind if kind == "unit"
            || kind == "file" && path != target.name
            || kind == "directory" && !below(path, &target.name) =>
        {
            here.say(&format!("it acts on {}, and the finding is about {}", shown(path), shown(&target.to_string())));
        }
        "filesystem" if !below(path, &target.name) => {
            here.say(&format!("{} does not lie on the file system {}", shown(path), shown(&target.name)));
        }
        _ => {}
    }
    if let Err(why) = normal(path) {
        here.say(&format!("`{}` {why}", shown(path)));
    } else if !granted.is_match(path) {
        here.say(&format!("the plugin is not granted {}", shown(path)));
    }
}

fn about_the_digest(digest: &str, here: &mut In<'_>) {
    if digest.len() != 64 || !lower_hex(digest) {
        here.say(&format!("`{}` is not a SHA-256 (64 lower-case hexadecimal digits)", shown(digest)));
    }
}

fn about_the_reclaim(
    root: &str,
    entries: &[ReclaimEntry],
    facts: &PlanFacts<'_>,
    granted: &GlobSet,
    here: &mut In<'_>,
) {
    if let Err(why) = normal(root) {
        here.say(&format!("`{}` {why}", shown(root)));
    } else if root == "/" {
        here.say("it would reclaim below `/`: name a directory");
    }
    if !(1..=ENTRIES_MAX).contains(&entries.len()) {
        here.say(&format!("it names {} entries, and 1 to {ENTRIES_MAX} are possible", entries.len()));
    }
    let entries = entries.get(..ENTRIES_MAX).unwrap_or(entries);
    let mut sorted: Vec<&str> = Vec::with_capacity(entries.len());
    let (mut bytes, mut files) = (Some(0_u64), Some(0_u64));
    for entry in entries {
        about_the_path(&entry.path, facts, granted, here);
        if entry.path == root || !below(&entry.path, root) {
            here.say(&format!("{} does not lie strictly below {}", shown(&entry.path), shown(root)));
        }
        // Its guard refuses what was altered later: a moment in the future would guard nothing.
        if entry.newest_change > facts.now || entry.newest_change.ns() <= 0 {
            here.say(&format!("{} was last altered at {}, which cannot be", shown(&entry.path), entry.newest_change));
        }
        bytes = bytes.and_then(|sum| sum.checked_add(entry.bytes));
        files = files.and_then(|sum| sum.checked_add(entry.files));
        sorted.push(&entry.path);
    }
    let storable = |sum: Option<u64>| sum.is_some_and(|sum| i64::try_from(sum).is_ok());
    if !storable(bytes) || !storable(files) {
        here.say("the sum of its entries is larger than any disk");
    }
    // Compared component by component, so that `a`, `a/b` stand beside each other even with an `a-b` around.
    sorted.sort_unstable_by(|a, b| a.split('/').cmp(b.split('/')));
    for pair in sorted.windows(2) {
        if let [first, second] = pair
            && below(second, first)
        {
            here.say(&format!("{} lies within {}, or is named twice", shown(second), shown(first)));
        }
    }
}

/// Absolute, and written in the one way that names it.
fn normal(path: &str) -> Result<(), &'static str> {
    if path.len() > PATH_BYTES_MAX {
        return Err("is too long for a path");
    }
    if path.chars().any(dangerous) {
        return Err("has control characters");
    }
    let Some(rest) = path.strip_prefix('/') else { return Err("is not an absolute path") };
    if !rest.is_empty() && rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err("is not a normal path: no `..`, no `.`, no `//`, no `/` at the end");
    }
    Ok(())
}

/// The same path, or one below it.
fn below(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn lower_hex(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// A text for one line on a terminal.
fn line(what: &str, text: &str, bytes_max: usize, problems: &mut Problems) {
    if text.len() > bytes_max {
        problems.say(format!("{what} has {} bytes, more than {bytes_max}", text.len()));
    }
    if text.chars().any(dangerous) {
        problems.say(format!("{what} has control characters"));
    }
}

/// Characters that move a cursor, or turn the reading direction around, and so show something else than is there.
fn dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Somebody else's text in a problem: short, and harmless on a terminal.
fn shown(text: &str) -> String {
    let short = &text[..text.floor_char_boundary(120)];
    let mut out: String = short.chars().map(|c| if dangerous(c) { '\u{fffd}' } else { c }).collect();
    if short.len() < text.len() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests;
