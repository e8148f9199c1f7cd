//! The build history as steps and commands.
//!
//! Not here: a shell. A line is cut at `&&`, `||`, `;`, `|`, `&` and line ends outside quotes, and into words at blanks;
//! variables, substitutions and redirections stay as they are. Good enough to see which program is called how; a line
//! that hides it is not seen.
//!
//! Builders write the same instruction in several ways:
//! `/bin/sh -c #(nop) ADD file:… in /`, `/bin/sh -c apk add x`, `|1 ARG=v /bin/sh -c apk add x`,
//! `RUN |1 ARG=v /bin/sh -c apk add x # buildkit`, `COPY . /app # buildkit`.

use model::{Evidence, ImageInventory};

/// Lines longer than this are read up to here.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// One instruction of the build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    /// `RUN`, `ADD`, `COPY`, …
    pub(crate) instruction: String,
    /// What follows it.
    pub(crate) arguments: String,
    /// The commands of a `RUN`.
    pub(crate) commands: Vec<Command>,
    /// The layer that it made, when the history tells.
    pub(crate) layer: Option<u32>,
    /// The line as the builder wrote it.
    pub(crate) line: String,
}

/// One simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// Program and arguments, without assignments in front.
    pub(crate) words: Vec<String>,
    /// Its output is the next command's input.
    pub(crate) piped_on: bool,
}

impl Step {
    /// Evidence of the step.
    pub(crate) fn evidence(&self) -> Evidence {
        Evidence { layer: self.layer, path: None, line: None, removed_in: None, history: Some(self.line.clone()) }
    }
}

/// The steps of an image, first to last.
pub(crate) fn steps(inventory: &ImageInventory) -> Vec<Step> {
    let history = &inventory.configuration.history;
    let layers = history.iter().filter(|entry| !entry.empty_layer).count();
    let told = layers == inventory.layers.len();
    let mut next = 0;
    let mut out = Vec::with_capacity(history.len());
    for entry in history {
        let layer = (told && !entry.empty_layer).then_some(next);
        next += u32::from(!entry.empty_layer);
        if let Some(step) = step(&entry.created_by, layer) {
            out.push(step);
        }
    }
    out
}

/// Reads one line of the history; `None` for an empty one.
fn step(line: &str, layer: Option<u32>) -> Option<Step> {
    let text = clip(line.trim());
    if text.is_empty() {
        return None;
    }
    let text = text.strip_suffix("# buildkit").unwrap_or(text).trim();
    let (instruction, arguments) = match text.split_once("#(nop)") {
        Some((_, rest)) => first_word(rest.trim()),
        None => match first_word(text) {
            (word, rest) if is_instruction(word) => (word, rest),
            _ => ("RUN", text),
        },
    };
    let commands = if instruction == "RUN" { commands(script(arguments)) } else { Vec::new() };
    Some(Step {
        instruction: instruction.to_owned(),
        arguments: arguments.to_owned(),
        commands,
        layer,
        line: line.trim().to_owned(),
    })
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(LINE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

/// Dockerfile instructions that a history shows.
fn is_instruction(word: &str) -> bool {
    const WORDS: [&str; 17] = [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
    ];
    WORDS.contains(&word) || word == "WORKDIR"
}

/// The script of a `RUN`: without build arguments (`|2 A=1 B=2`) and the shell in front.
fn script(arguments: &str) -> &str {
    let mut text = arguments;
    if let Some(rest) = text.strip_prefix('|') {
        let (count, rest) = first_word(rest);
        if count.bytes().all(|b| b.is_ascii_digit())
            && let Some(at) = rest.find("/bin/")
        {
            text = &rest[at..];
        }
    }
    for shell in ["/bin/sh", "/bin/bash", "/bin/ash", "/usr/bin/env bash"] {
        if let Some(rest) = text.strip_prefix(shell)
            && let Some(at) = rest.find("-c ").or_else(|| rest.find("c "))
            && rest[..at].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b' ')
        {
            let skip = if rest[at..].starts_with("-c ") { 3 } else { 2 };
            return rest[at + skip..].trim();
        }
    }
    text
}

/// Cuts a script into simple commands.
fn commands(script: &str) -> Vec<Command> {
    let mut cutter = Cutter::default();
    let mut quote = None;
    let mut chars = script.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('\''), c) => cutter.word.push(c),
            (_, '\\') => match chars.next() {
                Some('\n') | None => {}
                Some(escaped) => cutter.word.push(escaped),
            },
            (Some(_), c) => cutter.word.push(c),
            (None, '\'' | '"') => quote = Some(c),
            (None, ' ' | '\t' | '(' | ')' | '{' | '}') => cutter.end_word(),
            (None, '&' | '|') => {
                let doubled = chars.next_if_eq(&c).is_some();
                cutter.end_command(c == '|' && !doubled);
            }
            (None, ';' | '\n') => cutter.end_command(false),
            (None, c) => cutter.word.push(c),
        }
    }
    cutter.end_command(false);
    cutter.commands
}

#[derive(Default)]
struct Cutter {
    word: String,
    words: Vec<String>,
    commands: Vec<Command>,
}

impl Cutter {
    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(std::mem::take(&mut self.word));
        }
    }

    fn end_command(&mut self, piped_on: bool) {
        self.end_word();
        let words: Vec<String> = std::mem::take(&mut self.words).into_iter().skip_while(|w| is_prefix(w)).collect();
        if !words.is_empty() {
            self.commands.push(Command { words, piped_on });
        }
    }
}

/// What stands before a program and changes nothing for us: an assignment, a keyword of the shell.
fn is_prefix(word: &str) -> bool {
    let assigns = word
        .split_once('=')
        .is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    assigns
        || matches!(
            word,
            "if" | "then" | "else" | "do" | "while" | "!" | "env" | "exec" | "command" | "time" | "export"
        )
}

impl Command {
    /// Does the command follow a pattern such as `apk add` or `rm /var/cache/apk*`? The first word is the program (with
    /// or without its folder); the others must follow in this order, with anything between; a `*` at the end of a word
    /// leaves its rest open.
    pub(crate) fn follows(&self, pattern: &str) -> bool {
        let mut wanted = pattern.split_whitespace();
        let (Some(program), Some(first)) = (wanted.next(), self.words.first()) else { return false };
        if !fits(program, base(first)) {
            return false;
        }
        let mut rest = self.words[1..].iter();
        wanted.all(|word| rest.any(|found| fits(word, found)))
    }

    /// The program's name, without its folder.
    pub(crate) fn program(&self) -> &str {
        self.words.first().map_or("", |word| base(word))
    }
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn fits(pattern: &str, word: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(line: &str) -> String {
        let Some(step) = step(line, None) else { return String::new() };
        if step.instruction != "RUN" {
            return format!("{} {}", step.instruction, step.arguments);
        }
        let commands: Vec<String> = step
            .commands
            .iter()
            .map(|c| format!("{}{}", c.words.join(" "), if c.piped_on { " |" } else { "" }))
            .collect();
        format!("RUN [{}]", commands.join("] ["))
    }

    #[test]
    fn history_lines_of_every_builder_read_alike() {
        let check = |line: &str, expect: &str| assert_eq!(shape(line), expect, "{line}");
        check("/bin/sh -c #(nop) ADD file:ab12 in / ", "ADD file:ab12 in /");
        check("/bin/sh -c #(nop)  CMD [\"/bin/sh\"]", "CMD [\"/bin/sh\"]");
        check("/bin/sh -c apk add curl", "RUN [apk add curl]");
        check("RUN /bin/sh -c apk add curl # buildkit", "RUN [apk add curl]");
        check("RUN |1 V=1.0 /bin/sh -c apk add curl=$V # buildkit", "RUN [apk add curl=$V]");
        check("|1 V=1.0 /bin/sh -c apk add curl", "RUN [apk add curl]");
        check("RUN /bin/bash -o pipefail -c set -e; a | b", "RUN [set -e] [a |] [b]");
        check("COPY . /app # buildkit", "COPY . /app");
        check("apt-get update", "RUN [apt-get update]");
        check("", "");
    }

    #[test]
    fn scripts_are_cut_into_commands() {
        let check = |line: &str, expect: &str| assert_eq!(shape(&format!("RUN {line}")), expect, "{line}");
        check("a && b || c; d & e", "RUN [a] [b] [c] [d] [e]");
        check("A=1 B='x y' apt-get update", "RUN [apt-get update]");
        check("echo 'a && b' \"c | d\"", "RUN [echo a && b c | d]");
        check("if true; then curl x | sh; fi", "RUN [true] [curl x |] [sh] [fi]");
        check("(cd /x && make)", "RUN [cd /x] [make]");
        check("a \\\n  b", "RUN [a b]");
        check("unclosed 'quote && x", "RUN [unclosed quote && x]");
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_read(line in ".{0,200}", pattern in "[a-z *]{0,20}") {
            for line in [line.clone(), format!("RUN {line}"), format!("|1 {line} /bin/sh -c {line}")] {
                if let Some(step) = step(&line, None) {
                    proptest::prop_assert!(step.commands.iter().all(|c| !c.words.is_empty()));
                    let _ = step.commands.iter().any(|c| c.follows(&pattern));
                }
            }
        }
    }

    #[test]
    fn patterns_find_commands() {
        let check = |line: &str, pattern: &str, expect: bool| {
            let step = step(&format!("RUN {line}"), None).unwrap();
            assert_eq!(step.commands[0].follows(pattern), expect, "{line} / {pattern}");
        };
        check("apk add --no-cache curl", "apk add --no-cache", true);
        check("apk --no-cache add curl", "apk add", true);
        check("/sbin/apk add curl", "apk add", true);
        check("apk del curl", "apk add", false);
        check("rm -rf /var/cache/apk/*", "rm /var/cache/apk*", true);
        check("rm -rf /tmp/x", "rm /var/cache/apk*", false);
    }
}
