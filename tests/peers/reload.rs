//! A reload: receivers and destinations come, move and go while the agent runs. Another agent is the destination.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_tests::free_address;
use serde_json::Value;

use crate::agent::Agent;

const WITHIN: Duration = Duration::from_mins(1);

#[test]
fn a_reload_begins_and_ends_receivers_and_destinations_and_loses_nothing() -> Result<()> {
    let (first, second, own) = (free_address()?, free_address()?, free_address()?);
    let mut far = Agent::start(&format!("[ingest]\notlp-http = \"{first}\"\n"))?;
    let mut near = Agent::start("")?;
    ensure!(near.ask(&["status"])?["exports"] == Value::Array(Vec::new()), "nothing is sent anywhere yet");

    // A destination and a receiver, from now on; what was measured before goes out, too.
    let sends = |to: &str, interval: &str| {
        format!(
            "[[export.otlp]]\nname = \"far\"\nendpoint = \"http://{to}\"\ninterval = \"{interval}\"\nstreams = [\"metrics\"]\n"
        )
    };
    near.reload(&format!("{}[ingest]\notlp-http = \"{own}\"\n", sends(&first, "1s")))?;
    near.until("the receiver listens", WITHIN, |it| {
        Ok(it.receiver("otlp-http").ok().filter(|it| it["address"] == own && it["failing"].is_null()))
    })?;
    let sent = near.until("three requests were accepted", WITHIN, |it| {
        let taken = far.receiver("otlp-http")?["requests"].as_u64();
        if taken.is_some_and(|n| n >= 3) { export(it).map(Some) } else { Ok(None) }
    })?;
    ensure!(sent["streams"]["metrics"]["sent"].as_u64() > Some(0), "{sent}");

    // The destination moves; the position stays, so no tick is sent twice or left out.
    far.reload(&format!("[ingest]\notlp-http = \"{second}\"\n"))?;
    far.until("it listens elsewhere", WITHIN, |it| Ok((it.receiver("otlp-http")?["address"] == second).then_some(())))?;
    near.reload(&sends(&second, "2s"))?;
    let moved = near.until("it is sent there", WITHIN, |it| {
        let export = export(it)?;
        let there = export["endpoint"] == format!("http://{second}");
        Ok((there && export["streams"]["metrics"]["sent"].as_u64() > Some(0)).then_some(export))
    })?;
    let position = |of: &Value| of["streams"]["metrics"]["position"].as_u64().context("a position");
    ensure!(position(&moved)? > position(&sent)?, "{sent} {moved}");
    let skipped = |of: &Value| of["streams"]["metrics"]["skipped"].clone();
    ensure!((skipped(&moved), skipped(&sent)) == (0.into(), 0.into()), "{sent} {moved}");
    ensure!(near.ask(&["status"])?["receivers"] == Value::Array(Vec::new()), "the receiver is gone");

    // A mistake alters nothing.
    near.reload("[[export.otlp]]\nendpoint = \"nowhere\"\n")?;
    near.until("the log says it", WITHIN, |it| Ok(it.log().contains("Reload failed").then_some(())))?;
    ensure!(export(&near)?["endpoint"] == format!("http://{second}"), "it is sent there still");
    near.reload("")?;
    near.until("nothing is sent any more", WITHIN, |it| {
        Ok((it.ask(&["status"])?["exports"] == Value::Array(Vec::new())).then_some(()))
    })
}

fn export(of: &Agent) -> Result<Value> {
    of.ask(&["status"])?["exports"].get(0).cloned().context("there is a destination")
}
