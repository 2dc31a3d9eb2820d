//! The contract: what is released never changes, what is built now only adds to it, and each released version has its hostile guest.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use support::RELEASED;
use wit_parser::{Resolve, Type, TypeDefKind, TypeId};

fn wit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")
}

/// SHA-256 of the released files. None of them is ever edited: a change is a new version beside it.
const DIGESTS: [(&str, &str); 4] = [
    ("0.1.0/guest.wit", "c74f7a43686aa1b09001ae2d5fa0bcbf833657790e4f6c8658b840005e512664"),
    ("0.1.0/host.wit", "af6c60c9bc45ab2ee42f54149c78dabde301c77a5fea4ec6451977b2dba9c3e0"),
    ("0.1.0/types.wit", "9941734252b4958a31439eacd37e9c3360090bcdda8c2e94ae9fb3c4ca44cf0d"),
    ("0.1.0/worlds.wit", "f4d6f27c86ff955fe08f0e6d69b8442586a8b4da5cc8c2551403f75918c2c2ca"),
];

#[test]
fn what_was_released_is_what_it_was() {
    for (file, digest) in DIGESTS {
        let bytes = std::fs::read(wit().join("released").join(file)).unwrap();
        let found = holdfast_core::model::plan::hex(&Sha256::digest(&bytes));
        assert_eq!(found, digest, "wit/released/{file} was edited: plugins out there were built against it");
    }
}

#[test]
fn every_released_version_is_known_here_and_has_a_hostile_guest() {
    let mut found: Vec<String> = std::fs::read_dir(wit().join("released"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, RELEASED.map(|(version, _)| version.to_owned()));
    for (version, guest) in RELEASED {
        let bytes = support::guest(guest);
        let import = format!("holdfast:plugin/files@{version}");
        assert!(
            bytes.windows(import.len()).any(|at| at == import.as_bytes()),
            "{guest} is not built against {version}"
        );
    }
}

/// Every function and every type, by interface and name, spelled out to the last field.
fn shapes(dir: &Path) -> BTreeMap<String, String> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(dir).unwrap();
    let mut shapes = BTreeMap::new();
    for (name, interface) in &resolve.packages[package].interfaces {
        let interface = &resolve.interfaces[*interface];
        for (item, id) in &interface.types {
            shapes.insert(format!("{name}.{item}"), of_type(&resolve, *id));
        }
        for (item, function) in &interface.functions {
            let params: Vec<String> =
                function.params.iter().map(|param| format!("{}: {}", param.name, of(&resolve, &param.ty))).collect();
            let result = function.result.as_ref().map_or_else(String::new, |ty| of(&resolve, ty));
            shapes.insert(format!("{name}.{item}()"), format!("({}) -> {result}", params.join(", ")));
        }
    }
    shapes
}

fn of(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => of_type(resolve, *id),
        other => format!("{other:?}"),
    }
}

fn of_type(resolve: &Resolve, id: TypeId) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| of(resolve, ty));
    match &resolve.types[id].kind {
        TypeDefKind::Record(it) => {
            let fields: Vec<String> = it.fields.iter().map(|f| format!("{}: {}", f.name, of(resolve, &f.ty))).collect();
            format!("record {{{}}}", fields.join(", "))
        }
        TypeDefKind::Variant(it) => {
            let cases: Vec<String> = it.cases.iter().map(|c| format!("{}({})", c.name, optional(&c.ty))).collect();
            format!("variant {{{}}}", cases.join(", "))
        }
        TypeDefKind::Enum(it) => {
            format!("enum {{{}}}", it.cases.iter().map(|c| c.name.clone()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Tuple(it) => {
            format!("({})", it.types.iter().map(|ty| of(resolve, ty)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Option(ty) => format!("option<{}>", of(resolve, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", of(resolve, ty)),
        TypeDefKind::Result(it) => format!("result<{}, {}>", optional(&it.ok), optional(&it.err)),
        TypeDefKind::Type(ty) => of(resolve, ty),
        TypeDefKind::Resource => format!("resource {}", resolve.types[id].name.clone().unwrap_or_default()),
        TypeDefKind::Handle(it) => format!("{it:?}").chars().filter(|c| !c.is_ascii_digit()).collect(),
        other => panic!("spell out {other:?}"),
    }
}

#[test]
fn todays_contract_holds_everything_that_was_released_as_it_was() {
    let now = shapes(&wit());
    for (version, _) in RELEASED {
        let before = shapes(&wit().join("released").join(version));
        assert!(before.len() > 40, "{before:?}");
        for (name, shape) in before {
            assert_eq!(now.get(&name), Some(&shape), "{name} of {version}");
        }
    }
}

#[test]
fn a_field_more_is_another_shape() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["types", "host", "guest", "worlds"] {
        let text = std::fs::read_to_string(wit().join(format!("{file}.wit"))).unwrap();
        let text = text.replace(
            "record label { key: string, value: string }",
            "record label { key: string, value: string, more: u8 }",
        );
        std::fs::write(dir.path().join(format!("{file}.wit")), text).unwrap();
    }
    let (now, then) = (shapes(&wit()), shapes(dir.path()));
    assert_ne!(now["types.label"], then["types.label"]);
    assert_ne!(now["log.log()"], then["log.log()"]);
}
