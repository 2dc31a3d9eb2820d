//! The contract, embedded: plugins are built against the WIT that this binary was made with, wherever it runs.

use std::fs;
use std::path::Path;

use wit_parser::{PackageId, Resolve, SourceMap};

use crate::error::{BuildError, component};

/// What every import and export of a plugin begins with.
pub const PACKAGE: &str = "holdfast:plugin/";

/// The files of `wit/`.
pub const FILES: [(&str, &str); 4] = [
    ("guest.wit", include_str!("../../../wit/guest.wit")),
    ("host.wit", include_str!("../../../wit/host.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// The first agent that plugins of 0.1.x run on.
pub const AGENT_FIRST: (u32, u32, u32) = (0, 1, 0);

/// Functions and interfaces that were added to 0.1.x after its first release, with the agent that knows them first:
/// `("files", Some("read-tail"), (0, 2, 0))`, or `None` for a whole interface. There are none yet.
const ADDED: &[Added<'_>] = &[];

/// Interface, function (`None`: all of it), and the first agent that knows it.
type Added<'a> = (&'a str, Option<&'a str>, (u32, u32, u32));

/// The lowest agent that knows all of these functions, given as interface (`files`) and name.
pub(crate) fn agent_min<'a>(used: impl IntoIterator<Item = (&'a str, &'a str)>) -> (u32, u32, u32) {
    lowest(ADDED, used)
}

fn lowest<'a>(added: &[Added<'_>], used: impl IntoIterator<Item = (&'a str, &'a str)>) -> (u32, u32, u32) {
    let needs = |(interface, function): (&str, &str)| {
        let fits = |(name, only, _): &&Added<'_>| *name == interface && only.is_none_or(|only| only == function);
        added.iter().filter(fits).map(|(_, _, agent)| *agent).max()
    };
    used.into_iter().filter_map(needs).max().unwrap_or(AGENT_FIRST).max(AGENT_FIRST)
}

/// The package, resolved.
pub(crate) fn resolve() -> Result<(Resolve, PackageId), BuildError> {
    let mut sources = SourceMap::default();
    for (name, text) in FILES {
        sources.push_str(name, text);
    }
    let group = sources.parse().map_err(|(_, error)| component("the embedded WIT cannot be read", &error))?;
    let mut resolve = Resolve::default();
    let package =
        resolve.push_group(group).map_err(|error| component("the embedded WIT does not hold together", &error))?;
    Ok((resolve, package))
}

/// Writes the WIT files into a directory, for the tools of other languages.
pub(crate) fn write(dir: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(dir).map_err(|source| BuildError::Write { path: dir.to_owned(), source })?;
    for (name, text) in FILES {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| BuildError::Write { path, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_embedded_is_what_lies_in_the_repository() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        let mut there: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.strip_suffix(".wit").is_some())
            .collect();
        there.sort();
        assert_eq!(there, FILES.map(|(name, _)| name.to_owned()));
        resolve().unwrap();
    }

    #[test]
    fn a_function_that_came_later_asks_for_a_later_agent() {
        let added = [("files", Some("read-tail"), (0, 2, 0)), ("sensors", None, (0, 3, 0))];
        let check =
            |used: &[(&str, &str)], wanted| assert_eq!(lowest(&added, used.iter().copied()), wanted, "{used:?}");
        check(&[], (0, 1, 0));
        check(&[("files", "read")], (0, 1, 0));
        check(&[("files", "read-tail"), ("files", "read")], (0, 2, 0));
        check(&[("files", "read-tail"), ("sensors", "anything")], (0, 3, 0));
    }
}
