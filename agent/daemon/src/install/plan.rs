//! What an installation will do, all of it decided before anything is done: where the component goes, what it may do more or less than
//! before, and how the grant will read.

use std::path::{Path, PathBuf};

use holdfast_plugin_host::Grant;

use super::candidate::numbers;
use super::grant::{fresh, upgraded};
use super::place::Write;
use super::target::{component_file, grant_file, grant_text};
use super::wishes::{asks, boundless, difference, gives, taken};
use super::{Checked, InstallError};
use crate::config::PluginsConfig;
use crate::plugins::{Compiler, Installed, Standing, examine, installed, signature_file};

/// How the operator wants it.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// One of the configured directories.
    pub dir: Option<PathBuf>,
    /// Bind the grant to this component.
    pub pin: bool,
    /// Write no grant where there is none.
    pub without_grant: bool,
}

/// What becomes of the grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantChange {
    /// There is none, and there will be none.
    None,
    /// There is none yet.
    Written,
    /// It will read differently.
    Altered,
    /// It stays as it is.
    Unchanged,
}

/// An installation that is ready to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is installed.
    pub checked: Checked,
    /// Where its component goes.
    pub file: PathBuf,
    /// What it replaces.
    pub was: Option<Installed>,
    /// What it asks for, each as `wants.files /etc`.
    pub asks: Vec<String>,
    /// What it asks for and what it replaces did not.
    pub more: Vec<String>,
    /// What it no longer asks for.
    pub less: Vec<String>,
    /// What it asks for and will not be given.
    pub not_given: Vec<String>,
    /// What the grant gave so far and no longer does, because it is not asked for; each as `read.files /etc`.
    pub taken: Vec<String>,
    /// The grant's file.
    pub grant_file: PathBuf,
    /// What becomes of it.
    pub grant: GrantChange,
    /// The grant has switched the plugin off.
    pub disabled: bool,
    former: Option<String>,
    text: Option<String>,
}

impl Plan {
    /// Plans it. `agreed`: somebody has agreed to what it asks for more than what it replaces, and to what a first grant would give
    /// without bounds; without that a plan is still made, to be shown, and does not give it.
    ///
    /// Errors: it may not go there, or the grant cannot be made to fit.
    pub fn make(checked: Checked, config: &PluginsConfig, wishes: &Wishes, agreed: bool) -> Result<Self, InstallError> {
        let manifest = &checked.manifest;
        let known = installed(&config.dirs);
        let file = component_file(config, wishes.dir.as_deref(), &manifest.id, &known)?;
        let was = known.into_iter().find(|it| it.file == file);
        let grant_file = grant_file(config, &manifest.id);
        let former = grant_text(&grant_file)?;
        let wrong = |why: String| InstallError::Grant { file: grant_file.clone(), why };
        let own = former.as_deref().and_then(|text| Grant::parse(text).ok());
        let settings = own.as_ref().map(|grant| grant.settings.clone()).unwrap_or_default();
        // With what the operator has set: places that settings name are those of this host.
        let before = was.as_ref().and_then(|it| it.manifest.as_ref()).map(|it| it.with_settings(&settings));
        let here = manifest.with_settings(&settings);
        let (more, less) = difference(before.as_ref(), &here);
        let pin = wishes.pin || checked.standing == Standing::Unsigned;
        let text = match &former {
            Some(text) => {
                let added = if agreed { more.as_slice() } else { &[] };
                Some(upgraded(text, manifest, &checked.digest, added, pin).map_err(wrong)?)
            }
            None if wishes.without_grant => None,
            None => Some(fresh(manifest, pin.then_some(checked.digest.as_str()), agreed)),
        };
        let grant = text.as_deref().map(Grant::parse).transpose().map_err(|error| wrong(error.to_string()))?;
        let not_given = grant.as_ref().map_or_else(
            || asks(&here),
            |grant| {
                let (wants, proposes) = gives(grant, manifest);
                here.beyond(&wants, &proposes)
            },
        );
        let taken = own.zip(grant.as_ref()).map_or_else(Vec::new, |(before, now)| taken(&before, now));
        let change = match (&former, &text) {
            (None, None) => GrantChange::None,
            (None, Some(_)) => GrantChange::Written,
            (Some(old), Some(new)) if old == new => GrantChange::Unchanged,
            (Some(_), _) => GrantChange::Altered,
        };
        let disabled = grant.is_some_and(|grant| !grant.enabled);
        let asks = asks(&here);
        let grant = change;
        Ok(Self { checked, file, was, asks, more, less, not_given, taken, grant_file, grant, disabled, former, text })
    }

    /// Has it compiled, linked and brought together with its grant, as the agent will. Blocks for as long as that takes.
    ///
    /// Errors: the agent would refuse it.
    pub fn examine(&self, compiler: &Compiler) -> Result<(), InstallError> {
        let Checked { candidate, .. } = &self.checked;
        let unusable = |why| InstallError::Unusable { what: candidate.from.clone(), why, hint: None };
        let grant = self.text.as_deref().map(Grant::parse).transpose().map_err(|error| unusable(error.to_string()))?;
        examine(&candidate.component, grant, compiler).map(drop).map_err(unusable)
    }

    /// Whether it asks for more than it had while somebody has granted it that: a person has to agree.
    pub fn widens(&self) -> bool {
        self.former.is_some() && !self.more.is_empty()
    }

    /// Whether the grant lets it read the whole file system, which few plugins have reason to.
    pub fn gives_everything(&self) -> bool {
        let grant = self.text.as_deref().and_then(|text| Grant::parse(text).ok());
        grant.is_some_and(|grant| grant.read.files.iter().any(|root| root == "/"))
    }

    /// What it asks for without bounds and a first grant does not give, because nobody has agreed to that: the whole file system.
    pub fn left_out(&self) -> Vec<String> {
        if self.grant != GrantChange::Written {
            return Vec::new();
        }
        boundless(&self.checked.manifest).into_iter().filter(|wish| self.not_given.contains(wish)).collect()
    }

    /// The settings that are to name what it may be given and name no place at all, so that it has nothing to look at.
    pub fn names_no_place(&self) -> Vec<String> {
        let settings = self.text.as_deref().and_then(|text| Grant::parse(text).ok()).map(|grant| grant.settings);
        let here = self.checked.manifest.with_settings(&settings.unwrap_or_default());
        if here.names_no_place() { here.asks_through().into_iter().map(str::to_owned).collect() } else { Vec::new() }
    }

    /// Whether it is older than what it replaces.
    pub fn is_older(&self) -> bool {
        let before = self.was.as_ref().and_then(|it| it.manifest.as_ref());
        before.is_some_and(|before| numbers(&self.checked.manifest.version) < numbers(&before.version))
    }

    /// The same plan made again, now that nobody else changes anything: hold the lock for as long as it counts.
    ///
    /// Errors: it would be another one, because what is replaced or the grant is no longer what it was.
    pub fn again(self, config: &PluginsConfig, wishes: &Wishes, agreed: bool) -> Result<Self, InstallError> {
        let ground = |plan: &Self| (plan.was.as_ref().map(|it| it.digest.clone()), plan.former.clone());
        let before = ground(&self);
        let now = Self::make(self.checked, config, wishes, agreed)?;
        if ground(&now) == before || now.writes().is_empty() { Ok(now) } else { Err(InstallError::Meanwhile) }
    }

    /// The files to be placed, in this order. Empty: everything is as it should be already.
    ///
    /// The signature comes first: until the component follows, a signed one runs on, and one that starts then is refused, not run.
    pub fn writes(&self) -> Vec<Write> {
        let candidate = &self.checked.candidate;
        let mut writes = Vec::new();
        let signature = signature_file(&self.file);
        let mut put = |path: &Path, content: Option<&[u8]>| {
            if std::fs::read(path).ok().as_deref() != content {
                writes.push(Write { path: path.to_owned(), content: content.map(<[u8]>::to_vec) });
            }
        };
        put(&signature, candidate.signature.as_deref().map(str::as_bytes));
        put(&self.file, Some(&candidate.component));
        if let Some(text) = &self.text {
            put(&self.grant_file, Some(text.as_bytes()));
        }
        writes
    }
}
