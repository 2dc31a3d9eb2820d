//! What the host is made of besides files, as it is now, against what was accepted.

use holdfast_core::model::ItemName;

use super::ApiContext;
use super::wire::ItemComparison;
use crate::request::{Refusal, RefusalKind};

/// How it stands.
#[derive(Debug, Default)]
pub(super) struct Compared {
    /// Those that are not as accepted.
    pub(super) changed: Vec<ItemComparison>,
    /// Items that are.
    pub(super) unchanged: u64,
    /// Kinds that could not be read.
    pub(super) unknown: u64,
}

/// Reads the host. `only`: these; empty means everything that is watched.
pub(super) fn compare(context: &ApiContext, only: &[ItemName]) -> Result<Compared, Refusal> {
    let mut compared = Compared::default();
    // As differences of files are: a value may hold what no one is to read here.
    let shown = |text: Option<&str>| {
        let mut text = text?.to_owned();
        context.redactor.line(&mut text);
        Some(text)
    };
    let found = (context.look)();
    for (kind, current) in &found {
        let kind = *kind;
        // A kind that was never looked at has nothing to be compared with.
        let Some(accepted) = context.state.accepted_items(kind)? else { continue };
        let wanted = |name: &str| only.is_empty() || only.iter().any(|it| it.kind == kind && it.name == name);
        let Some(current) = current else {
            compared.unknown += u64::from(only.is_empty() || only.iter().any(|it| it.kind == kind));
            continue;
        };
        let names: std::collections::BTreeSet<&String> = accepted.keys().chain(current.keys()).collect();
        for name in names.into_iter().filter(|name| wanted(name)) {
            let (before, now) = (accepted.get(name), current.get(name));
            if !kind.differs(before.map(String::as_str), now.map(|it| it.value.as_str())) {
                compared.unchanged += 1;
                continue;
            }
            compared.changed.push(ItemComparison {
                item: format!("{kind}:{name}"),
                accepted: shown(before.map(String::as_str)),
                current: shown(now.map(|it| it.value.as_str())),
                stated_by: shown(now.and_then(|it| it.stated_by.as_deref())),
            });
        }
    }
    match only.iter().find(|it| !found.iter().any(|(kind, _)| *kind == it.kind)) {
        Some(name) => {
            Err(Refusal::new(RefusalKind::NotFound, format!("items of the kind {} are not watched", name.kind))
                .hint("[inventory] kinds of the configuration lists those that are"))
        }
        None => Ok(compared),
    }
}
