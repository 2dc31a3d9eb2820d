//! A figure and how it is printed: one line for people, or one of JSON. A bench includes this file and names its `GROUP`.

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtMost(f64),
    None,
}

/// One figure of ours, alone or beside a peer's.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) ours: f64,
    pub(crate) peer: Option<(&'static str, f64)>,
    unit: &'static str,
    goal: Goal,
}

impl Figure {
    pub(crate) fn new(name: &str, ours: f64, unit: &'static str, goal: Goal) -> Self {
        Self { name: name.to_owned(), ours, peer: None, unit, goal }
    }

    /// The same figure beside a peer's, which is to be beaten.
    pub(crate) fn beside(&self, peer: &'static str, value: f64) -> Self {
        Self { peer: Some((peer, value)), goal: Goal::AtMost(value), ..self.clone() }
    }

    /// The same beside a peer whose figure means something else, so that it is nobody's goal.
    pub(crate) fn only_shown(self) -> Self {
        Self { goal: Goal::None, ..self }
    }

    fn met(&self) -> Option<bool> {
        match self.goal {
            Goal::AtMost(most) => Some(self.ours <= most),
            Goal::None => None,
        }
    }

    fn full_name(&self) -> String {
        match self.peer {
            Some((peer, _)) => format!("{}_{}_vs_{peer}", crate::GROUP, self.name),
            None => format!("{}_{}", crate::GROUP, self.name),
        }
    }

    pub(crate) fn json(&self) -> String {
        let (peer, ratio) = match self.peer {
            Some((_, peer)) => (number(peer), number(self.ours / peer)),
            None => ("null".to_owned(), "null".to_owned()),
        };
        let goal = match self.goal {
            Goal::AtMost(most) => number(most),
            Goal::None => "null".to_owned(),
        };
        let met = self.met().map_or("null".to_owned(), |met| met.to_string());
        format!(
            "{{\"name\":\"{}\",\"ours\":{},\"peer\":{peer},\"unit\":\"{}\",\"ratio\":{ratio},\"goal\":{goal},\"met\":{met}}}",
            self.full_name(),
            number(self.ours),
            self.unit
        )
    }

    pub(crate) fn text(&self) -> String {
        let ours = format!("{:<58} {:>10} {:<4}", self.full_name(), number(self.ours), self.unit);
        let verdict = self.met().map_or("", |met| if met { "  met" } else { "  MISSED" });
        match (self.peer, self.goal) {
            (Some((_, peer)), _) => {
                format!("{ours} peer {:>10}  ratio {:>7}{verdict}", number(peer), number(self.ours / peer))
            }
            (None, Goal::AtMost(most)) => format!("{ours} goal {:>10}{verdict}", number(most)),
            (None, Goal::None) => ours,
        }
    }
}

/// Four significant digits are more than the machine repeats.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
