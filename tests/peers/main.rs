//! Programs of others and the real agent: `cargo xtask peers [FILTER]`.
//!
//! The agent is the built binary, as an ordinary user would start it, with its receivers on loopback. What speaks with it are
//! the Python SDK of OpenTelemetry, Prometheus and its linter, minisign, another agent, and somebody who means it ill.

#![expect(clippy::print_stdout, reason = "suites say what they measured")]

mod agent;
mod exposition;
mod flood;
mod killed;
mod minisign;
mod post;
mod python;
mod reload;
mod scrape;
