//! The author's way in every language, as a newcomer goes it: the commands of the SDK's README as they stand there, in an empty folder,
//! with the real tools from npm and `PyPI`; then the component is signed, installed and run by a real agent: `cargo xtask authors [LANGUAGE]`.

mod harness;
mod terminal;

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use harness::{Author, Step, block, blocks, steps};
use holdfast_tests::{Host, now};

/// `alone`: how the decision is tested without a host.
fn whole_way(language: &str, alone: &str) -> Result<()> {
    let author = Author::new()?;
    let commands = block(language)?;
    let said = author.shell(&commands)?;
    ensure!(said.contains("2 passed, 0 failed"), "{commands}\n{said}");
    author.in_folder(alone)?;

    // Another change than the template's: what it may read, and a version.
    let host = Host::new()?;
    let watched = host.path("logs");
    fs::create_dir(&watched)?;
    let manifest = author.path("log-size/plugin.toml");
    let text = fs::read_to_string(&manifest)?.replace("/var/log", &watched.display().to_string());
    fs::write(&manifest, text)?;
    let built = author.in_folder("holdfast plugin build --format json")?;
    let built: serde_json::Value = serde_json::from_str(&built).with_context(|| format!("no document: {built}"))?;
    ensure!(built["language"] == language && built["manifest"]["roles"][0] == "check", "{built}");
    for name in built["imports"].as_array().context("no imports")? {
        ensure!(name.as_str().is_some_and(|it| it.starts_with("holdfast:plugin/")), "it imports {name}");
    }

    let file = author.path("log-size/target/plugins/log-size.wasm").display().to_string();
    let text = host.says(&["plugin", "install", &file, "--yes"], 5)?;
    ensure!(text.contains("it is not signed"), "{text}");
    host.sign(&file, "ours")?;
    let agent = host.start()?;
    let done = host.json(&["plugin", "install", &file, "--yes", "--wait", "3m"], 0)?;
    ensure!(done["agent"]["state"] == "ready", "{done}");

    let log = watched.join("app.log");
    host.says(&["plugin", "run", "log-size"], 0)?;
    fs::File::create(&log)?.set_len(200 << 20)?;
    let answer = host.json(&["plugin", "run", "log-size"], 1)?;
    let found = &answer["detections"][0];
    ensure!(found["kind"] == "file.too_large" && found["target"]["name"] == log.display().to_string(), "{answer}");
    ensure!(found["title"].as_str().is_some_and(|it| it.ends_with("has grown to 200.00 MiB")), "{answer}");
    // A link out of what it was granted is not followed, and is not "fine" either.
    fs::remove_file(&log)?;
    std::os::unix::fs::symlink("/etc", watched.join("away"))?;
    let grant = host.path("plugins.d/log-size.toml");
    let away = watched.join("away/passwd").display().to_string();
    fs::write(&grant, format!("{}\n[settings]\nfiles = [{away:?}]\n", fs::read_to_string(&grant)?))?;
    let answer = host.until(&["plugin", "run", "log-size"], 0, |it| it["skipped"][0].is_object())?;
    ensure!(answer["skipped"][0]["reason"].as_str().is_some_and(|it| it.contains("denied")), "{answer}");
    drop(agent);
    Ok(())
}

/// What the SDK's README promises.
const TEN_MINUTES: Duration = Duration::from_mins(10);

#[test]
fn a_newcomer_is_through_the_tutorial_in_ten_minutes_typing_what_stands_there_and_nothing_else() -> Result<()> {
    let author = Author::newcomer()?;
    let (begun, mut folder) = (now(), "");
    let (mut typed, mut written) = (0, 0);
    for step in steps()? {
        match step {
            Step::File { path, text } => {
                fs::write(author.path("log-size").join(&path), text).with_context(|| path)?;
                written += 1;
            }
            // Other languages have tests of their own, and registries a suite.
            Step::Shell(commands) if commands.contains("--language") || commands.contains("oci://") => {}
            Step::Shell(commands) => {
                let from = now();
                let said = author.shell(&format!("{folder}{commands}"))?;
                let verified = !commands.contains("plugin verify") || said.contains("is signed by the trusted");
                ensure!(verified, "{commands}: {said}");
                let blessed = !commands.contains("--bless") || said.contains("3 passed, 0 failed");
                ensure!(blessed, "{commands}: {said}");
                tell(&commands, from.elapsed())?;
                if commands.contains("cd log-size") {
                    folder = "cd log-size\n";
                }
                typed += 1;
            }
        }
    }
    ensure!((typed, written) == (5, 1), "{typed} lists of commands and {written} files were tried");
    tell("the tutorial", begun.elapsed())?;
    ensure!(begun.elapsed() < TEN_MINUTES, "nobody is through this in ten minutes");
    Ok(())
}

/// Past the test harness, which keeps what tests print to itself: how long it took is wanted of those that went well too.
fn tell(what: &str, took: Duration) -> Result<()> {
    let first = what.lines().next().unwrap_or_default();
    writeln!(std::io::stderr(), "{:>8.1} s  {first}", took.as_secs_f64())?;
    Ok(())
}

#[test]
fn what_a_new_folder_says_to_type_next_stands_in_the_readme() -> Result<()> {
    let author = Author::new()?;
    for language in ["rust", "javascript", "python"] {
        let said = author.shell(&format!("holdfast plugin new {language} --language {language}"))?;
        let next: Vec<&str> = said.lines().map(str::trim).filter(|line| line.starts_with("holdfast ")).collect();
        ensure!(!next.is_empty(), "nothing to type next: {said}");
        let known = blocks()?.concat();
        for line in next {
            let command = line.split("  ").next().unwrap_or_default().replace(language, "log-size");
            ensure!(known.lines().any(|it| it.starts_with(&command)), "`{command}` is not in the README");
        }
    }
    Ok(())
}

#[test]
fn rust_from_an_empty_folder_to_a_report_of_the_agent() -> Result<()> {
    whole_way("rust", "cargo test --quiet")
}

#[test]
fn javascript_from_an_empty_folder_to_a_report_of_the_agent() -> Result<()> {
    whole_way("javascript", "node --test")
}

#[test]
fn python_from_an_empty_folder_to_a_report_of_the_agent() -> Result<()> {
    whole_way("python", ".venv/bin/python -m unittest")
}

#[test]
fn a_tool_that_is_missing_is_named_with_the_command_that_brings_it() -> Result<()> {
    for (language, program, wanted) in [
        ("rust", "`cargo` is not installed", "https://rustup.rs"),
        ("javascript", "`componentize-js` is not installed", "`npm install`"),
        ("python", "`componentize-py` is not installed", ".venv/bin/pip install -r requirements.txt"),
    ] {
        let author = Author::without_tools()?;
        author.shell(&format!("holdfast plugin new log-size --language {language}"))?;
        let text = author.fails("cd log-size; holdfast plugin build")?;
        ensure!(text.contains(program) && text.contains(wanted) && text.contains("hint: "), "{language}: {text}");
    }
    Ok(())
}

#[test]
fn an_exception_that_nobody_expected_says_its_words() -> Result<()> {
    for (language, file, from, to, wanted) in [
        ("javascript", "plugin.js", "const report = {", "null.boom; const report = {", "TypeError"),
        ("python", "plugin.py", "report = check.Report(", "report = {}['boom'](", "KeyError: 'boom' at /0/plugin.py:"),
    ] {
        let author = Author::new()?;
        let commands = block(language)?;
        let until = commands.lines().take_while(|line| !line.starts_with("holdfast plugin test")).collect::<Vec<_>>();
        author.shell(&until.join("\n"))?;
        let source = author.path("log-size").join(file);
        let text = fs::read_to_string(&source)?;
        ensure!(text.contains(from), "{file} reads otherwise");
        fs::write(&source, text.replacen(from, to, 1))?;
        let text = author.fails("cd log-size; holdfast plugin test --case too-large")?;
        ensure!(text.contains("the plugin broke off, saying: ") && text.contains(wanted), "{language}: {text}");
    }
    Ok(())
}
