//! What `plugin new` lays, as it lies in the binary: a folder for each language, what they share, and the SDK for Rust.

use holdfast_plugin_build::{COMPONENTIZE_JS, COMPONENTIZE_PY, Language};

/// A file's path and its text.
pub(super) type Files = &'static [(&'static str, &'static str)];

macro_rules! embedded {
    ($base:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../../plugin-sdk/", $base, $file)))),+]
    };
}

/// The same plugin in every language: what it asks for, and the answers that it must give.
pub(super) const COMMON: Files = embedded!("templates/common/":
    "plugin.toml.in", "grant.example.toml.in", "cases/too-large.toml.in", "cases/too-large.expected.json.in",
    "cases/small-enough.toml.in", "cases/small-enough.expected.json.in",
);

const RUST: Files = embedded!("templates/rust/": "Cargo.toml.in", "src/lib.rs.in", "README.md.in", "gitignore.in");

const JAVASCRIPT: Files = embedded!("templates/javascript/":
    "package.json.in", "plugin.js.in", "judge.js.in", "measure.js.in", "judge.test.js.in", "README.md.in", "gitignore.in",
);

const PYTHON: Files = embedded!("templates/python/":
    "requirements.txt.in", "plugin.py.in", "judge.py.in", "measure.py.in", "test_judge.py.in", "README.md.in", "gitignore.in",
);

/// The SDK's sources.
pub(super) const SDK: Files = embedded!("":
    "README.md", "src/anomaly.rs", "src/bindings.rs", "src/export.rs", "src/facts.rs", "src/glob.rs", "src/host/changes.rs", "src/host/clock.rs",
    "src/host/files.rs", "src/host/log.rs", "src/host/metrics.rs", "src/host/mod.rs", "src/host/processes.rs", "src/host/state.rs",
    "src/host/units.rs", "src/lib.rs", "src/measure.rs", "src/path.rs", "src/plan.rs", "src/report.rs", "src/roles.rs", "src/sample.rs", "src/step.rs",
    "src/text.rs",
);

/// The SDK's manifest outside of its workspace.
pub(super) const SDK_MANIFEST: &str = include_str!("../../../../plugin-sdk/templates/sdk.Cargo.toml.in");

/// What is a language's own.
pub(super) fn of(language: Language) -> Files {
    match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::Python => PYTHON,
    }
}

/// What has to be typed once before such a folder builds; each command says itself what it lacks.
pub(super) fn preparation(language: Language) -> &'static [&'static str] {
    match language {
        Language::Rust => &[],
        Language::JavaScript => &["npm install"],
        Language::Python => &["python3 -m venv .venv", ".venv/bin/pip install -r requirements.txt"],
    }
}

/// A file of a folder: where it goes and what it holds.
pub(super) fn filled((file, text): (&str, &str), name: &str, sdk: &str) -> (String, String) {
    let file = if file == "gitignore.in" { ".gitignore" } else { file.trim_end_matches(".in") };
    let fields = [
        ("@NAME@", name),
        ("@SDK@", sdk),
        ("@COMPONENTIZE_JS@", COMPONENTIZE_JS),
        ("@COMPONENTIZE_PY@", COMPONENTIZE_PY),
    ];
    let text = fields.iter().fold(text.to_owned(), |text, (field, value)| text.replace(field, value));
    (file.to_owned(), text)
}
