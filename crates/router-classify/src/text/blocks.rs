//! Splits a message into blocks: what a person wrote, and what was pasted, quoted or added by a harness. Line shapes
//! and markers decide; no word of any language is looked at except the fixed phrases of known harnesses.

use memchr::memchr;
use memchr::memmem;

/// What a block of a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Running text: the question, or pasted prose.
    Prose,
    /// Marked as the question by a tag such as `<user_query>`.
    Asked,
    /// Source code, fenced or by its shape.
    Code,
    /// Pasted or quoted: documents, logs, data.
    Material,
    /// Added by a harness: reminders, environment dumps.
    Noise,
}

/// A run of lines of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block<'t> {
    pub(super) kind: BlockKind,
    pub(super) text: &'t str,
}

/// What is still open where a text was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Open {
    Nothing,
    Fence,
    Tag(String),
}

/// Tags whose contents are the question itself.
const ASKING_TAGS: [&str; 12] = [
    "user_query",
    "user-query",
    "user_request",
    "user_message",
    "user_prompt",
    "user_input",
    "question",
    "query",
    "task",
    "instruction",
    "instructions",
    "request",
];

/// Parts of the names of tags that harnesses put around what no one wrote.
const NOISE_TAGS: [&str; 10] = [
    "system",
    "reminder",
    "environment",
    "env",
    "command-",
    "local-command",
    "ide_",
    "attached",
    "open_and_recently",
    "todo",
];

/// Beginnings of lines that harnesses write outside tags.
const NOISE_LINES: [&str; 18] = [
    "Caveat: The messages below",
    "[Request interrupted",
    "Working directory:",
    "Current working directory",
    "Is directory a git repo",
    "Platform:",
    "OS Version:",
    "OS:",
    "Shell:",
    "Today's date:",
    "Current date:",
    "Current time:",
    "cwd:",
    "# VSCode",
    "# Current Time",
    "# Context Window",
    "This session is being continued",
    "Sent from my",
];

/// Beginnings of lines that are code wherever they stand.
const CODE_STARTS: [&str; 20] = [
    "#include",
    "def ",
    "fn ",
    "func ",
    ">>> ",
    "<?php",
    "#!/",
    "@@ ",
    "+++ ",
    "--- ",
    "diff --git",
    "//",
    "/*",
    "print(",
    "console.",
    "assert ",
    "async def ",
    "pub fn ",
    "\"\"\"",
    "$ ",
];

/// Beginnings of lines that are code when the line also has a bracket or an equals sign, or ends in a colon, and does not
/// end like a sentence.
const MAYBE_CODE_STARTS: [&str; 19] = [
    "class ",
    "import ",
    "from ",
    "public ",
    "private ",
    "const ",
    "let ",
    "var ",
    "function ",
    "return ",
    "if ",
    "while ",
    "elif ",
    "else",
    "try",
    "except",
    "use ",
    "package ",
    "static ",
];

/// Searches for closing tags that may fail in one text, so that hostile text cannot make the work quadratic.
const FAILED_SEARCHES_LIMIT: u32 = 16;

/// Splits `text`, which continues a text where `open` was open, and says what is open at its end.
pub(super) fn split<'t>(text: &'t str, open: &Open, out: &mut Vec<Block<'t>>) -> Open {
    let mut splitter = Splitter { text, at: 0, run: None, out, failed: 0 };
    splitter.skip_open(open);
    while splitter.at < text.len() {
        if let Some(still_open) = splitter.step() {
            return still_open;
        }
    }
    splitter.flush();
    Open::Nothing
}

/// What must be open at the start of a tail, when its head ended with `head`: a fence opened in the part between shows
/// as an odd number of fence lines.
pub(super) fn open_at_tail(head: Open, tail: &str) -> Open {
    let fences = tail.lines().filter(|line| is_fence(line.trim_start())).count();
    if head == Open::Nothing && fences % 2 == 1 { Open::Fence } else { head }
}

struct Splitter<'t, 'o> {
    text: &'t str,
    at: usize,
    run: Option<(BlockKind, usize)>,
    out: &'o mut Vec<Block<'t>>,
    failed: u32,
}

impl<'t> Splitter<'t, '_> {
    /// Passes over the rest of what was open before this text, if its end is in here.
    fn skip_open(&mut self, open: &Open) {
        let (end, kind) = match open {
            Open::Nothing => return,
            Open::Fence => (self.closing_fence(0).map(|(_, after)| after), BlockKind::Code),
            Open::Tag(name) => (self.closing_tag(name, 0).map(|(_, after)| after), tag_kind(name)),
        };
        if let Some(end) = end {
            self.push(kind, 0, end);
            self.at = end;
        }
    }

    /// Takes one line, or one block with markers. `Some`: the rest of the text is inside what is still open.
    fn step(&mut self) -> Option<Open> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let line = rest.get(..memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len())).unwrap_or(rest);
        let next = self.at + line.len() + 1;
        let shown = line.trim();
        if shown.is_empty() {
            self.flush();
        } else if is_fence(shown) {
            return self.fence(next);
        } else if let Some(end) = self.docstring(shown, next) {
            // The text of a docstring is the code's, not the asker's.
            self.extend(BlockKind::Code);
            self.at = end;
            return None;
        } else if let Some(name) = tag_name(shown) {
            return self.tag(name, line, next);
        } else {
            self.extend(line_kind(shown));
        }
        self.at = next;
        None
    }

    fn fence(&mut self, inner: usize) -> Option<Open> {
        self.flush();
        let (end, after) = match self.closing_fence(inner) {
            Some(found) => found,
            None => (self.text.len(), self.text.len()),
        };
        self.push(BlockKind::Code, inner, end);
        self.at = after;
        (end == after).then_some(Open::Fence)
    }

    /// The end of a docstring that this line opens inside code, and does not close.
    fn docstring(&self, line: &str, next: usize) -> Option<usize> {
        let mark = ["\"\"\"", "'''"].into_iter().find(|mark| line.starts_with(mark))?;
        let in_code = self.run.is_some_and(|(kind, _)| kind == BlockKind::Code);
        let rest = self.text.get(next..).filter(|_| in_code && line.matches(mark).count() == 1)?;
        memmem::find(rest.as_bytes(), mark.as_bytes()).map(|at| next + at + mark.len())
    }

    fn tag(&mut self, name: &'t str, line: &str, next: usize) -> Option<Open> {
        let inner = self.at + line.find('>').map_or(line.len(), |i| i + 1);
        if let Some((end, after)) = self.closing_tag(name, inner) {
            self.flush();
            self.push(tag_kind(name), inner, end);
            self.at = after;
            return None;
        }
        if name.contains(['_', '-']) || tag_kind(name) != BlockKind::Material {
            self.flush();
            self.push(tag_kind(name), inner, self.text.len());
            return Some(Open::Tag(name.to_owned()));
        }
        self.extend(BlockKind::Material);
        self.at = next;
        None
    }

    /// The start of the next line that is a fence, and the start of the line after it.
    fn closing_fence(&self, from: usize) -> Option<(usize, usize)> {
        let mut at = from;
        for line in self.text.get(from..)?.split_inclusive('\n') {
            if is_fence(line.trim_start()) {
                return Some((at, at + line.len()));
            }
            at += line.len();
        }
        None
    }

    /// The start and the end of the next `</name>`.
    fn closing_tag(&mut self, name: &str, from: usize) -> Option<(usize, usize)> {
        if self.failed >= FAILED_SEARCHES_LIMIT {
            return None;
        }
        let rest = self.text.get(from..)?;
        let close = format!("</{name}>");
        let found = memmem::find(rest.as_bytes(), close.as_bytes());
        self.failed += u32::from(found.is_none());
        found.map(|i| (from + i, from + i + close.len()))
    }

    fn extend(&mut self, kind: BlockKind) {
        if self.run.is_some_and(|(running, _)| running != kind) {
            self.flush();
        }
        self.run.get_or_insert((kind, self.at));
    }

    fn flush(&mut self) {
        if let Some((kind, start)) = self.run.take() {
            self.push(kind, start, self.at);
        }
    }

    fn push(&mut self, kind: BlockKind, start: usize, end: usize) {
        let text = self.text.get(start..end.min(self.text.len())).unwrap_or_default().trim();
        if !text.is_empty() {
            self.out.push(Block { kind, text });
        }
    }
}

fn is_fence(line: &str) -> bool {
    line.starts_with("```") || line.starts_with("~~~")
}

/// The name of the tag that opens this line.
fn tag_name(line: &str) -> Option<&str> {
    let after = line.strip_prefix('<')?;
    let end =
        after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-')).unwrap_or(after.len());
    let (name, rest) = after.split_at(end);
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (named && rest.starts_with(['>', ' ', '\t']) && rest.contains('>')).then_some(name)
}

fn tag_kind(name: &str) -> BlockKind {
    let is = |wanted: &&str| name.eq_ignore_ascii_case(wanted);
    let begins = |part: &&str| name.get(..part.len()).is_some_and(|start| start.eq_ignore_ascii_case(part));
    if ASKING_TAGS.iter().any(is) {
        BlockKind::Asked
    } else if NOISE_TAGS.iter().any(begins) {
        BlockKind::Noise
    } else {
        BlockKind::Material
    }
}

fn line_kind(line: &str) -> BlockKind {
    if NOISE_LINES.iter().any(|start| line.starts_with(start)) {
        BlockKind::Noise
    } else if line.starts_with('>') && !line.starts_with(">>> ") || is_log(line) || is_data(line) {
        BlockKind::Material
    } else if is_code(line) {
        BlockKind::Code
    } else {
        BlockKind::Prose
    }
}

/// A log line or a stack frame: a time stamp or a level first, or the marks of a trace.
fn is_log(line: &str) -> bool {
    const LEVELS: [&str; 7] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE", "FATAL", "CRITICAL"];
    const TRACES: [&str; 4] = ["Traceback (most recent", "File \"", "Caused by:", "goroutine "];
    let body = line.trim_start_matches('[');
    let level = LEVELS.iter().any(|level| {
        body.strip_prefix(level).is_some_and(|rest| rest.starts_with([' ', ':', ']', '[']) || rest.is_empty())
    });
    let trace = TRACES.iter().any(|start| line.starts_with(start))
        || line.starts_with("at ") && line.ends_with(')') && line.contains('(')
        || line.split_once(": ").is_some_and(|(name, _)| is_error_name(name));
    level || trace || is_time_stamp(body)
}

/// `KeyError`, `java.lang.IllegalStateException`.
fn is_error_name(name: &str) -> bool {
    let named = name.ends_with("Error") || name.ends_with("Exception");
    named && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_') && name != "Error"
}

/// `2026-01-31` or `12:34:56` with something after it.
fn is_time_stamp(line: &str) -> bool {
    let shape: String = line.chars().take(10).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let date = shape == "0000-00-00" || shape == "0000/00/00";
    (date || shape.starts_with("00:00:00")) && line.len() > 19
}

/// A line of JSON, of a table or of comma-separated values.
fn is_data(line: &str) -> bool {
    let json = line.starts_with(['{', '}']) || line.starts_with('"') && line.contains("\":");
    let list =
        line.starts_with("[{") || line.starts_with("[\"") || line == "[" || line == "]" || line == "],";
    let table = line.starts_with('|') && line.ends_with('|') && line.len() > 2;
    let values =
        line.len() > 8 && !line.contains(", ") && memchr::memchr_iter(b',', line.as_bytes()).count() >= 3;
    json || list || table || values
}

fn is_code(line: &str) -> bool {
    let bracket = line.contains(['(', '{', '=']);
    let statement = line.ends_with('{') || line.ends_with(';') && bracket;
    let closing = matches!(line, ")" | ");" | "};" | "})" | "});" | "end" | "fi" | "done" | "*/");
    let starts = CODE_STARTS.iter().any(|start| line.starts_with(start));
    let maybe =
        || !line.ends_with(['.', '?', ',']) && MAYBE_CODE_STARTS.iter().any(|start| line.starts_with(start));
    statement || closing || starts || (bracket || line.ends_with(':')) && maybe()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kinds of the blocks, one letter each: Prose, Asked, Code, Material, Noise.
    fn check(text: &str, expected: &str) {
        let mut blocks = Vec::new();
        split(text, &Open::Nothing, &mut blocks);
        let kinds: String = blocks
            .iter()
            .map(|block| match block.kind {
                BlockKind::Prose => 'P',
                BlockKind::Asked => 'A',
                BlockKind::Code => 'C',
                BlockKind::Material => 'M',
                BlockKind::Noise => 'N',
            })
            .collect();
        assert_eq!(kinds, expected, "{text}\n{blocks:?}");
    }

    #[test]
    fn blocks_by_marker_and_shape() {
        check("", "");
        check("One line.", "P");
        check("First.\n\nSecond.\nstill second.", "PP");
        check("Fix this:\n```rust\nfn main() {}\n```\nThanks!", "PCP");
        check("Fix this:\n~~~\nlet it be\n~~~", "PC");
        check("Open fence:\n```\ncode to the end", "PC");
        check("<system-reminder>be nice</system-reminder>\nWhat now?", "NP");
        check("<document title=\"x\">\nlong\n\nlonger\n</document>\nSum it up.", "MP");
        check("<context>\na\n</context><user_query>why?</user_query>", "MA");
        check("<b>unclosed html\nand a line", "MP");
        check("> quoted\n> twice\nI disagree.", "MP");
        check("ERROR disk full\n2026-01-02T03:04:05Z boom at last\nWhat broke?", "MP");
        check("Why?\nTraceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'a'", "PM");
        check("def f(x):\n    return (x)\nExplain it.", "CP");
        check("def f(x):\n    \"\"\"Say it.\n\n    Long.\n    \"\"\"\n    return (x)\n\nWhy?", "CCP");
        check("let x = 1;\nLet me know.", "CP");
        check("Parse\n{\"a\": 1}\n|a|b|\n1,2,3,4,5", "PM");
        check("Working directory: /src\nPlatform: linux\n\nRun the tests", "NP");
        check("Requirements:\n- must be fast;\n- must be small;", "P");
    }

    #[test]
    fn what_is_open_at_a_cut_is_carried_over() {
        let mut blocks = Vec::new();
        assert_eq!(split("a\n```\ncode", &Open::Nothing, &mut blocks), Open::Fence);
        blocks.clear();
        split("more code\n```\nquestion?", &Open::Fence, &mut blocks);
        assert_eq!(blocks.iter().map(|b| b.kind).collect::<Vec<_>>(), [BlockKind::Code, BlockKind::Prose]);
        let open = split("<some_file>\nabc", &Open::Nothing, &mut blocks);
        assert_eq!(open, Open::Tag("some_file".to_owned()));
        assert_eq!(open_at_tail(Open::Nothing, "code\n```\nquestion?"), Open::Fence);
        assert_eq!(open_at_tail(Open::Nothing, "```\ncode\n```\n"), Open::Nothing);
    }
}
