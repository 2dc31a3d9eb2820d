//! What `plugin install` says about one plugin: as a document, and for people.

use std::path::PathBuf;

use serde::Serialize;

use super::plugin_agent::Taken;
use crate::install::{GrantChange, Plan};
use crate::plugins::Standing;

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
    pub(super) fn new(plan: &Plan) -> Self {
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
