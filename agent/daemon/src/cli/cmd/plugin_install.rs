//! `plugin install`.
//!
//! Of a folder with several components all are checked first, and one that cannot be taken refuses all of them; then each is asked about,
//! and what somebody wants is placed in one go. So a folder is never half installed because of what could have been known before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::args_plugin::PluginInstall;
use super::super::exit::{DENIED, DONE, Failure, INCONCLUSIVE, NO, Outcome, USAGE};
use super::super::view::plugin_install as view;
use super::Session;
use super::plugin_agent;
use super::plugin_push::access;
use super::plugin_report::Report;
use crate::config::{Overrides, PluginsConfig};
use crate::install::{self, Candidate, Plan, Source, Wishes};
use crate::plugins::{Compiler, Trust};
use crate::registry::{self, Access};
use crate::status::PluginStatus;

/// What became of a folder of components.
#[derive(Debug, Serialize)]
pub(in super::super) struct FolderReport {
    /// Each that was installed, or would be.
    pub(in super::super) plugins: Vec<Report>,
    /// Each that somebody did not want, as `x 0.1.0`.
    pub(in super::super) left_out: Vec<String>,
}

/// Plugins as this host's configuration has them.
pub(super) fn configured(it: &Session) -> Result<PluginsConfig, Failure> {
    Ok(super::config::load(it.global.config.as_deref(), &Overrides::default())?.config.plugins)
}

/// What somebody said about one plan.
struct Asked {
    plan: Plan,
    /// It was shown, so that only the outcome is still to be told.
    shown: bool,
    /// How the agent saw the plugin before.
    before: Option<PluginStatus>,
}

pub(super) fn install(it: &Session, args: PluginInstall) -> Outcome {
    let config = configured(it)?;
    match Source::of(&args.source)? {
        Source::One(source) => {
            let plan = planned(it, &args, &config, &source)?;
            let placed = place(it, &args, &config, vec![plan])?;
            let Some((report, shown)) = placed.reports.into_iter().next() else {
                return Err(Failure::new(NO, "nothing was installed"));
            };
            it.out.document(&report, |_| if shown { view::outcome(&report) } else { view::report(&report) })?;
            Ok(code(&args, std::slice::from_ref(&report)))
        }
        Source::Folder(files) => folder(it, &args, &config, &files),
    }
}

fn folder(it: &Session, args: &PluginInstall, config: &PluginsConfig, files: &[PathBuf]) -> Outcome {
    let name = args.source.display();
    if args.digest.is_some() && files.len() > 1 {
        let why = format!("--digest is of one component, and {name} holds {}", files.len());
        return Err(Failure::usage(why).hint("install that component from its file"));
    }
    let refused = |failure: Failure| Failure {
        message: format!("nothing of {name} was installed: {}", failure.message),
        ..failure
    };
    let mut plans: Vec<Plan> = Vec::new();
    let mut by_id: BTreeMap<String, &Path> = BTreeMap::new();
    for file in files {
        let plan = planned(it, args, config, file).map_err(refused)?;
        let id = plan.checked.manifest.id.clone();
        if let Some(other) = by_id.insert(id.clone(), file) {
            let why = format!("{} and {} are both the plugin {id}", other.display(), file.display());
            return Err(refused(Failure::usage(why).hint("leave the one there that is meant")));
        }
        plans.push(plan);
    }
    let Placed { reports, left_out } = place(it, args, config, plans).map_err(refused)?;
    if reports.is_empty() {
        return Err(Failure::new(NO, "nothing was installed"));
    }
    let (plugins, shown): (Vec<Report>, Vec<bool>) = reports.into_iter().unzip();
    let report = FolderReport { plugins, left_out };
    it.out.document(&report, |_| view::folder(&report, &shown))?;
    Ok(code(args, &report.plugins))
}

fn code(args: &PluginInstall, reports: &[Report]) -> u8 {
    let is = |state: &str| reports.iter().any(|it| it.agent.as_ref().is_some_and(|taken| taken.state == state));
    if is("refused") {
        NO
    } else if is("pending") && args.wait.0 > std::time::Duration::ZERO {
        INCONCLUSIVE
    } else {
        DONE
    }
}

fn wishes(args: &PluginInstall) -> Wishes {
    Wishes { dir: args.dir.clone(), pin: args.digest.is_some(), without_grant: args.no_grant }
}

/// Fetched, checked, and examined as the agent would; nothing is altered.
fn planned(it: &Session, args: &PluginInstall, config: &PluginsConfig, source: &Path) -> Result<Plan, Failure> {
    // A directory of a package needs no signature because the package has placed what lies there; what is placed here needs one.
    let trust = Trust::new(&config.trusted_keys, &[], config.allow_unsigned).map_err(Failure::usage)?;
    let candidate = if registry::is_reference(source) {
        it.out.progress(&format!("fetching {}", source.display()));
        Candidate::fetch(source, access(&args.registry, config.registry_ca_file.as_deref())?)?
    } else {
        Candidate::fetch(source, |_| Access::default())?
    };
    let checked = candidate.check(&trust, args.digest.as_deref())?;
    let plan = Plan::make(checked, config, &wishes(args), args.accept_permissions)?;
    let (id, version) = (&plan.checked.manifest.id, &plan.checked.manifest.version);
    it.out.progress(&format!("compiling {id}, to see whether the agent can use it"));
    plan.examine(&Compiler::child())?;
    if plan.is_older() && !args.allow_older && !args.dry_run {
        let was = plan.was.as_ref().and_then(|it| it.manifest.as_ref()).map_or("", |it| it.version.as_str());
        return Err(Failure::new(DENIED, format!("{id} {version} is older than {was}, which is installed"))
            .hint("--allow-older lets it take its place"));
    }
    Ok(plan)
}

/// What was asked about and placed.
struct Placed {
    /// What somebody wanted, each with whether it was shown before.
    reports: Vec<(Report, bool)>,
    /// The names of the others.
    left_out: Vec<String>,
}

/// Asks about each, and places those that somebody wants, all or none.
fn place(it: &Session, args: &PluginInstall, config: &PluginsConfig, plans: Vec<Plan>) -> Result<Placed, Failure> {
    if args.dry_run {
        let reports = plans.iter().map(|plan| (Report::new(plan), false)).collect();
        return Ok(Placed { reports, left_out: Vec::new() });
    }
    let (mut wanted, mut left_out) = (Vec::new(), Vec::new());
    for plan in plans {
        let before = plugin_agent::now(it, &plan.checked.manifest.id);
        let answer = if plan.writes().is_empty() { Answer::Yes { shown: false } } else { consent(it, args, &plan)? };
        match answer {
            Answer::Yes { shown } => wanted.push(Asked { plan, shown, before }),
            Answer::No => left_out.push(format!("{} {}", plan.checked.manifest.id, plan.checked.manifest.version)),
        }
    }
    // Only what alters something takes a turn.
    let lock = if wanted.iter().any(|it| !it.plan.writes().is_empty()) { Some(install::lock(config)?) } else { None };
    let (mut writes, mut placed) = (Vec::new(), Vec::new());
    for Asked { mut plan, shown, before } in wanted {
        if lock.is_some() {
            // What the flag did not say was agreed to on the terminal just now.
            let agreed = args.accept_permissions || plan.widens();
            plan = plan.again(config, &wishes(args), agreed)?;
        }
        let own = plan.writes();
        placed.push((plan, shown, before, !own.is_empty()));
        writes.extend(own);
    }
    install::place(&writes)?;
    drop(lock);
    let mut reports = Vec::new();
    for (plan, shown, before, changed) in placed {
        let (id, digest) = (&plan.checked.manifest.id, &plan.checked.digest);
        let taken = plugin_agent::installed(it, id, digest, before.as_ref(), args.wait);
        let mut report = Report::new(&plan);
        (report.changed, report.agent) = (changed, Some(taken));
        reports.push((report, shown));
    }
    Ok(Placed { reports, left_out })
}

/// What a person said.
enum Answer {
    Yes { shown: bool },
    No,
}

/// That somebody wants it, and what it asks for more; says what is wanted where nobody can be asked.
fn consent(it: &Session, args: &PluginInstall, plan: &Plan) -> Result<Answer, Failure> {
    let manifest = &plan.checked.manifest;
    let name = format!("{} {}", manifest.id, manifest.version);
    let shown = || it.out.remark(view::report(&Report::new(plan)).trim_end());
    let said = |yes: bool| if yes { Answer::Yes { shown: true } } else { Answer::No };
    if plan.widens() {
        let more = plan.more.join(", ");
        if args.accept_permissions && args.yes {
            it.out.remark(&format!("{name} is granted more than before: {more}"));
            return Ok(Answer::Yes { shown: false });
        }
        shown();
        let question = format!("{name} asks for more than before: {more}. Grant it that, and install it?");
        return match it.out.ask(&question) {
            Some(yes) => Ok(said(yes)),
            None if args.accept_permissions => Err(unasked(&name)),
            None => {
                Err(Failure::new(DENIED, format!("{name} asks for more than is granted to what it replaces: {more}"))
                    .hint("nothing was installed; --yes --accept-permissions installs it and grants it that"))
            }
        };
    }
    if args.yes {
        return Ok(Answer::Yes { shown: false });
    }
    shown();
    it.out.ask(&format!("Install {name}?")).map(said).ok_or_else(|| unasked(&name))
}

fn unasked(name: &str) -> Failure {
    Failure::new(USAGE, format!("nothing was installed: there is no terminal to ask whether {name} is wanted"))
        .hint("look at the above; the same command with --yes installs it")
}
