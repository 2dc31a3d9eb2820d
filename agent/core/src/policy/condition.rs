//! Conditions: short CEL expressions that are true or false for one set of inputs.
//!
//! Compiled and checked when the documents are loaded: length, nesting, every name and every function. What is left to go wrong
//! when it is evaluated is an absent fact or a value of another kind; that is an error with a stable text, never a panic and never
//! an answer. Only lists can be walked (`all`, `exists`, `exists_one`, `filter`): maps have no order, and a decision must have.
//! Expressions come from policy documents only; nothing that a plugin or a finding says is ever compiled, a pattern included.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;
use cel::{Env, ExecutionError, Value as Cel};

use super::facts::{Facts, HOST_FACTS, Shape, VARIABLES};

/// Longest expression, in bytes.
pub const EXPRESSION_BYTES_MAX: usize = 1_024;
/// Deepest nesting of brackets, and of the parsed tree between two of them.
const BRACKETS_MAX: usize = 12;
const DEPTH_MAX: usize = 64;
/// Most operators, dots and brackets in one expression.
const MARKS_MAX: usize = 200;
/// Longest list in an expression.
const LITERALS_MAX: usize = 64;
/// Longest pattern of `matches`, in bytes.
const PATTERN_BYTES_MAX: usize = 200;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition {
    source: String,
    expression: Arc<IdedExpr>,
}

/// Why an expression cannot be used, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) at: Range<usize>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Refused {
    fn new(at: Range<usize>, message: impl Into<String>) -> Self {
        Self { at, message: message.into(), hint: None }
    }
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Condition {
    /// Compiles; also returns what works but is perhaps not meant.
    pub(super) fn compile(source: &str) -> Result<(Self, Vec<Refused>), Refused> {
        measure(source)?;
        let plain = parse(source, || Env::default().with_optional_support(false).parser())?;
        let mut check = Check { source, info: &plain.1, bound: None, warnings: Vec::new() };
        check.walk(&plain.0, 0)?;
        let warnings = check.warnings;
        let (expression, _) = parse(source, Parser::new)?;
        Ok((Self { source: source.to_owned(), expression: Arc::new(expression) }, warnings))
    }

    /// As it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// True, false, or why it cannot be told.
    pub(super) fn holds(&self, facts: &Facts) -> Result<bool, String> {
        // The evaluator is not ours. A panic in it is a condition that cannot be told, not the end of the agent.
        let outcome = catch_unwind(AssertUnwindSafe(|| Cel::resolve(&self.expression, &facts.0)));
        match outcome {
            Ok(Ok(Cel::Bool(answer))) => Ok(answer),
            Ok(Ok(other)) => Err(format!("`{}` gives a {}, not true or false", self.source, other.type_of())),
            Ok(Err(error)) => Err(format!("`{}` cannot be told: {}", self.source, describe(&error))),
            Err(_) => Err(format!("`{}` cannot be told: the evaluator failed", self.source)),
        }
    }
}

/// An error in words that are the same each time: the evaluator's own dump values, and maps among them in any order.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("`{key}` is not known here"),
        ExecutionError::UndeclaredReference(name) => format!("`{name}` is not known here"),
        ExecutionError::NoSuchOverload(overload) => overload.to_string(),
        ExecutionError::UnexpectedType { got, want } => format!("it has a {got} where a {want} is needed"),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".into(),
        ExecutionError::Overflow(..) => "a number is too large".into(),
        ExecutionError::IndexOutOfBounds(_) => "a list is too short".into(),
        ExecutionError::FunctionError { function, .. } => format!("`{function}` cannot be computed"),
        _ => "values of different kinds are compared or combined".into(),
    }
}

/// Whether a failed evaluation means that the expression can never work, whatever the facts are.
pub(super) fn never_works(error: &str) -> bool {
    error.contains("no matching overload") || error.contains("different kinds") || error.contains(", not true or false")
}

/// Limits that must hold before the parser sees the text: its depth of recursion follows the text.
fn measure(source: &str) -> Result<(), Refused> {
    let whole = 0..source.len();
    if source.trim().is_empty() {
        return Err(Refused::new(whole, "the condition is empty").hint("leave the key out when nothing more must hold"));
    }
    if source.len() > EXPRESSION_BYTES_MAX {
        let message = format!("the condition has {} bytes, more than {EXPRESSION_BYTES_MAX}", source.len());
        return Err(Refused::new(whole, message).hint("split it into the items of `checklist`, or into two rules"));
    }
    let (mut depth, mut marks, mut quote) = (0_usize, 0_usize, None);
    let mut characters = source.char_indices();
    while let Some((at, c)) = characters.next() {
        match quote {
            Some(_) if c == '\\' => drop(characters.next()),
            Some(open) if open == c => quote = None,
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if matches!(c, '(' | '[' | '{') => depth += 1,
            None if matches!(c, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            Some(_) | None => {}
        }
        // Counted inside quotes too: raw strings and triple quotes are read differently here, so no text may hide marks.
        if !c.is_alphanumeric() && !c.is_whitespace() && !matches!(c, '_' | '\'' | '"') {
            marks += 1;
        }
        if depth > BRACKETS_MAX {
            return Err(Refused::new(at..at + 1, format!("brackets are nested deeper than {BRACKETS_MAX}")));
        }
        if marks > MARKS_MAX {
            return Err(Refused::new(at..at + 1, format!("more than {MARKS_MAX} operators, dots and brackets"))
                .hint("split it into the items of `checklist`, or into two rules"));
        }
    }
    Ok(())
}

fn parse(source: &str, parser: impl FnOnce() -> Parser) -> Result<(IdedExpr, SourceInfo), Refused> {
    // Generated parser code, not ours: see `holds`.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        parser().max_recursion_depth(u16::try_from(DEPTH_MAX).unwrap_or(u16::MAX)).parse_with_source_info(source)
    }));
    match parsed {
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(errors)) => {
            let Some(error) = errors.errors.first() else {
                return Err(Refused::new(0..source.len(), "the condition does not parse"));
            };
            if error.msg.contains("Recursion limit") {
                return Err(Refused::new(0..source.len(), format!("the condition is nested deeper than {DEPTH_MAX}")));
            }
            let at = offset(source, error.pos);
            let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
            Err(Refused::new(at..source.len().min(at + 1), format!("the condition does not parse: {message}")))
        }
        Err(_) => Err(Refused::new(0..source.len(), "the condition cannot be parsed")),
    }
}

/// Line and column, both from 1, as a byte offset.
fn offset(source: &str, (line, column): (isize, isize)) -> usize {
    let (line, column) = (usize::try_from(line - 1).unwrap_or(0), usize::try_from(column - 1).unwrap_or(0));
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = source.get(start..).unwrap_or("");
    start + rest.char_indices().nth(column).map_or(rest.len(), |(at, _)| at)
}

const OPERATORS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::IN,
];
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "string",
    "int",
    "double",
    "has",
    "all",
    "exists",
    "exists_one",
    "filter",
];
const WALKS: &[&str] = &["all", "exists", "exists_one", "filter"];

/// Checks every name and function of an expression whose macros are not expanded yet.
struct Check<'a> {
    source: &'a str,
    info: &'a SourceInfo,
    /// The name that the walk around gives to each element.
    bound: Option<&'a str>,
    warnings: Vec<Refused>,
}

impl<'a> Check<'a> {
    /// The name that a node brings. The parser points at the dot before it or at the bracket after it, and counts characters.
    fn at(&self, node: &IdedExpr) -> Range<usize> {
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let start = self.info.offset_for(node.id).map_or(0, |(start, _)| start as usize).min(self.source.len());
        let mut start = self.source.floor_char_boundary(start);
        match self.source[start..].chars().next() {
            Some('.') => start += 1,
            Some('(') => start = self.source[..start].trim_end_matches(name).len(),
            _ => {}
        }
        let length = self.source[start..].find(|c| !name(c)).unwrap_or(self.source.len() - start);
        start..start + length.max(1).min(self.source.len() - start)
    }

    fn walk(&mut self, node: &'a IdedExpr, depth: usize) -> Result<(), Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused::new(self.at(node), format!("the condition is nested deeper than {DEPTH_MAX}")));
        }
        let next = depth + 1;
        match &node.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(_) | Expr::Select(_) => self.name(node, next).map(|_| ()),
            Expr::List(list) if list.elements.len() > LITERALS_MAX => {
                Err(Refused::new(self.at(node), format!("a list has more than {LITERALS_MAX} elements")))
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.walk(element, next)),
            Expr::Call(call) if call.func_name == operators::INDEX => {
                self.name(node, next)?;
                call.args.get(1).map_or(Ok(()), |index| self.walk(index, next))
            }
            Expr::Call(call) => self.call(node, call, next),
            Expr::Map(_) | Expr::Struct(_) | Expr::Comprehension(_) | Expr::Unspecified => {
                Err(Refused::new(self.at(node), "a condition cannot make maps or structures"))
            }
        }
    }

    fn call(&mut self, node: &'a IdedExpr, call: &'a CallExpr, depth: usize) -> Result<(), Refused> {
        let name = call.func_name.as_str();
        if OPERATORS.contains(&name) {
            return call.args.iter().try_for_each(|argument| self.walk(argument, depth));
        }
        if !FUNCTIONS.contains(&name) {
            return Err(Refused::new(self.at(node), format!("there is no function `{name}`"))
                .hint(format!("there are {}", FUNCTIONS.join(", "))));
        }
        if WALKS.contains(&name) {
            let Some(list) = &call.target else {
                return Err(Refused::new(
                    self.at(node),
                    format!("`{name}` walks a list, as in `LIST.{name}(x, x > 1)`"),
                ));
            };
            return self.list_walk(node, list, &call.args, depth);
        }
        if name == "matches" {
            self.pattern(node, call)?;
        }
        if name == "has" {
            let selects = call.args.first().is_some_and(|argument| matches!(argument.expr, Expr::Select(_)));
            if !selects {
                return Err(Refused::new(self.at(node), "`has` asks for a field, as in `has(finding.evidence.x)`")
                    .hint("for names with dots write `\"unit.result\" in finding.evidence`"));
            }
        }
        call.target.iter().map(AsRef::as_ref).chain(&call.args).try_for_each(|part| self.walk(part, depth))
    }

    /// `LIST.exists(x, …)` and its like.
    fn list_walk(
        &mut self,
        node: &'a IdedExpr,
        list: &'a IdedExpr,
        args: &'a [IdedExpr],
        depth: usize,
    ) -> Result<(), Refused> {
        // What a walk costs grows with lists that a plugin fills: one level keeps it in proportion.
        if self.bound.is_some() {
            return Err(Refused::new(self.at(node), "a walk over a list cannot stand within another"));
        }
        if !is_list(list) {
            return Err(Refused::new(self.at(list), "only a list can be walked")
                .hint("a list is written `[\"a\", \"b\"]` or is a piece of evidence, as in `finding.evidence[\"x\"].exists(…)`"));
        }
        self.walk(list, depth)?;
        let [variable, body] = args else {
            return Err(Refused::new(
                self.at(node),
                "a walk has a name and a condition, as in `LIST.exists(x, x > 1)`",
            ));
        };
        let Expr::Ident(variable_name) = &variable.expr else {
            return Err(Refused::new(self.at(variable), "the first argument of a walk is a name"));
        };
        if VARIABLES.iter().any(|(known, _)| known == variable_name) {
            return Err(Refused::new(self.at(variable), format!("`{variable_name}` is taken: use another name")));
        }
        self.bound = Some(variable_name);
        let outcome = self.walk(body, depth);
        self.bound = None;
        outcome
    }

    /// The pattern of `matches` is written out, so that it can be checked now and no finding can bring one.
    fn pattern(&self, node: &IdedExpr, call: &CallExpr) -> Result<(), Refused> {
        let Some(IdedExpr { expr: Expr::Literal(LiteralValue::String(pattern)), .. }) = call.args.last() else {
            return Err(Refused::new(self.at(node), "the pattern of `matches` must be written out as a text"));
        };
        let pattern = pattern.inner();
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(Refused::new(self.at(node), format!("the pattern has more than {PATTERN_BYTES_MAX} bytes")));
        }
        // It is compiled anew for each element, and counted repetitions are what makes that slow.
        if self.bound.is_some() && pattern.contains('{') {
            return Err(Refused::new(self.at(node), "within a walk a pattern cannot count repetitions with `{}`"));
        }
        let mut probe = cel::Context::with_env(Arc::clone(&super::facts::ENV));
        probe.add_variable_from_value("pattern", pattern);
        let compiles = Parser::new().parse("''.matches(pattern)").is_ok_and(|e| Cel::resolve(&e, &probe).is_ok());
        if compiles { Ok(()) } else { Err(Refused::new(self.at(node), "the pattern is not a regular expression")) }
    }

    /// A name with fields behind it; says what is below it.
    fn name(&mut self, node: &'a IdedExpr, depth: usize) -> Result<Shape, Refused> {
        if depth > DEPTH_MAX {
            return Err(Refused::new(self.at(node), format!("the condition is nested deeper than {DEPTH_MAX}")));
        }
        let (operand, field) = match &node.expr {
            Expr::Ident(name) if self.bound == Some(name) => return Ok(Shape::Open),
            Expr::Ident(name) => return find(VARIABLES, name).ok_or_else(|| self.unknown(node, name, VARIABLES)),
            Expr::Select(select) => (select.operand.as_ref(), Some(select.field.as_str())),
            Expr::Call(call) if call.func_name == operators::INDEX && call.args.len() == 2 => {
                let field = match &call.args[1].expr {
                    Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
                    _ => None,
                };
                (&call.args[0], field)
            }
            _ => return self.walk(node, depth).map(|()| Shape::Open),
        };
        let above = self.name(operand, depth + 1)?;
        let Some(field) = field else { return Ok(Shape::Open) };
        if is_root(operand, "host") && !HOST_FACTS.contains(&field) {
            self.warnings.push(
                Refused::new(self.at(node), format!("`host.{field}` is not a fact that the agent provides"))
                    .hint(format!("it provides {}", HOST_FACTS.join(", "))),
            );
        }
        match above {
            Shape::Fields(fields) => find(fields, field).ok_or_else(|| self.unknown(node, field, fields)),
            Shape::Open if is_evidence(operand) => Ok(Shape::Plain),
            Shape::Open => Ok(Shape::Open),
            Shape::Plain => {
                Err(Refused::new(self.at(node), format!("there is nothing below it that could be called `{field}`"))
                    .hint("names with dots are written `finding.evidence[\"unit.result\"]`"))
            }
        }
    }

    fn unknown(&self, node: &IdedExpr, name: &str, known: &[(&str, Shape)]) -> Refused {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        Refused::new(self.at(node), format!("`{name}` is not known here"))
            .hint(format!("known are {}", names.join(", ")))
    }
}

fn find(known: &[(&str, Shape)], name: &str) -> Option<Shape> {
    known.iter().find(|(known, _)| *known == name).map(|(_, shape)| *shape)
}

fn is_root(node: &IdedExpr, name: &str) -> bool {
    matches!(&node.expr, Expr::Ident(ident) if ident == name)
}

fn is_evidence(node: &IdedExpr) -> bool {
    matches!(&node.expr, Expr::Select(select) if select.field == "evidence" && is_root(&select.operand, "finding"))
}

/// Whether it is a list as far as can be seen: written out, a piece of evidence, or what a filter left of one.
fn is_list(node: &IdedExpr) -> bool {
    match &node.expr {
        Expr::List(_) => true,
        Expr::Select(select) => is_evidence(&select.operand),
        Expr::Call(call) if call.func_name == operators::INDEX => call.args.first().is_some_and(is_evidence),
        Expr::Call(call) if call.func_name == "filter" => call.target.as_ref().is_some_and(|target| is_list(target)),
        _ => false,
    }
}
