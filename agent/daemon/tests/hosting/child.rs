//! The child that compiles has given up everything before it reads a byte.

use super::*;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

#[expect(clippy::disallowed_methods, reason = "the test is the parent")]
fn child() -> Child {
    Command::new(BINARY)
        .args(["compile-plugin", "--cpu-seconds=60", "--memory-bytes=536870912"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the child has nothing left to give up: it reads.
fn confined(pid: u32) -> (String, String) {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    for _ in 0..1_000 {
        let status = read("status");
        if status.contains("NoNewPrivs:\t1") && status.contains("CapPrm:\t0000000000000000") {
            return (read("limits"), status);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it has not confined itself: {}", read("status"));
}

#[test]
fn it_has_no_capability_no_descriptor_to_spare_and_limits_on_everything() {
    let mut child = child();
    let (limits, status) = confined(child.id());
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {limits}"));
        line[name.len()..].split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max cpu time"), ["60", "61"]);
    assert_eq!(limit("Max address space"), ["536870912", "536870912"]);
    for (name, most) in
        [("Max file size", "0"), ("Max open files", "0"), ("Max processes", "0"), ("Max core file size", "0")]
    {
        assert_eq!(limit(name), [most, most], "{name}");
    }
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");
    assert_eq!(std::fs::read(format!("/proc/{}/environ", child.id())).unwrap_or_default(), b"");
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn it_says_in_one_sentence_what_it_will_not_compile() {
    for (component, wanted) in [
        (b"#!/bin/sh\n".as_slice(), "error: the file is not WebAssembly"),
        (b"\0asm\x01\0\0\0", "error: the file is a core WebAssembly module, not a component"),
        (b"\0asm\x0d\0\x01\0\xff", "error: the component is"),
    ] {
        let mut child = child();
        let asked = [[9; 32].as_slice(), component].concat();
        child.stdin.take().unwrap().write_all(&asked).unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(said.starts_with(wanted) && said.lines().count() == 1, "{said}");
    }
}
