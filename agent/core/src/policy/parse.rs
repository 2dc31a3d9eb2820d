//! Documents to policy: reads the TOML, resolves every name, compiles every condition, and points at what is wrong.
//!
//! One pass finds all mistakes of all documents that are TOML at all. What has an error is left out, and then nothing runs.

use std::collections::BTreeMap;
use std::ops::Range;

use sha2::{Digest, Sha256};
use toml::Spanned;

use super::condition::{Condition, Refused};
use super::document::{
    AutonomyText, BudgetText, Document, GuardText, GuardrailText, OnFailureText, PromotionText, RuleText, VerifyText,
};
use super::guardrail::Guardrail;
use super::rule::{Autonomy, BlastRadius, Budget, Guard, OnFailure, Patterns, Policy, Promotion, Rule, VerifyRule};
use super::{Diagnostic, Level, PolicyFile, lint};
use crate::model::{Interval, Mode};

/// Largest document, in bytes; most documents; most rules and guardrails together.
pub(super) const FILE_BYTES_MAX: usize = 256 * 1_024;
const FILES_MAX: usize = 256;
const RULES_MAX: usize = 512;
/// Most globs in one `on`, most items in one checklist, longest name, longest text for people.
const PATTERNS_MAX: usize = 64;
const CHECKLIST_MAX: usize = 32;
const NAME_BYTES_MAX: usize = 64;
const TEXT_BYTES_MAX: usize = 1_000;

const APPROVAL_EXPIRES: Interval = Interval::secs(3_600);
const VERIFY_WITHIN: Interval = Interval::secs(60);
const DEMOTE_AFTER: u32 = 2;
const HOUR: Interval = Interval::secs(3_600);
const DAY: Interval = Interval::secs(86_400);
const MONTHS: Interval = Interval::secs(90 * 86_400);

/// See [`Policy::load`].
pub(super) fn load(files: &[PolicyFile]) -> (Policy, Vec<Diagnostic>) {
    let mut files: Vec<&PolicyFile> = files.iter().filter(|file| !file.is_cases()).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let mut policy = Policy { rules: Vec::new(), guardrails: Vec::new(), digest: digest(&files), broken: None };
    let mut found = Vec::new();
    let mut names = BTreeMap::new();
    for (index, file) in files.iter().enumerate() {
        let mut reader = Reader { file, found: &mut found };
        if index >= FILES_MAX {
            reader.error(0..0, format!("more than {FILES_MAX} documents"));
            break;
        }
        if file.text.len() > FILE_BYTES_MAX {
            reader.error(0..0, format!("the document has {} bytes, more than {FILE_BYTES_MAX}", file.text.len()));
            continue;
        }
        match toml::from_str::<Document>(&file.text) {
            Ok(document) => reader.document(document, &mut policy, &mut names),
            Err(error) => found.push(Diagnostic::toml(&file.name, &file.text, &error)),
        }
    }
    if let Some(first) = found.iter().find(|diagnostic| diagnostic.level == Level::Error) {
        policy.broken = Some((format!("{}:{}", first.file, first.line), first.message.clone()));
    }
    (policy, found)
}

fn digest(files: &[&PolicyFile]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        for part in [&file.name, &file.text] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    crate::model::plan::hex(&hash.finalize())
}

/// What a name belongs to, for the message about its second use.
type Names = BTreeMap<(&'static str, String), String>;

/// Reads one document.
struct Reader<'a> {
    file: &'a PolicyFile,
    found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn say(&mut self, level: Level, at: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::at(level, &self.file.name, &self.file.text, &at, message));
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
    fn error(&mut self, at: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.say(Level::Error, at, message)
    }
    fn errors(&self) -> usize {
        self.found.iter().filter(|diagnostic| diagnostic.level == Level::Error).count()
    }
    fn origin(&self, at: usize) -> String {
        format!("{}:{}", self.file.name, self.file.text[..at.min(self.file.text.len())].matches('\n').count() + 1)
    }

    fn document(&mut self, document: Document, policy: &mut Policy, names: &mut Names) {
        for text in document.rule {
            let at = text.name.span();
            if policy.rules.len() + policy.guardrails.len() >= RULES_MAX {
                self.error(at, format!("more than {RULES_MAX} rules and guardrails"));
                return;
            }
            let before = self.errors();
            let rule = self.rule(&text, names);
            if let (Some(rule), true) = (rule, self.errors() == before) {
                for (level, about, message, hint) in lint::rule(&rule, &policy.rules) {
                    let at = match about {
                        lint::About::Name => text.name.span(),
                        lint::About::Mode => text.mode.span(),
                    };
                    self.say(level, at, message).hint = Some(hint);
                }
                if self.errors() == before {
                    policy.rules.push(rule);
                }
            }
        }
        for text in document.guardrail {
            let at = text.name.span();
            if policy.rules.len() + policy.guardrails.len() >= RULES_MAX {
                self.error(at, format!("more than {RULES_MAX} rules and guardrails"));
                return;
            }
            let before = self.errors();
            let guardrail = self.guardrail(&text, names);
            if let (Some(guardrail), true) = (guardrail, self.errors() == before) {
                policy.guardrails.push(guardrail);
            }
        }
    }

    fn rule(&mut self, text: &RuleText, names: &mut Names) -> Option<Rule> {
        let name = self.name("rule", &text.name, names);
        let origin = self.origin(text.name.span().start);
        self.length(&text.description, "description", text.name.span());
        let kinds = self.patterns(&text.on);
        let when = self.condition(text.when.as_ref());
        let plugin = text.plugin.get_ref();
        if !is_name(plugin) {
            self.error(text.plugin.span(), format!("`{}` is not a plugin's id", shown(plugin))).hint =
                Some("write the id as `holdfast plugin list` shows it, such as \"unit-medic\"".into());
        }
        if let Some(extra) = text.checklist.get(CHECKLIST_MAX) {
            self.error(extra.span(), format!("more than {CHECKLIST_MAX} items in a checklist"));
        }
        let checklist: Vec<_> =
            text.checklist.iter().take(CHECKLIST_MAX).filter_map(|item| self.condition(Some(item))).collect();
        let sustained = self.span(text.sustained.as_ref(), "sustained", DAY);
        let approval_expires = self.span(text.approval_expires.as_ref(), "approval-expires", DAY);
        let guard = self.guard(&text.guard);
        let verify = self.verify(text.verify.as_ref());
        let autonomy = self.autonomy(text.autonomy.as_ref());
        Some(Rule {
            name,
            description: text.description.clone(),
            on: text.on.get_ref().iter().map(|pattern| pattern.get_ref().clone()).collect(),
            kinds: kinds?,
            when,
            sustained,
            plugin: plugin.clone(),
            mode: *text.mode.get_ref(),
            checklist,
            guard,
            verify,
            autonomy,
            approval_expires: approval_expires.unwrap_or(APPROVAL_EXPIRES),
            origin,
        })
    }

    fn guard(&mut self, text: &GuardText) -> Guard {
        Guard {
            cooldown: self.span(text.cooldown.as_ref(), "cooldown", MONTHS),
            budget: self.budget(text.budget.as_ref()).unwrap_or(Budget::DEFAULT),
            blast_radius: BlastRadius { units: text.blast_radius.units, paths: text.blast_radius.paths },
            max_risk: text.max_risk,
        }
    }

    fn budget(&mut self, text: Option<&BudgetText>) -> Option<Budget> {
        let text = text?;
        let per = self.span(Some(&text.per), "per", MONTHS)?;
        Some(Budget { runs: text.runs, per })
    }

    fn verify(&mut self, text: Option<&VerifyText>) -> VerifyRule {
        let Some(text) = text else {
            return VerifyRule { stated: false, within: VERIFY_WITHIN, healthy: None, on_failure: OnFailure::Undo };
        };
        let on_failure = match text.on_failure {
            None | Some(OnFailureText::Undo) => OnFailure::Undo,
            Some(OnFailureText::Stop) => OnFailure::Stop,
            Some(OnFailureText::Escalate) => OnFailure::Escalate,
        };
        let within = self.span(text.within.as_ref(), "within", HOUR).unwrap_or(VERIFY_WITHIN);
        VerifyRule { stated: true, within, healthy: self.condition(text.healthy.as_ref()), on_failure }
    }

    fn autonomy(&mut self, text: Option<&AutonomyText>) -> Autonomy {
        let none = Autonomy { demote_after_failures: DEMOTE_AFTER, suggest_promotion_after: None };
        let Some(text) = text else { return none };
        if let Some(zero) = text.demote_after_failures.as_ref().filter(|failures| *failures.get_ref() == 0) {
            self.error(zero.span(), "a rule cannot be demoted after 0 failures").hint =
                Some("write 1 or more, or set `mode = \"approve\"`".into());
        }
        let suggest_promotion_after = text.suggest_promotion_after.as_ref().and_then(|text| self.promotion(text));
        let demote = text.demote_after_failures.as_ref().map_or(DEMOTE_AFTER, |failures| *failures.get_ref());
        Autonomy { demote_after_failures: demote, suggest_promotion_after }
    }

    fn promotion(&mut self, text: &PromotionText) -> Option<Promotion> {
        let successes = *text.successes.get_ref();
        if successes == 0 {
            self.error(text.successes.span(), "no success is no record").hint = Some("write 1 or more".into());
        }
        Some(Promotion { successes, over: self.span(Some(&text.over), "over", MONTHS)? })
    }

    fn guardrail(&mut self, text: &GuardrailText, names: &mut Names) -> Option<Guardrail> {
        let name = self.name("guardrail", &text.name, names);
        self.length(&text.reason, "reason", text.name.span());
        let kinds = match &text.on {
            None => None,
            Some(on) => Some(self.patterns(on)?),
        };
        let on = text.on.iter().flat_map(Spanned::get_ref).map(|pattern| pattern.get_ref().clone()).collect();
        let guardrail = Guardrail {
            name,
            reason: text.reason.clone(),
            on,
            kinds,
            when: self.condition(text.when.as_ref()),
            deny: text.deny,
            max_mode: text.max_mode,
            max_risk: text.max_risk,
            max_running: text.max_running,
            budget: self.budget(text.budget.as_ref()),
            origin: self.origin(text.name.span().start),
        };
        if !guardrail.limits() {
            self.error(text.name.span(), format!("guardrail {} limits nothing", guardrail.name)).hint =
                Some("give it `deny = true`, `max-mode`, `max-risk`, `max-running` or `budget`".into());
        }
        if guardrail.max_mode == Some(Mode::Auto) {
            self.say(Level::Warning, text.name.span(), "`max-mode = \"auto\"` limits nothing");
        }
        Some(guardrail)
    }

    fn name(&mut self, what: &'static str, text: &Spanned<String>, names: &mut Names) -> String {
        let name = text.get_ref();
        if !is_name(name) || name == "none" {
            self.error(text.span(), format!("`{}` is not a name for a {what}", shown(name))).hint = Some(format!(
                "write 1 to {NAME_BYTES_MAX} of a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit, and not `none`"
            ));
            return name.clone();
        }
        let here = self.origin(text.span().start);
        if let Some(first) = names.get(&(what, name.clone())) {
            let message = format!("there is a {what} {name} already, at {first}");
            self.error(text.span(), message).hint =
                Some("give one of them another name: neither replaces the other".into());
        } else {
            names.insert((what, name.clone()), here);
        }
        name.clone()
    }

    fn length(&mut self, text: &str, key: &str, at: Range<usize>) {
        if text.len() > TEXT_BYTES_MAX {
            self.error(at, format!("`{key}` has {} bytes, more than {TEXT_BYTES_MAX}", text.len()));
        }
    }

    fn patterns(&mut self, on: &Spanned<Vec<Spanned<String>>>) -> Option<Patterns> {
        let patterns = on.get_ref();
        if patterns.is_empty() || patterns.len() > PATTERNS_MAX {
            self.error(
                on.span(),
                format!("`on` names {} kinds of finding, and 1 to {PATTERNS_MAX} are possible", patterns.len()),
            )
            .hint = Some("write the kinds that it is for, such as [\"unit.failed\"] or [\"disk.*\"]".into());
            return None;
        }
        let mut good = true;
        for pattern in patterns.iter().filter(|pattern| !(1..=128).contains(&pattern.get_ref().len())) {
            self.error(pattern.span(), "a kind of finding has 1 to 128 characters");
            good = false;
        }
        match Patterns::new(patterns.iter().map(|pattern| pattern.get_ref().as_str())) {
            Ok(compiled) => good.then_some(compiled),
            Err((index, why)) => {
                let at = patterns.get(index).map_or_else(|| on.span(), Spanned::span);
                self.error(at, format!("the glob is not valid: {why}"));
                None
            }
        }
    }

    /// `None`: not there, or in error; then the error is said, and what it stands in is left out.
    fn condition(&mut self, text: Option<&Spanned<String>>) -> Option<Condition> {
        let text = text?;
        match Condition::compile(text.get_ref()) {
            Ok((condition, warnings)) => {
                for warning in warnings {
                    self.refused(Level::Warning, text.span(), warning);
                }
                if let Some(error) = lint::never_true_or_false(&condition) {
                    self.error(text.span(), error);
                    return None;
                }
                Some(condition)
            }
            Err(refused) => {
                self.refused(Level::Error, text.span(), refused);
                None
            }
        }
    }

    fn refused(&mut self, level: Level, literal: Range<usize>, refused: Refused) {
        let at = within(&self.file.text, &literal, &refused.at);
        self.say(level, at, refused.message).hint = refused.hint;
    }

    fn span(&mut self, text: Option<&Spanned<Interval>>, key: &str, max: Interval) -> Option<Interval> {
        let text = text?;
        let interval = *text.get_ref();
        if interval.0.is_zero() || interval > max {
            self.error(
                text.span(),
                format!("`{key}` is {interval}, and more than nothing and at most {max} is possible"),
            );
            return None;
        }
        Some(interval)
    }
}

/// Where a place inside a string's value lies in the document: exact for strings without escapes, else the whole string.
fn within(text: &str, literal: &Range<usize>, inside: &Range<usize>) -> Range<usize> {
    let raw = text.get(literal.clone()).unwrap_or("");
    let multi = raw.starts_with("'''") || raw.starts_with("\"\"\"");
    if raw.starts_with('"') && raw.contains('\\') {
        return literal.clone();
    }
    let mut open = if multi { 3 } else { 1 };
    if multi {
        let rest = raw.get(open..).unwrap_or("");
        open += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    let start = (literal.start + open + inside.start).min(literal.end);
    start..(literal.start + open + inside.end).clamp(start, literal.end)
}

fn is_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b))
}

/// A text of the author's, short enough for a message.
fn shown(text: &str) -> String {
    super::reasons::bounded(text.to_owned(), NAME_BYTES_MAX)
}
