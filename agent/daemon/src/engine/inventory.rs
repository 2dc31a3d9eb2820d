//! What the host is made of besides files, against what was accepted, and what explains the difference.
//!
//! The first look at a kind is accepted as it is. What nobody explains is looked at once more before it is a finding: a package
//! manager writes its log a little after it did what it says.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_core::detect::drift::{ItemFacts, Judgement, LAST_AS_ACCEPTED, judge_item};
use holdfast_core::model::audit::{AuditKind, Draft};
use holdfast_core::model::{
    AcceptedItems, Attributes, Change, ChangeId, Inventory, Item, ItemKind, ItemName, NOT_BEFORE, Timestamp,
};

use super::files::EXPLAINED_WITHIN;
use super::{AGENT, Command, Engine, Moment};
use crate::answers::BaselineAnswer;
use crate::request::{Answer, Refusal, RefusalKind};
use crate::store::{StateReader, StoreError, Writes, items_setting};

/// Differences of one kind that are judged at one look; the rest has its turn when these are settled.
const JUDGED_MAX: usize = 200;

/// What was accepted before an alteration.
pub(super) struct AcceptedBefore(BTreeMap<ItemKind, AcceptedItems>);

/// What is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    accepted: BTreeMap<ItemKind, AcceptedItems>,
    last: Inventory,
    looked_at: BTreeMap<ItemKind, Timestamp>,
    /// Unexplained at the last look, and when that item was last as accepted.
    doubted: BTreeMap<ItemName, Timestamp>,
}

impl Known {
    pub(super) fn load(reader: &StateReader) -> Result<Self, StoreError> {
        let mut known = Self::default();
        for kind in ItemKind::ALL {
            if let Some(items) = reader.accepted_items(kind)? {
                known.accepted.insert(kind, items);
            }
        }
        Ok(known)
    }

    fn value(&self, name: &ItemName) -> Option<&str> {
        self.accepted.get(&name.kind)?.get(&name.name).map(String::as_str)
    }

    fn current(&self, name: &ItemName) -> Option<&Item> {
        self.last.get(&name.kind)?.get(&name.name)
    }

    /// Accepts an item as it is now, or that it is gone.
    fn accept(&mut self, name: &ItemName) {
        let now = self.current(name).map(|it| it.value.clone());
        let accepted = self.accepted.entry(name.kind).or_default();
        match now {
            Some(value) => accepted.insert(name.name.clone(), value),
            None => accepted.remove(&name.name),
        };
    }

    fn writes(&self, kinds: impl IntoIterator<Item = ItemKind>, audit: Vec<Draft>) -> Writes {
        let saved = |kind| (items_setting(kind), serde_json::json!(self.accepted.get(&kind)));
        Writes { settings: kinds.into_iter().map(saved).collect(), audit, ..Writes::default() }
    }

    /// Items of a kind that are not as accepted.
    fn differing(&self, kind: ItemKind) -> BTreeSet<ItemName> {
        let (none, nothing) = (AcceptedItems::new(), BTreeMap::new());
        let accepted = self.accepted.get(&kind).unwrap_or(&none);
        let current = self.last.get(&kind).unwrap_or(&nothing);
        let names: BTreeSet<&String> = accepted.keys().chain(current.keys()).collect();
        let differs = |name: &&String| {
            kind.differs(accepted.get(*name).map(String::as_str), current.get(*name).map(|it| it.value.as_str()))
        };
        names.into_iter().filter(differs).map(|name| ItemName { kind, name: name.clone() }).collect()
    }
}

impl Engine {
    /// One look; kinds that could not be read are not in it.
    pub(super) fn on_inventory(&mut self, found: Inventory, at: Timestamp, now: Moment, out: &mut Vec<Command>) {
        for (kind, items) in found {
            let first = !self.inventory.accepted.contains_key(&kind);
            let before = self.inventory.looked_at.insert(kind, at).unwrap_or(at);
            self.inventory.last.insert(kind, items);
            if first {
                self.accept_kind(kind, now);
            } else {
                self.judge_kind(kind, (before, at), now, out);
            }
        }
    }

    fn accept_kind(&mut self, kind: ItemKind, now: Moment) {
        let items: AcceptedItems =
            self.inventory.last[&kind].iter().map(|(name, it)| (name.clone(), it.value.clone())).collect();
        let body = serde_json::json!({ "items": items.len(), "reason": "first seen" });
        self.inventory.accepted.insert(kind, items);
        let audit = vec![Self::draft(now, AuditKind::Baseline, AGENT, items_setting(kind), body)];
        let writes = self.inventory.writes([kind], audit);
        self.ledger.soon(writes, now);
    }

    fn judge_kind(
        &mut self,
        kind: ItemKind,
        (before, at): (Timestamp, Timestamp),
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        let differing = self.inventory.differing(kind);
        // What is as accepted again, or not worth a word any more, ends its finding.
        let open = self.drifted_items(kind);
        let settled = open.difference(&differing);
        let names: Vec<ItemName> = settled.chain(differing.iter().take(JUDGED_MAX)).cloned().collect();
        self.inventory.doubted.retain(|name, _| name.kind != kind || differing.contains(name));
        self.judge_items(&names, (before, at), true, now, out);
    }

    /// Judges these, each of which is named once. `may_explain`: whether what altered around the machine counts.
    fn judge_items(
        &mut self,
        names: &[ItemName],
        (before, at): (Timestamp, Timestamp),
        may_explain: bool,
        now: Moment,
        out: &mut Vec<Command>,
    ) {
        if names.is_empty() {
            return;
        }
        self.remember_doubts(names);
        let doubts = names.iter().filter_map(|name| self.inventory.doubted.get(name).copied());
        let since = doubts.fold(before, Timestamp::min).minus(EXPLAINED_WITHIN);
        let deployments = if may_explain { self.deployments_since(since) } else { vec![] };
        let changes: Vec<Change> = self.changes.iter().filter(|_| may_explain).cloned().collect();
        let (mut audit, mut accepted) = (Vec::new(), BTreeSet::new());
        for name in names {
            let before = self.inventory.doubted.get(name).copied().unwrap_or(before);
            let cause = self.own.cause_of(&name.target(), now.mono);
            let judgement = judge_item(&ItemFacts {
                name,
                accepted: self.inventory.value(name),
                current: self.inventory.current(name),
                changes: &changes,
                deployments: &deployments,
                cause: cause.as_ref(),
                at,
                before,
            });
            let drifted = self.is_drifted(&name.target());
            match judgement {
                Judgement::Unchanged(detection) if drifted => self.observe(detection, now, out),
                Judgement::Unchanged(_) => {}
                // What nobody explained before is not explained by what came after it.
                Judgement::Explained { .. } if drifted && cause.is_none() => {}
                Judgement::Explained { by, reference } => {
                    self.inventory.doubted.remove(name);
                    self.item_changed(name, Some((&by, &reference)), (before, at), now);
                    self.inventory.accept(name);
                    accepted.insert(name.kind);
                    let body = serde_json::json!({
                        "value": self.inventory.value(name), "reason": by, "explained_by": reference,
                    });
                    audit.push(Self::draft(now, AuditKind::Baseline, AGENT, name, body));
                }
                Judgement::Unexplained(detection) => {
                    if self.inventory.doubted.insert(name.clone(), before).is_none() && !drifted {
                        continue;
                    }
                    if !drifted {
                        self.item_changed(name, None, (before, at), now);
                    }
                    self.observe(detection, now, out);
                }
            }
        }
        if !audit.is_empty() {
            let writes = self.inventory.writes(accepted, audit);
            self.ledger.soon(writes, now);
        }
    }

    /// Of items with an open finding: when they were last as accepted. The finding knows it, and after a start nothing else does.
    fn remember_doubts(&mut self, names: &[ItemName]) {
        for name in names {
            let current = self.inventory.current(name).map(|it| it.value.as_str());
            let differs = name.kind.differs(self.inventory.value(name), current);
            if !differs || self.inventory.doubted.contains_key(name) {
                continue;
            }
            let (kind, target) = (format!("{}.drift", name.kind), name.target());
            let Some(finding) = self.lifecycle.open().find(|it| it.kind == kind && it.target == target) else {
                continue;
            };
            let told = finding.evidence(LAST_AS_ACCEPTED).and_then(|it| it.to_string().parse().ok());
            self.inventory.doubted.insert(name.clone(), told.unwrap_or(finding.began_at));
        }
    }

    /// Items as they are to be accepted: what that writes, and what was accepted before.
    pub(super) fn accept_items_as(
        &mut self,
        items: &[(ItemName, Option<String>)],
    ) -> (Vec<(String, serde_json::Value)>, AcceptedBefore) {
        let before = AcceptedBefore(self.inventory.accepted.clone());
        for (name, value) in items {
            let accepted = self.inventory.accepted.entry(name.kind).or_default();
            match value {
                Some(value) => accepted.insert(name.name.clone(), value.clone()),
                None => accepted.remove(&name.name),
            };
        }
        let kinds: BTreeSet<ItemKind> = items.iter().map(|(name, _)| name.kind).collect();
        (self.inventory.writes(kinds, vec![]).settings, before)
    }

    /// Nothing came of it.
    pub(super) fn accept_as_before(&mut self, before: AcceptedBefore) {
        self.inventory.accepted = before.0;
    }

    /// What is accepted was altered by hand: judged at once, and what is there now was refused, whoever brought it.
    pub(super) fn judge_items_now(&mut self, names: &[ItemName], now: Moment, out: &mut Vec<Command>) {
        for name in names {
            // Nothing is in doubt: a person decided.
            self.inventory.doubted.insert(name.clone(), now.wall);
        }
        let known: Vec<ItemName> =
            names.iter().filter(|name| self.inventory.last.contains_key(&name.kind)).cloned().collect();
        self.judge_items(&known, (now.wall, now.wall), false, now, out);
    }

    fn drifted_items(&self, kind: ItemKind) -> BTreeSet<ItemName> {
        let wanted = format!("{kind}.drift");
        let name = |it: &holdfast_core::model::Finding| ItemName { kind, name: it.target.name.clone() };
        self.lifecycle.open().filter(|it| it.kind == wanted && it.is_open()).map(name).collect()
    }

    /// `before`: the last look at which it was as accepted; `at`: the one that saw the difference.
    fn item_changed(
        &mut self,
        name: &ItemName,
        explained: Option<(&str, &str)>,
        (before, at): (Timestamp, Timestamp),
        now: Moment,
    ) {
        // The package manager's own log has told it.
        if name.kind == ItemKind::Package && explained.is_some() {
            return;
        }
        let what = match (self.inventory.value(name), self.inventory.current(name)) {
            (None, _) => "added",
            (Some(_), None) => "removed",
            (Some(_), Some(_)) => "modified",
        };
        let mut attributes = Attributes::new();
        if before < at {
            attributes.insert(NOT_BEFORE.to_owned(), before.to_string());
        }
        if let Some(item) = self.inventory.current(name) {
            attributes.insert("item.value".into(), item.value.clone());
            attributes.extend(item.facts.clone());
        }
        let (mut summary, mut deployment) = (format!("{name} was {what}"), None);
        if let Some((by, reference)) = explained {
            deployment = reference.parse().ok().filter(|id| self.deployments.contains_key(id));
            summary = format!("{summary}: {by}");
            attributes.insert("explained.by".into(), by.to_owned());
            attributes.insert("explained.reference".into(), reference.to_owned());
        }
        let target = name.target();
        let cause = self.own.cause_of(&target, now.mono);
        let id = ChangeId::new(now.wall, self.ids.as_mut());
        let kind = format!("{}.{what}", name.kind);
        self.on_change(Change { id, at, kind, target, actor: None, summary, attributes, deployment, cause }, now);
    }

    /// A person accepts items as they are now.
    pub(super) fn accept_items(
        &mut self,
        names: &[String],
        by: &str,
        reason: &str,
        now: Moment,
        out: &mut Vec<Command>,
    ) -> Answer {
        if reason.trim().is_empty() {
            return Err(Refusal::new(RefusalKind::Usage, "accepting a baseline needs a reason"));
        }
        let mut items = Vec::new();
        for text in names {
            let name: ItemName = text.parse().map_err(|_| {
                Refusal::new(RefusalKind::Usage, format!("`{text}` is a file, and others of these are items"))
                    .hint("accept files and items with a command each")
            })?;
            if self.inventory.value(&name).is_none() && self.inventory.current(&name).is_none() {
                return Err(Refusal::new(RefusalKind::NotFound, format!("{name} was never seen on this host"))
                    .hint("`holdfast baseline verify` lists what differs"));
            }
            items.push(name);
        }
        let mut audit = Vec::new();
        let before = self.inventory.accepted.clone();
        for name in &items {
            self.inventory.accept(name);
            let body = serde_json::json!({ "value": self.inventory.value(name), "reason": reason });
            audit.push(Self::draft(now, AuditKind::Baseline, by, name, body));
        }
        let kinds: BTreeSet<ItemKind> = items.iter().map(|it| it.kind).collect();
        let writes = self.inventory.writes(kinds, audit);
        if let Err(refusal) = self.record(writes) {
            self.inventory.accepted = before;
            return Err(refusal);
        }
        // Only these: what else is in doubt is looked at once more first.
        for name in &items {
            self.inventory.doubted.remove(name);
        }
        self.judge_items(&items, (now.wall, now.wall), true, now, out);
        let accepted = items.iter().map(ToString::to_string).collect();
        Ok(serde_json::json!(BaselineAnswer { accepted, skipped: vec![] }))
    }
}
