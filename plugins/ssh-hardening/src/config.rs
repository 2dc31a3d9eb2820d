//! sshd's configuration as sshd reads it. Pure: files come through a function.
//!
//! Of a keyword the first value counts. A `Match` block goes on to the next `Match`, or to the end of the file that it began in; what
//! stands in it overrides the global value for the connections that it is about. `Include` reads other files in its place.

use holdfast_plugin_sdk::Error;

/// sshd's own bound.
const INCLUDE_DEPTH_MAX: usize = 16;

/// One line that sets something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// In small letters, today's name: `permitrootlogin`.
    pub keyword: String,
    /// The rest, without quotes.
    pub value: String,
    /// `/etc/ssh/sshd_config:12`
    pub place: String,
    /// The criteria of its `Match` block.
    pub block: Option<String>,
}

/// Where files come from.
pub trait Source {
    /// A file's text; `None`: there is none.
    fn read(&mut self, path: &str) -> Result<Option<String>, Error>;
    /// Files that a pattern names, in order; none is no error.
    fn expand(&mut self, pattern: &str) -> Result<Vec<String>, Error>;
}

/// All lines in the order in which sshd meets them; `None`: there is no such file.
pub fn lines(source: &mut impl Source, path: &str) -> Result<Option<Vec<Line>>, Error> {
    let mut out = Vec::new();
    let Some(text) = source.read(path)? else { return Ok(None) };
    file(source, path, &text, None, 0, &mut out)?;
    Ok(Some(out))
}

fn file(
    source: &mut impl Source,
    path: &str,
    text: &str,
    outer: Option<&str>,
    depth: usize,
    out: &mut Vec<Line>,
) -> Result<(), Error> {
    if depth > INCLUDE_DEPTH_MAX {
        return Err(Error::Invalid(format!(
            "{path}: included more than {INCLUDE_DEPTH_MAX} deep; sshd would not start"
        )));
    }
    let mut block = outer.map(str::to_owned);
    for (at, line) in text.lines().enumerate() {
        let Some((keyword, words)) = words(line) else { continue };
        match keyword.as_str() {
            "match" => {
                let criteria = words.join(" ");
                block = Some(match outer {
                    Some(outer) => format!("{outer} and {criteria}"),
                    None => criteria,
                });
            }
            "include" => {
                for pattern in &words {
                    let pattern =
                        if pattern.starts_with('/') { pattern.clone() } else { format!("/etc/ssh/{pattern}") };
                    for included in source.expand(&pattern)? {
                        if let Some(text) = source.read(&included)? {
                            file(source, &included, &text, block.as_deref(), depth + 1, out)?;
                        }
                    }
                }
            }
            _ => out.push(Line {
                keyword: today(&keyword).to_owned(),
                value: words.join(" "),
                place: format!("{path}:{}", at + 1),
                // `Match all` is about everybody, but comes after what is global.
                block: block.clone(),
            }),
        }
    }
    Ok(())
}

/// The keyword in small letters and its words; quotes hold words together, `=` may stand after the keyword.
fn words(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in rest.chars() {
        match c {
            '"' => (quoted, begun) = (!quoted, true),
            '#' if !quoted && !begun => break,
            c if c.is_whitespace() && !quoted => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    Some((keyword.to_ascii_lowercase(), words))
}

/// Older names of keywords, which sshd still takes.
fn today(keyword: &str) -> &str {
    match keyword {
        "challengeresponseauthentication" | "skeyauthentication" => "kbdinteractiveauthentication",
        "pubkeyacceptedkeytypes" => "pubkeyacceptedalgorithms",
        other => other,
    }
}
