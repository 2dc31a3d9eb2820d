//! `plugin install` and `plugin push`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::args_plugin::PluginInstall;
use super::super::exit::{DENIED, DONE, Failure, INCONCLUSIVE, NO, Outcome, USAGE};
use super::super::view::plugin_install as view;
use super::Session;
use super::plugin_agent::{self, Taken};
use crate::config::{Overrides, PluginsConfig};
use crate::install::{self, Candidate, GrantChange, InstallError, Plan, Wishes};
use crate::plugins::{Compiler, Standing, Trust};
use crate::registry::{self, Artifact, Credentials, Reference, ReferenceError};

/// What an installation is, and what became of it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Report {
    pub(in super::super) plugin: String,
    pub(in super::super) version: String,
    pub(in super::super) description: String,
    /// Where it came from; of a registry with the digest that was taken.
    pub(in super::super) source: String,
    pub(in super::super) digest: String,
    pub(in super::super) bytes: u64,
    pub(in super::super) roles: Vec<String>,
    pub(in super::super) agent_min: String,
    /// Who vouches for it.
    pub(in super::super) signer: Option<String>,
    pub(in super::super) signature: String,
    /// Where its component lies, or would.
    pub(in super::super) file: PathBuf,
    /// The version that it replaces.
    pub(in super::super) replaces: Option<String>,
    pub(in super::super) permissions: Permissions,
    pub(in super::super) grant: GrantReport,
    /// What happened on the way here.
    pub(in super::super) notes: Vec<String>,
    /// Whether a file was placed or altered.
    pub(in super::super) changed: bool,
    /// What the agent made of it; `None`: nothing was done.
    pub(in super::super) agent: Option<Taken>,
}

#[derive(Debug, Serialize)]
pub(in super::super) struct Permissions {
    /// Everything that it asks for.
    pub(in super::super) asks: Vec<String>,
    /// More than the version that it replaces.
    pub(in super::super) more: Vec<String>,
    /// What it no longer asks for.
    pub(in super::super) less: Vec<String>,
    /// What it asks for and is not granted here.
    pub(in super::super) not_granted: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(in super::super) struct GrantReport {
    pub(in super::super) file: PathBuf,
    /// `none`, `written`, `altered`, `unchanged`.
    pub(in super::super) change: &'static str,
    pub(in super::super) enabled: bool,
}

impl Report {
    fn new(plan: &Plan) -> Self {
        let checked = &plan.checked;
        let (signer, signature) = match &checked.standing {
            Standing::Signed { key, comment } => {
                (Some(key.clone()), format!("signed by the trusted key {key}: {comment}"))
            }
            Standing::Shipped | Standing::Unsigned => {
                (None, "nobody whom this host trusts has signed it; `allow-unsigned` lets it in".to_owned())
            }
        };
        let change = match plan.grant {
            GrantChange::None => "none",
            GrantChange::Written => "written",
            GrantChange::Altered => "altered",
            GrantChange::Unchanged => "unchanged",
        };
        let mut notes = checked.candidate.notes.clone();
        if plan.gives_everything() {
            let file = plan.grant_file.display();
            notes.push(format!(
                "it may read every file that the agent may read; narrow `files` in {file} to what it is for"
            ));
        }
        let left_out = plan.left_out();
        if !left_out.is_empty() {
            let (what, file) = (left_out.join(", "), plan.grant_file.display());
            notes.push(format!(
                "nothing is granted of {what}: name in {file} what it is to have, as its README shows; --accept-permissions grants all"
            ));
        }
        let manifest = &checked.manifest;
        if !plan.taken.is_empty() {
            let (taken, through) = (plan.taken.join(", "), manifest.asks_through());
            let named = if through.is_empty() {
                String::new()
            } else {
                format!("; it asks for what stands in its settings {}", through.join(", "))
            };
            notes.push(format!("taken out of the grant, because it does not ask for it: {taken}{named}"));
        }
        let nameless = plan.names_no_place();
        if !nameless.is_empty() {
            let (settings, file) = (nameless.join(", "), plan.grant_file.display());
            notes.push(format!(
                "its settings {settings} are to name places and name none, so it has nothing to look at: write them into {file}, \
                 there and where it is given them"
            ));
        }
        Self {
            plugin: checked.manifest.id.clone(),
            version: checked.manifest.version.clone(),
            description: checked.manifest.description.clone(),
            source: checked.candidate.from.clone(),
            digest: checked.digest.clone(),
            bytes: checked.candidate.component.len() as u64,
            roles: checked.surface.roles.clone(),
            agent_min: checked.surface.agent_min.clone(),
            signer,
            signature,
            file: plan.file.clone(),
            replaces: plan.was.as_ref().and_then(|it| it.manifest.as_ref()).map(|it| it.version.clone()),
            permissions: Permissions {
                asks: plan.asks.clone(),
                more: plan.more.clone(),
                less: plan.less.clone(),
                not_granted: plan.not_given.clone(),
            },
            grant: GrantReport { file: plan.grant_file.clone(), change, enabled: !plan.disabled },
            notes,
            changed: false,
            agent: None,
        }
    }
}

/// Plugins as this host's configuration has them.
pub(super) fn configured(it: &Session) -> Result<PluginsConfig, Failure> {
    Ok(super::config::load(it.global.config.as_deref(), &Overrides::default())?.config.plugins)
}

fn credentials(file: Option<&Path>) -> Result<Option<Credentials>, Failure> {
    file.map(|file| Credentials::read(file).map_err(|error| Failure::usage(format!("{}: {error}", file.display()))))
        .transpose()
}

pub(super) fn install(it: &Session, args: PluginInstall) -> Outcome {
    let config = configured(it)?;
    // A directory of a package needs no signature because the package has placed what lies there; what is placed here needs one.
    let trust = Trust::new(&config.trusted_keys, &[], config.allow_unsigned).map_err(Failure::usage)?;
    if registry::is_reference(&args.source) {
        it.out.progress(&format!("fetching {}", args.source.display()));
    }
    let candidate = Candidate::fetch(&args.source, credentials(args.credentials.as_deref())?)?;
    let checked = candidate.check(&trust, args.digest.as_deref())?;
    let wishes = Wishes { dir: args.dir.clone(), pin: args.digest.is_some(), without_grant: args.no_grant };
    let mut plan = Plan::make(checked, &config, &wishes, args.accept_permissions)?;
    it.out.progress("compiling it, to see whether the agent can use it");
    plan.examine(&Compiler::child())?;
    if args.dry_run {
        let report = Report::new(&plan);
        it.out.document(&report, |_| view::report(&report))?;
        return Ok(DONE);
    }
    if plan.is_older() && !args.allow_older {
        let was = plan.was.as_ref().and_then(|it| it.manifest.as_ref()).map_or("", |it| it.version.as_str());
        let (id, version) = (&plan.checked.manifest.id, &plan.checked.manifest.version);
        return Err(Failure::new(DENIED, format!("{id} {version} is older than {was}, which is installed"))
            .hint("--allow-older lets it take its place"));
    }
    let (id, digest) = (plan.checked.manifest.id.clone(), plan.checked.digest.clone());
    let before = plugin_agent::now(it, &id);
    let (mut shown, mut writes) = (false, plan.writes());
    if !writes.is_empty() {
        shown = consent(it, &args, &plan)?;
        // What the flag did not say was agreed to on the terminal just now.
        let agreed = args.accept_permissions || plan.widens();
        let _lock = install::lock(&config)?;
        plan = plan.again(&config, &wishes, agreed)?;
        writes = plan.writes();
        install::place(&writes)?;
    }
    let taken = plugin_agent::installed(it, &id, &digest, before.as_ref(), args.wait);
    let mut report = Report::new(&plan);
    (report.changed, report.agent) = (!writes.is_empty(), Some(taken));
    it.out.document(&report, |_| if shown { view::outcome(&report) } else { view::report(&report) })?;
    Ok(match report.agent.as_ref().map(|taken| taken.state.as_str()) {
        Some("refused") => NO,
        Some("pending") if args.wait.0 > std::time::Duration::ZERO => INCONCLUSIVE,
        _ => DONE,
    })
}

/// That somebody wants it, and what it asks for more; says what is wanted where nobody can be asked. True: the plan was shown.
fn consent(it: &Session, args: &PluginInstall, plan: &Plan) -> Result<bool, Failure> {
    let manifest = &plan.checked.manifest;
    let name = format!("{} {}", manifest.id, manifest.version);
    let shown = || it.out.remark(view::report(&Report::new(plan)).trim_end());
    let declined = || Failure::new(NO, "nothing was installed");
    if plan.widens() {
        let more = plan.more.join(", ");
        if args.accept_permissions && args.yes {
            it.out.remark(&format!("{name} is granted more than before: {more}"));
            return Ok(false);
        }
        shown();
        let question = format!("{name} asks for more than before: {more}. Grant it that, and install it?");
        return match it.out.ask(&question) {
            Some(true) => Ok(true),
            Some(false) => Err(declined()),
            None if args.accept_permissions => Err(unasked(&name)),
            None => {
                Err(Failure::new(DENIED, format!("{name} asks for more than is granted to what it replaces: {more}"))
                    .hint("nothing was installed; --yes --accept-permissions installs it and grants it that"))
            }
        };
    }
    if args.yes {
        return Ok(false);
    }
    shown();
    match it.out.ask(&format!("Install {name}?")) {
        Some(true) => Ok(true),
        Some(false) => Err(declined()),
        None => Err(unasked(&name)),
    }
}

fn unasked(name: &str) -> Failure {
    Failure::new(USAGE, format!("nothing was installed: there is no terminal to ask whether {name} is wanted"))
        .hint("look at the above; the same command with --yes installs it")
}

/// What lies in a registry now.
#[derive(Debug, Serialize)]
pub(in super::super) struct PushReport {
    pub(in super::super) plugin: String,
    pub(in super::super) version: String,
    /// Under its tag.
    pub(in super::super) reference: String,
    /// The same place by digest: what `plugin install` takes whatever becomes of the tag.
    pub(in super::super) pinned: String,
    /// SHA-256 of the component.
    pub(in super::super) digest: String,
    pub(in super::super) bytes: u64,
    pub(in super::super) signed: bool,
    /// The component lay there already.
    pub(in super::super) known: bool,
}

pub(super) fn push(it: &Session, file: &Path, reference: &str, login: Option<&Path>) -> Outcome {
    let reference: Reference =
        reference.parse().map_err(|error: ReferenceError| Failure::usage(error).hint(ReferenceError::HINT))?;
    if reference.digest().is_some() {
        return Err(Failure::usage("a digest is what comes out of it; name a tag").hint(ReferenceError::HINT));
    }
    let candidate = Candidate::fetch(file, None)?;
    // Whom this host trusts is not asked: who pushes may be anybody. A signature that is there has to be one, though.
    let (manifest, surface, digest) = candidate.read()?;
    it.out.progress(&format!("pushing to {reference}"));
    let artifact = Artifact {
        title: (manifest.id.clone(), manifest.version.clone(), manifest.description.clone()),
        imports: surface.imports,
        exports: surface.exports,
        signature: candidate.signature.clone(),
        component: candidate.component.clone(),
    };
    let pushed = registry::push(&reference, &artifact, credentials(login)?).map_err(InstallError::from)?;
    let report = PushReport {
        plugin: manifest.id,
        version: manifest.version,
        pinned: reference.at(&pushed.manifest).to_string(),
        reference: reference.to_string(),
        digest,
        bytes: candidate.component.len() as u64,
        signed: candidate.signature.is_some(),
        known: pushed.known,
    };
    it.out.document(&report, |_| view::pushed(&report))?;
    Ok(DONE)
}
