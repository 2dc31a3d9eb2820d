//! Prometheus' text format 0.0.4: one family after another, each with its help and type. Pure.

use std::fmt::Write as _;

/// `Content-Type` of the text.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Names and values of one sample's labels.
pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

#[derive(Debug, Default)]
pub(super) struct Exposition(String);

impl Exposition {
    /// Something that goes up and down. `name` ends with its base unit.
    pub(super) fn gauge<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        self.family(name, "gauge", help, samples);
    }

    /// Something that only goes up while the agent runs; `_total` is added to the name.
    pub(super) fn counter<'a>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        self.family(&format!("{name}_total"), "counter", help, samples);
    }

    /// A family without samples is left out.
    fn family<'a>(&mut self, name: &str, kind: &str, help: &str, samples: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        for (index, (labels, value)) in samples.into_iter().enumerate() {
            if index == 0 {
                let help = help.replace('\\', "\\\\").replace('\n', "\\n");
                let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            self.0.push_str(name);
            for (index, (label, text)) in labels.iter().enumerate() {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = write!(self.0, "{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' });
            }
            if !labels.is_empty() {
                self.0.push('}');
            }
            let _ = match value {
                f64::INFINITY => writeln!(self.0, " +Inf"),
                f64::NEG_INFINITY => writeln!(self.0, " -Inf"),
                value => writeln!(self.0, " {value}"),
            };
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_escaped_is_and_nothing_else() {
        let mut it = Exposition::default();
        it.gauge("a_bytes", "One \\ and\ntwo \"three\".", [(vec![("x", "a\"b\\c\nd"), ("y", "ü")], 1.5)]);
        it.counter("b", "None.", [(vec![], 1e9), (vec![("x", "")], f64::INFINITY), (vec![], f64::NAN)]);
        it.gauge("c", "Without samples.", []);
        assert_eq!(
            it.into_text(),
            "# HELP a_bytes One \\\\ and\\ntwo \"three\".\n# TYPE a_bytes gauge\na_bytes{x=\"a\\\"b\\\\c\\nd\",y=\"ü\"} 1.5\n\
             # HELP b_total None.\n# TYPE b_total counter\nb_total 1000000000\nb_total{x=\"\"} +Inf\nb_total NaN\n"
        );
    }
}
