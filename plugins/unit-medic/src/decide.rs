//! The decision, over one record of the unit and nothing else.
//!
//! systemd gives up without saying so: after the start limit is hit, `Result=` still names the last crash (seen on systemd 252, where
//! five kills in a row end in `Result=signal`). So the limit is told from what systemd would have done: if `Restart=` covers this
//! kind of failure and the unit lies failed all the same, it has given up, and every start is refused until the counter is cleared.

use holdfast_plugin_sdk::Verdict;
use holdfast_plugin_sdk::host::units::UnitStatus;
use holdfast_plugin_sdk::step::Risk;

/// What to do about the unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Start it again.
    Propose(Treatment),
    /// It is fine to leave it; why.
    Nothing(String),
    /// A start cannot help or is not ours to give; why.
    Refuse(String),
}

/// How to start it again.
#[derive(Debug, Clone, PartialEq)]
pub struct Treatment {
    /// The start limit stands in the way: clear it first.
    pub reset_first: bool,
    /// How likely one start cures it.
    pub confidence: f64,
    /// Our view of the risk.
    pub risk: Risk,
    /// What happened, with the numbers.
    pub because: String,
    /// What the person who approves should know.
    pub cautions: Vec<String>,
}

/// Decides.
pub fn decide(unit: &UnitStatus, restarts_doubtful: u32) -> Decision {
    let name = unit.name.as_str();
    let refuse = |why: String| Decision::Refuse(format!("{name}: {why}"));
    if matches!(name, "holdfast.service" | "holdfast-actuator.service" | "holdfast-actuator.socket") {
        return refuse("the agent does not act on its own units".to_owned());
    }
    match unit.load.as_str() {
        "loaded" => {}
        "not-found" => return refuse("there is no such unit file any more, so nothing can be started".to_owned()),
        "masked" => return refuse("it is masked: somebody decided that it must not run".to_owned()),
        other => {
            return refuse(format!("its unit file does not load ({other}); see `systemd-analyze verify {name}`"));
        }
    }
    match unit.active.as_str() {
        "failed" => {}
        "activating" => return Decision::Nothing(format!("systemd is starting it itself ({})", unit.sub)),
        "active" | "reloading" | "refreshing" => return Decision::Nothing(format!("it is {} again", unit.active)),
        "inactive" | "deactivating" | "maintenance" => {
            return Decision::Nothing(format!("it is {} and not failed: somebody stopped or reset it", unit.active));
        }
        other => return refuse(format!("its state `{other}` is not known here")),
    }
    let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
    if !matches!(kind, "service" | "socket" | "mount" | "automount" | "timer" | "path" | "swap") {
        return refuse(format!("a .{kind} unit is not cured by a restart"));
    }
    let gave_up = gave_up(unit);
    if gave_up && unit.unit_file == "transient" {
        return refuse(
            "it is transient and at its start limit: clearing the limit makes systemd forget the unit".to_owned(),
        );
    }
    let (confidence, words, caution) = match unit.result.as_str() {
        "exec-condition" => {
            return refuse("its ExecCondition= said no, and another start asks the same question".to_owned());
        }
        "signal" => (0.8, "was killed by a signal", None),
        "core-dump" => (0.7, "crashed and dumped core", Some("The core dump is worth a look: `coredumpctl info`.")),
        "watchdog" => (0.8, "stopped feeding its watchdog", None),
        "oom-kill" => (
            0.5,
            "was killed for want of memory",
            Some("It may run out of memory again, and take memory from others before that."),
        ),
        "timeout" => (0.5, "did not start or stop in time", None),
        "protocol" => (0.3, "did not tell systemd what it promised (Type=, PIDFile=)", None),
        "resources" => (0.3, "lacked something that systemd needs to start it (files, directories, limits)", None),
        "start-limit-hit" | "service-start-limit-hit" | "trigger-limit-hit" => (0.5, "was started too often", None),
        "exit-code" => (0.6, "ended with an error", None),
        _ => (0.4, "failed", None),
    };
    let doubtful = unit.restarts >= restarts_doubtful;
    let mut because = format!("{name} {words} (result {})", or_none(&unit.result));
    if gave_up {
        because = format!(
            "{because}; systemd restarted it {} times (Restart={}) and gave up",
            unit.restarts,
            or_none(&unit.restart_policy)
        );
    } else if unit.restart_policy.is_empty() || unit.restart_policy == "no" {
        because.push_str("; systemd does not restart it by itself (Restart=no)");
    } else {
        because = format!("{because}; Restart={} does not cover this", unit.restart_policy);
    }
    let mut cautions: Vec<String> = caution.into_iter().map(str::to_owned).collect();
    if doubtful {
        cautions.push(format!("{} restarts did not cure it; one more may not either.", unit.restarts));
    }
    // Restart=no is an operator's choice (a one-shot, a job with effects): to run it again needs thought.
    let chosen_not_to = unit.restart_policy == "no";
    if chosen_not_to {
        cautions.push("If it is a one-shot, its work is done once more.".to_owned());
    }
    let risk = if unit.result == "oom-kill" || chosen_not_to { Risk::Medium } else { Risk::Low };
    let confidence = if doubtful { f64::min(confidence, 0.5) } else { confidence };
    Decision::Propose(Treatment { reset_first: gave_up, confidence, risk, because, cautions })
}

fn or_none(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// Whether systemd itself would have started the unit again and does not.
fn gave_up(unit: &UnitStatus) -> bool {
    let by_signal = matches!(unit.result.as_str(), "signal" | "core-dump" | "oom-kill");
    let covered = match unit.restart_policy.as_str() {
        "always" | "on-failure" => true,
        "on-abnormal" => by_signal || matches!(unit.result.as_str(), "timeout" | "watchdog"),
        "on-abort" => by_signal,
        "on-watchdog" => unit.result == "watchdog",
        _ => false,
    };
    covered || unit.result.ends_with("limit-hit")
}

/// Whether the unit is well, after the plan. `before` is the invocation that had failed.
pub fn judge(unit: &UnitStatus, before: Option<&str>) -> Verdict {
    let started = unit.invocation_id.as_deref() != before;
    let state = format!("{}/{}, result {}, {} restarts", unit.active, unit.sub, or_none(&unit.result), unit.restarts);
    match unit.active.as_str() {
        "active" if unit.restarts == 0 => Verdict::Healed(format!("{} is {state}", unit.name)),
        "active" => Verdict::Unsure(format!("{} is {state}: it crashed again meanwhile", unit.name)),
        "failed" => Verdict::NotHealed(format!("{} is {state}", unit.name)),
        "inactive" if started && unit.result == "success" => {
            Verdict::Healed(format!("{} ran and ended well ({state})", unit.name))
        }
        _ => Verdict::Unsure(format!("{} is {state}", unit.name)),
    }
}
