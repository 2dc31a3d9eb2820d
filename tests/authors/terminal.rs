//! What an operator sees and says at a terminal. The real program has one: a pseudoterminal, on which a question is awaited and answered.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use holdfast_tests::{Host, agent, program};

use crate::harness::Author;

/// Answers each question with the next of its words; ends as the program does, and with 124 when nothing comes for two minutes.
const PERSON: &str = r"
import os, pty, select, sys
answers, argv = sys.argv[1].split(','), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execv(argv[0], argv)
seen = b''
while True:
    if not select.select([terminal], [], [], 120)[0]:
        os.kill(pid, 9)
        sys.stdout.buffer.write(seen)
        sys.exit(124)
    try:
        piece = os.read(terminal, 4096)
    except OSError:
        break
    if not piece:
        break
    seen += piece
    if seen.endswith(b'[y/N] '):
        os.write(terminal, answers.pop(0).encode() + b'\n')
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
";

/// What stood on the terminal, line ends as files have them. The program must end with `code`, and every answer must have been asked for.
fn at_a_terminal(host: &Host, args: &[&str], answers: &[&str], code: i32) -> Result<String> {
    let mut person = program("python3");
    person.args(["-c", PERSON, &answers.join(",")]).arg(agent()?).arg("--config").arg(host.path("holdfast.toml"));
    person.args(args).env("NO_COLOR", "1").env("TERM", "xterm").env("COLUMNS", "200").env_remove("HOLDFAST_SOCKET");
    let ran = person.output().context("no python3\nhint: apt-get install -y python3")?;
    let seen = String::from_utf8_lossy(&ran.stdout).replace("\r\n", "\n");
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.code() == Some(code), "holdfast {} ended with {}: {seen}{said}", args.join(" "), ran.status);
    let asked = seen.matches("[y/N] ").count();
    ensure!(asked == answers.len(), "{asked} questions for {} answers: {seen}", answers.len());
    Ok(seen)
}

/// A plugin of an author's, built with another version and other wishes, signed by the key that the host trusts.
fn built(host: &Host, author: &Author, name: &str, version: &str, wants: &str) -> Result<String> {
    let manifest = author.path(&format!("{name}/plugin.toml"));
    let text = fs::read_to_string(&manifest)?;
    let (head, rest) = text.split_once("[wants]\n").context("a template that wants nothing")?;
    let rest = rest.split_once("\n[").map(|(_, rest)| rest).context("a template without settings")?;
    let head: Vec<String> = head
        .lines()
        .map(|line| if line.starts_with("version") { format!("version = \"{version}\"") } else { line.to_owned() })
        .collect();
    fs::write(&manifest, format!("{}\n[wants]\n{wants}\n\n[{rest}", head.join("\n")))?;
    author.shell(&format!("cd {name}\nholdfast plugin build"))?;
    let file = host.path(&format!("{name}-{version}.wasm"));
    fs::copy(author.path(&format!("{name}/target/plugins/{name}.wasm")), &file)?;
    let file = file.display().to_string();
    host.sign(&file, "ours")?;
    Ok(file)
}

fn lacks(host: &Host, names: &[&str]) -> Result<()> {
    for name in names {
        if host.path(name).exists() {
            bail!("{name} is there");
        }
    }
    Ok(())
}

#[test]
fn a_no_at_the_terminal_changes_nothing_and_a_yes_installs_what_was_shown() -> Result<()> {
    let (host, author) = (Host::new()?, Author::new()?);
    author.shell("holdfast plugin new log-size")?;
    let first = built(&host, &author, "log-size", "0.1.0", "files = [\"/var/log\"]")?;
    let install = ["plugin", "install", first.as_str()];

    // Whatever is not a yes is a no, silence too.
    for answer in ["n", "", "yess"] {
        let seen = at_a_terminal(&host, &install, &[answer], 1)?;
        ensure!(seen.contains("wants.files /var/log\n"), "what it asks for is shown: {seen}");
        ensure!(
            seen.contains("signed by the trusted key") && seen.contains("Install log-size 0.1.0? [y/N] "),
            "{seen}"
        );
        ensure!(seen.contains("error: nothing was installed"), "{seen}");
        lacks(&host, &["plugins/log-size.wasm", "plugins/log-size.wasm.minisig", "plugins.d/log-size.toml"])?;
    }
    let seen = at_a_terminal(&host, &install, &["y"], 0)?;
    ensure!(seen.contains("Installed. "), "{seen}");
    ensure!(seen.matches("wants.files /var/log\n").count() == 1, "what was shown is not shown again: {seen}");
    let (component, grant) = (host.path("plugins/log-size.wasm"), host.path("plugins.d/log-size.toml"));
    let before = (fs::read(&component)?, fs::read_to_string(&grant)?);
    ensure!(before.0 == fs::read(&first)? && before.1.contains("files = [\"/var/log\"]"), "{}", before.1);
    // The same again alters nothing, so nobody is asked.
    let seen = at_a_terminal(&host, &install, &[], 0)?;
    ensure!(seen.contains("Everything was so already"), "{seen}");

    // An upgrade that asks for more: the difference stands on the terminal, in the list and in the question.
    let wider = built(&host, &author, "log-size", "0.2.0", "files = [\"/var/log\", \"/etc/app\"]\nmetrics = true")?;
    let install = ["plugin", "install", wider.as_str()];
    let question = "log-size 0.2.0 asks for more than before: wants.files /etc/app, wants.metrics. Grant it that, and install it? [y/N] ";
    let seen = at_a_terminal(&host, &install, &["n"], 1)?;
    for line in [
        "wants.files /var/log\n",
        "wants.files /etc/app  + more than before\n",
        "wants.metrics  + more than before\n",
        question,
    ] {
        ensure!(seen.contains(line), "no `{line}` in {seen}");
    }
    ensure!(seen.contains("replaces 0.1.0"), "{seen}");
    ensure!((fs::read(&component)?, fs::read_to_string(&grant)?) == before, "a no has altered something");
    at_a_terminal(&host, &install, &["yes"], 0)?;
    let text = fs::read_to_string(&grant)?;
    ensure!(fs::read(&component)? == fs::read(&wider)?, "it was not placed");
    ensure!(text.starts_with("# Agreed to with 0.2.0: wants.files /etc/app, wants.metrics\n"), "{text}");
    ensure!(text.contains("\"/etc/app\"") && text.contains("metrics = true"), "{text}");

    // To take it away is a question too.
    at_a_terminal(&host, &["plugin", "remove", "log-size"], &["n"], 1)?;
    ensure!(component.exists(), "a no has taken it away");
    at_a_terminal(&host, &["plugin", "remove", "log-size"], &["y"], 0)?;
    lacks(&host, &["plugins/log-size.wasm", "plugins/log-size.wasm.minisig"])
}

#[test]
fn each_component_of_a_folder_is_asked_about_and_only_what_was_wanted_is_placed() -> Result<()> {
    let (host, author) = (Host::new()?, Author::new()?);
    let copy = host.path("copy");
    fs::create_dir(&copy)?;
    for name in ["log-size", "log-other"] {
        author.shell(&format!("holdfast plugin new {name}"))?;
        let file = built(&host, &author, name, "0.1.0", "files = [\"/var/log\"]")?;
        for ending in ["", ".minisig"] {
            fs::copy(format!("{file}{ending}"), copy.join(format!("{name}.wasm{ending}")))?;
        }
    }
    let copy = copy.display().to_string();
    let install = ["plugin", "install", copy.as_str()];
    let seen = at_a_terminal(&host, &install, &["n", "n"], 1)?;
    ensure!(seen.contains("error: nothing was installed"), "{seen}");
    lacks(&host, &["plugins", "plugins.d"])?;
    // By name: log-other first.
    let seen = at_a_terminal(&host, &install, &["n", "y"], 0)?;
    ensure!(
        seen.contains("Install log-other 0.1.0? [y/N] n") && seen.contains("log-other 0.1.0 was left out"),
        "{seen}"
    );
    ensure!(seen.contains("log-size 0.1.0: Installed. "), "{seen}");
    lacks(&host, &["plugins/log-other.wasm", "plugins.d/log-other.toml"])?;
    ensure!(host.path("plugins/log-size.wasm").is_file(), "it was not placed");
    Ok(())
}
