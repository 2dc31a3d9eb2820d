//! Debian's minisign and our signatures: each reads the other's keys and signatures.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use holdfast_tests::{agent, program, root};

fn works(dir: &Path, name: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Result<()> {
    let ran = program(name).current_dir(dir).args(args).output()?;
    ensure!(ran.status.success(), "{}: {}", args.join(" "), String::from_utf8_lossy(&ran.stderr));
    Ok(())
}

#[test]
fn the_minisign_tool_and_this_command_read_each_others_keys_and_signatures() -> Result<()> {
    let (dir, ours) = (tempfile::tempdir()?, agent()?);
    let it = dir.path();
    fs::write(it.join("holdfast.toml"), "")?;
    let built = root().join("target/plugins/unit-medic.wasm");
    fs::copy(&built, it.join("x.wasm")).with_context(|| format!("{}\nhint: cargo xtask guests", built.display()))?;
    let holdfast = |args: &[&str]| {
        let all: Vec<&str> = ["--config", "holdfast.toml", "plugin"].iter().chain(args).copied().collect();
        works(it, &ours, &all)
    };
    holdfast(&["keygen", "ours.key", "--no-password"])?;
    holdfast(&["sign", "x.wasm", "-k", "ours.key", "--no-password"])?;
    works(it, "minisign", &["-V", "-p", "ours.key.pub", "-m", "x.wasm"])?;
    works(it, "minisign", &["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"])?;
    works(it, "minisign", &["-S", "-s", "theirs.key", "-m", "x.wasm"])?;
    holdfast(&["verify", "x.wasm", "-k", "theirs.pub"])
}
