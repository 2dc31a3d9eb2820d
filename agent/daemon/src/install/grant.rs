//! The text of `plugins.d/NAME.toml`: written when there is none, narrowed and widened by an upgrade, switched off and on. Pure.
//!
//! What the operator wrote stays as it is, comments included; only what has to change is touched.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use holdfast_core::model::Mode;
use holdfast_plugin_host::{Effective, Grant, GrantError, Manifest};
use toml_edit::{Array, DocumentMut, Item, TableLike, table, value};

use super::wishes::{asks, boundless};

/// Grants have fewer entries than this; whatever is not settled by then never will be.
const ENTRIES_MAX: usize = 1_000;

/// A first grant: what the plugin asks for, and proposals that people decide about. Of a wish without bounds only the place to say
/// which part of it is given, unless somebody has `agreed` to all of it.
pub(super) fn fresh(manifest: &Manifest, pin: Option<&str>, agreed: bool) -> String {
    let mut doc = DocumentMut::new();
    doc["mode"] = value(Mode::Advise.as_str());
    if let Some(digest) = pin {
        doc["digest"] = value(digest);
    }
    let left_out = if agreed { Vec::new() } else { boundless(manifest) };
    for wish in asks(manifest) {
        if !left_out.contains(&wish) {
            give(&mut doc, &wish);
        } else if let Some((section, key, what)) = place(&wish) {
            let note = format!("It asks for {}; name what it is to have of that.", what.unwrap_or_default());
            name_some(&mut doc, section, key, &note);
        }
    }
    for (section, key, settings) in [
        ("read", "files", &manifest.wants.files_from_settings),
        ("propose", "paths", &manifest.proposes.paths_from_settings),
    ] {
        if !settings.is_empty() {
            let note = format!(
                "It asks for what is named in [settings] under {}; another place stands there and here.",
                settings.join(", ")
            );
            name_some(&mut doc, section, key, &note);
        }
    }
    let mut text = format!(
        "# What {} {} may read and propose on this host; `holdfast plugin list` shows how it is doing.\n\
         # observe, advise, approve or auto: how far its proposals may go.\n{doc}",
        manifest.id, manifest.version
    );
    if !manifest.settings.is_empty() {
        text.push_str("\n# Settings and their defaults; take the sign away to change one.\n# [settings]\n");
        for (key, default) in &manifest.settings {
            // A default may have several lines, and none of them may be more than a comment.
            for line in toml::to_string(&BTreeMap::from([(key, default)])).unwrap_or_default().lines() {
                let _ = writeln!(text, "# {line}");
            }
        }
    }
    text
}

/// The grant for another version: without what that no longer asks for, with `added`, which somebody agreed to, and for its digest
/// where it names one or `pin` says so.
///
/// Errors: the grant cannot be read, or does not fit for another reason.
pub(super) fn upgraded(
    text: &str,
    manifest: &Manifest,
    digest: &str,
    added: &[String],
    pin: bool,
) -> Result<String, String> {
    let mut doc = parse(text)?;
    if pin || doc.contains_key("digest") {
        set(doc.as_table_mut(), "digest", digest);
    }
    for wish in added {
        give(&mut doc, wish);
    }
    for _ in 0..ENTRIES_MAX {
        let grant = Grant::parse(&doc.to_string()).map_err(|error| error.to_string())?;
        match Effective::new(manifest.clone(), grant, digest) {
            Ok(_) => break,
            Err(GrantError::TooMuch { key, what, .. }) => take(&mut doc, key, &what),
            Err(error) => return Err(error.to_string()),
        }
    }
    let mut text = doc.to_string();
    if !added.is_empty() {
        // Not all of it has to be in the lists: a pattern may give it already. So what was agreed to is written down, and the agent,
        // which remembers the text, sees that somebody did.
        text = format!("# Agreed to with {}: {}\n{text}", manifest.version, added.join(", "));
    }
    Ok(text)
}

/// The grant with the plugin switched on or off; `None`: it is so already.
///
/// Errors: the grant cannot be read.
pub fn switched(text: &str, enabled: bool) -> Result<Option<String>, String> {
    let mut doc = parse(text)?;
    let grant = Grant::parse(text).map_err(|error| error.to_string())?;
    if grant.enabled == enabled {
        return Ok(None);
    }
    if enabled {
        doc.remove("enabled");
    } else {
        set(doc.as_table_mut(), "enabled", false);
    }
    Ok(Some(doc.to_string()))
}

fn parse(text: &str) -> Result<DocumentMut, String> {
    text.parse::<DocumentMut>().map_err(|error| error.to_string())
}

/// Sets a value and leaves what stands around it.
fn set(table: &mut dyn TableLike, key: &str, to: impl Into<toml_edit::Value>) {
    let mut fresh: toml_edit::Value = to.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *fresh.decor_mut() = old.decor().clone();
            *old = fresh;
        }
        None => drop(table.insert(key, Item::Value(fresh))),
    }
}

/// `wants.files /etc` as `[read] files`. `None`: nothing that a grant has a place for, as it gives the places that settings name.
fn place(wish: &str) -> Option<(&str, &str, Option<&str>)> {
    let (key, what) = wish.split_once(' ').map_or((wish, None), |(key, what)| (key, Some(what)));
    let (section, key) = key.split_once('.').filter(|(_, key)| !key.ends_with("-from-settings"))?;
    Some((if section == "wants" { "read" } else { "propose" }, key, what))
}

fn give(doc: &mut DocumentMut, wish: &str) {
    let Some((section, key, what)) = place(wish) else { return };
    let section = doc.entry(section).or_insert_with(table);
    let Some(entries) = section.as_table_like_mut() else { return };
    match what {
        None => set(entries, key, true),
        Some(what) => {
            if let Some(list) = entries.entry(key).or_insert_with(|| value(Array::new())).as_array_mut()
                && !list.iter().any(|it| it.as_str() == Some(what))
            {
                list.push(what);
            }
        }
    }
    // Of one line there is nothing to lose, and commas to be put where they belong.
    if let Some(inline) = section.as_inline_table_mut() {
        inline.fmt();
    }
}

/// Says what the operator may write into a list.
fn name_some(doc: &mut DocumentMut, section: &str, key: &str, note: &str) {
    let section = doc.entry(section).or_insert_with(table);
    let Some(entries) = section.as_table_mut() else { return };
    entries.entry(key).or_insert_with(|| value(Array::new()));
    if let Some(mut key) = entries.key_mut(key) {
        let before = key.leaf_decor().prefix().and_then(|it| it.as_str()).unwrap_or_default().to_owned();
        key.leaf_decor_mut().set_prefix(format!("{before}# {note}\n"));
    }
}

/// Takes an entry of a list, or a switch, out.
fn take(doc: &mut DocumentMut, key: &str, what: &str) {
    let Some((section, key)) = key.split_once('.') else { return };
    let Some(section) = doc.get_mut(section).and_then(Item::as_table_like_mut) else { return };
    match section.get_mut(key).and_then(Item::as_array_mut) {
        Some(list) => without(list, what),
        None => drop(section.remove(key)),
    }
}

/// Takes an entry out. A comment behind the entry before it stays: for the parser it stands in front of this one.
fn without(list: &mut Array, what: &str) {
    loop {
        let Some(at) = list.iter().position(|it| it.as_str() == Some(what)) else { return };
        let gone = list.remove(at);
        let Some(comment) = gone.decor().prefix().and_then(|it| it.as_str()).filter(|it| it.contains('#')) else {
            continue;
        };
        match list.get_mut(at) {
            Some(next) => next.decor_mut().set_prefix(comment),
            None => list.set_trailing(comment.trim_end_matches([' ', '\t'])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wishes::gives;
    use super::*;

    const DIGEST: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn manifest(version: &str, more: &str) -> Manifest {
        Manifest::parse(&format!("id = \"x\"\nversion = \"{version}\"\n{more}")).unwrap()
    }

    const WISHES: &str = "[wants]\nfiles = [\"/srv\", \"/etc/app\"]\nmetrics = true\nstate = true\n[proposes]\nactions = [\"restart_unit\"]\nunits = [\"*.service\"]\n[settings]\nkeep = 3\nnames = [\"a\"]\n";

    #[test]
    fn a_first_grant_gives_what_was_asked_for_and_no_more() {
        let manifest = manifest("0.1.0", WISHES);
        insta::assert_snapshot!(fresh(&manifest, Some(DIGEST), false), @r##"
        # What x 0.1.0 may read and propose on this host; `holdfast plugin list` shows how it is doing.
        # observe, advise, approve or auto: how far its proposals may go.
        mode = "advise"
        digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

        [read]
        files = ["/srv", "/etc/app"]
        metrics = true

        [propose]
        actions = ["restart_unit"]
        units = ["*.service"]

        # Settings and their defaults; take the sign away to change one.
        # [settings]
        # keep = 3
        # names = ["a"]
        "##);
        let grant = Grant::parse(&fresh(&manifest, None, false)).unwrap();
        assert_eq!(grant, Grant::everything(&manifest, Mode::Advise));
        Effective::new(manifest.clone(), Grant::parse(&fresh(&manifest, Some(DIGEST), false)).unwrap(), DIGEST)
            .unwrap();
        let nothing =
            Grant::parse(&fresh(&Manifest::parse("id = \"y\"\nversion = \"1.0.0\"\n").unwrap(), None, false)).unwrap();
        assert_eq!(nothing, Grant::default());
    }

    #[test]
    fn what_has_no_bounds_is_named_by_the_operator_or_agreed_to() {
        let wishes =
            "[wants]\nfiles = [\"/\"]\nmetrics = true\n[proposes]\nactions = [\"reclaim_paths\"]\npaths = [\"/**\"]\n";
        let manifest = manifest("0.1.0", wishes);
        insta::assert_snapshot!(fresh(&manifest, None, false), @r##"
        # What x 0.1.0 may read and propose on this host; `holdfast plugin list` shows how it is doing.
        # observe, advise, approve or auto: how far its proposals may go.
        mode = "advise"

        [read]
        # It asks for /; name what it is to have of that.
        files = []
        metrics = true

        [propose]
        actions = ["reclaim_paths"]
        # It asks for /**; name what it is to have of that.
        paths = []
        "##);
        let grant = Grant::parse(&fresh(&manifest, None, false)).unwrap();
        assert!(grant.read.files.is_empty() && grant.propose.paths.is_empty());
        Effective::new(manifest.clone(), grant, DIGEST).unwrap();
        assert_eq!(Grant::parse(&fresh(&manifest, None, true)).unwrap(), Grant::everything(&manifest, Mode::Advise));
        assert_eq!(boundless(&manifest), ["wants.files /", "proposes.paths /**"]);
        // What lies beside it and has bounds is given.
        let some = "[wants]\nfiles = [\"/proc/net/tcp\", \"/proc\"]\n";
        let manifest = Manifest::parse(&format!("id = \"x\"\nversion = \"1.0.0\"\n{some}")).unwrap();
        assert_eq!(Grant::parse(&fresh(&manifest, None, false)).unwrap().read.files, ["/proc/net/tcp"]);
    }

    #[test]
    fn places_that_settings_name_are_given_as_they_are_named_and_another_one_is_the_operators_to_write() {
        let wishes = "[wants]\nfiles = [\"/etc/x\"]\nfiles-from-settings = [\"roots\", \"more\"]\n[proposes]\nactions = [\"reclaim_paths\"]\n\
                      paths-from-settings = [\"more\"]\n[settings]\nroots = [\"/srv/work\"]\nmore = []\n";
        let manifest = manifest("0.1.0", wishes);
        insta::assert_snapshot!(fresh(&manifest, None, false), @r##"
        # What x 0.1.0 may read and propose on this host; `holdfast plugin list` shows how it is doing.
        # observe, advise, approve or auto: how far its proposals may go.
        mode = "advise"

        [read]
        # It asks for what is named in [settings] under roots, more; another place stands there and here.
        files = ["/etc/x", "/srv/work"]

        [propose]
        actions = ["reclaim_paths"]
        # It asks for what is named in [settings] under more; another place stands there and here.
        paths = []

        # Settings and their defaults; take the sign away to change one.
        # [settings]
        # more = []
        # roots = ["/srv/work"]
        "##);
        let grant = Grant::parse(&fresh(&manifest, None, false)).unwrap();
        assert_eq!(grant, Grant::everything(&manifest, Mode::Advise));
        Effective::new(manifest.clone(), grant.clone(), DIGEST).unwrap();
        let (wants, proposes) = gives(&grant, &manifest);
        assert_eq!(manifest.beyond(&wants, &proposes), Vec::<String>::new(), "all of it is given");
        // What was agreed to of that kind is written down, and nothing that no grant knows is put into the lists.
        let added = ["wants.files-from-settings roots", "proposes.paths-from-settings more"].map(str::to_owned);
        let text = upgraded("mode = \"advise\"\n", &manifest, DIGEST, &added, false).unwrap();
        assert_eq!(text, format!("# Agreed to with 0.1.0: {}\nmode = \"advise\"\n", added.join(", ")));
    }

    #[test]
    fn a_default_of_several_lines_stays_a_comment() {
        let more = "[settings]\ntext = \"a\\nmode = 'auto'\\n\"\n\"odd\\nmode = 'auto' #\" = 1\n";
        let text = fresh(&manifest("0.1.0", more), None, false);
        assert_eq!(Grant::parse(&text).unwrap(), Grant { mode: Mode::Advise, ..Grant::default() }, "{text}");
    }

    #[test]
    fn an_upgrade_keeps_what_the_operator_wrote_and_takes_out_what_is_no_longer_asked_for() {
        let text = "# ours\nmode = 'auto' # since May\n\n[read]\nfiles = [\n  \"/srv/a\", # the app\n  \"/etc/app\",\n]\nmetrics = true\n\n[settings]\nkeep = 5\n";
        let newer = manifest("0.2.0", "[wants]\nfiles = [\"/srv\"]\n[settings]\nkeep = 3\n");
        insta::assert_snapshot!(upgraded(text, &newer, DIGEST, &[], false).unwrap(), @r##"
        # ours
        mode = 'auto' # since May

        [read]
        files = [
          "/srv/a", # the app
        ]

        [settings]
        keep = 5
        "##);
        let same = upgraded(text, &manifest("0.2.0", WISHES), DIGEST, &[], false).unwrap();
        assert_eq!(same, text, "nothing to change, nothing changed");
    }

    #[test]
    fn what_somebody_agreed_to_is_given_and_written_down() {
        let text = "mode = \"advise\"\nread = { files = [\"/srv\"] }\n";
        let newer = manifest("0.2.0", WISHES);
        let added = ["wants.files /etc/app", "wants.metrics", "proposes.units *.service"].map(str::to_owned);
        insta::assert_snapshot!(upgraded(text, &newer, DIGEST, &added, true).unwrap(), @r##"
        # Agreed to with 0.2.0: wants.files /etc/app, wants.metrics, proposes.units *.service
        mode = "advise"
        read = { files = ["/srv", "/etc/app"], metrics = true }
        digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

        [propose]
        units = ["*.service"]
        "##);
    }

    #[test]
    fn a_pinned_digest_follows_the_upgrade_and_a_setting_that_is_gone_is_the_operators_to_decide() {
        let newer = manifest("0.2.0", "");
        let text = upgraded("digest = \"sha256:old\" # pinned\n", &newer, DIGEST, &[], false).unwrap();
        assert_eq!(text, format!("digest = \"{DIGEST}\" # pinned\n"));
        let why = upgraded("[settings]\nkeep = 5\n", &newer, DIGEST, &[], false).unwrap_err();
        assert!(why.contains("`keep` is unknown"), "{why}");
        assert!(upgraded("mode = ", &newer, DIGEST, &[], false).is_err());
    }

    #[test]
    fn off_and_on_again_leaves_every_byte_as_it_was() {
        for text in [
            "",
            "mode = \"auto\"\n",
            "# ours\n\nmode = \"auto\"\n\n[read]\nfiles = [] # none\n",
            "# ours\n[read]\nfiles = []\n",
            "mode = \"auto\"",
            "[settings]\nenabled = true\n",
        ] {
            let off = switched(text, false).unwrap().unwrap();
            assert!(!Grant::parse(&off).unwrap().enabled, "{off}");
            assert_eq!(switched(&off, false).unwrap(), None);
            assert_eq!(switched(&off, true).unwrap().unwrap().trim_end(), text.trim_end(), "{off}");
            assert_eq!(switched(text, true).unwrap(), None);
        }
        assert!(switched("mode = ", false).is_err() && switched("unknown = 1\n", false).is_err());
    }
}
