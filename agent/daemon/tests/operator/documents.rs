//! What the commands print, as text and as JSON: the fields are a contract with scripts.

use super::*;

/// What differs from run to run is cut out.
fn settled(host: &Host, text: &str) -> String {
    let text = text.replace(host.dir.path().to_str().unwrap(), "HOST");
    let id = host.says(&["plugin", "verify", &host.text("in/first.wasm")], 0);
    let id = id.split("trusted key ").nth(1).unwrap().split(':').next().unwrap().to_owned();
    let mut out = String::new();
    for line in text.replace(&id, "KEY").lines() {
        let line = match line.split_once(" at 20") {
            Some((start, rest)) => format!("{start} at TIME{}", &rest[rest.find(['"', ' ']).unwrap_or(rest.len())..]),
            None => line.to_owned(),
        };
        // The size is the compiler's business.
        let line = match line.rsplit_once(", ").filter(|_| line.starts_with("source ")) {
            Some((start, _)) => format!("{start}, SIZE"),
            None if line.starts_with("  \"bytes\": ") => "  \"bytes\": SIZE,".to_owned(),
            None => line,
        };
        let digest = line.split(|c: char| !c.is_ascii_hexdigit()).find(|word| word.len() == 64);
        out += &(digest.map_or(line.clone(), |digest| line.replace(digest, "DIGEST")) + "\n");
    }
    out
}

#[test]
fn each_verb_has_its_text_and_its_document() {
    let host = Host::new();
    let first = host.file("first", &component("x", "0.1.0", FIRST), Some("ours"));
    let wider = host.file("wider", &component("x", "0.2.0", WIDER), Some("ours"));
    let mut all = String::new();
    for args in [
        &["plugin", "install", &first, "--yes"][..],
        &["plugin", "install", &wider, "--dry-run"],
        &["plugin", "disable", "x"],
        &["plugin", "enable", "x"],
        &["plugin", "remove", "x", "--yes"],
    ] {
        for format in ["text", "json"] {
            let ran = host.run(&[args, &["--format", format]].concat());
            assert!(ran.status.success(), "{ran:?}");
            let printed = String::from_utf8(ran.stdout).unwrap();
            all.extend(["$ ", &args.join(" "), "\n", &printed, "\n"]);
            if args[1] != "install" {
                // Done by now: so that the document tells of the same as the text.
                let back = match args[1] {
                    "disable" => vec!["plugin", "enable", "x"],
                    "enable" => vec!["plugin", "disable", "x"],
                    _ => vec!["plugin", "install", first.as_str(), "--yes"],
                };
                if format == "text" {
                    host.says(&back, 0);
                }
            }
        }
    }
    insta::assert_snapshot!(settled(&host, &all));
}
