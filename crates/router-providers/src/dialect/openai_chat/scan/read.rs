//! Typed steps of the scan: what is wrong where, keys seen once, objects and arrays walked.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::dialect::RequestProblem;
use crate::json::{Cursor, Fault, Kind, Text};

/// Why the scan stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Not JSON.
    Syntax(Fault),
    /// JSON, but not this dialect's.
    Wrong(RequestProblem),
}

pub(super) type Scanned<T> = Result<T, Stop>;

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Syntax(fault)
    }
}

impl Stop {
    /// The same, inside the member at `pointer`.
    pub(super) fn under(self, pointer: &str) -> Self {
        match self {
            Self::Wrong(mut problem) => {
                problem.pointer.insert_str(0, pointer);
                Self::Wrong(problem)
            }
            syntax @ Self::Syntax(_) => syntax,
        }
    }

    pub(super) fn into_problem(self) -> RequestProblem {
        match self {
            Self::Wrong(problem) => problem,
            Self::Syntax(Fault { at, what }) => RequestProblem {
                pointer: String::new(),
                message: format!("the body is not valid JSON at byte {at}: {what}"),
            },
        }
    }
}

/// Stops at a member, given relative to where the caller is.
pub(super) fn wrong<T>(pointer: &str, message: impl Into<String>) -> Scanned<T> {
    Err(Stop::Wrong(RequestProblem { pointer: pointer.to_owned(), message: message.into() }))
}

/// `/name`, escaped as RFC 6901 wants it.
pub(super) fn pointer_to(name: &str) -> String {
    let mut pointer = String::with_capacity(name.len() + 1);
    pointer.push('/');
    for character in name.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
    pointer
}

/// Keys of one object, each of which may come once. Bounded, so that checking stays cheap on hostile input.
#[derive(Default)]
pub(super) struct Keys<'a>(SmallVec<[Cow<'a, str>; 24]>);

/// More members than any dialect has, by far.
const MAX_MEMBERS: usize = 256;

impl<'a> Keys<'a> {
    /// Notes a key and gives its name.
    pub(super) fn add(&mut self, scanner: &Scanner<'a>, key: &Text) -> Scanned<Cow<'a, str>> {
        let name = scanner.cursor.unescape(key);
        if self.0.contains(&name) {
            return wrong(&pointer_to(&name), "given twice");
        }
        if self.0.len() >= MAX_MEMBERS {
            return wrong("", format!("more than {MAX_MEMBERS} members"));
        }
        self.0.push(name.clone());
        Ok(name)
    }
}

/// The cursor with what the typed steps need.
pub(super) struct Scanner<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) cursor: Cursor<'a>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], max_depth: usize) -> Self {
        Self { bytes, cursor: Cursor::new(bytes, max_depth) }
    }

    /// The next value is of this kind.
    pub(super) fn expect(&mut self, kind: Kind, what: &str) -> Scanned<()> {
        if self.cursor.kind()? == kind { Ok(()) } else { wrong("", format!("must be {what}")) }
    }

    /// Goes past a null; `false` when something else comes.
    pub(super) fn null(&mut self) -> Scanned<bool> {
        let null = self.cursor.kind()? == Kind::Null;
        if null {
            self.skip()?;
        }
        Ok(null)
    }

    pub(super) fn skip(&mut self) -> Scanned<()> {
        Ok(self.cursor.skip().map(drop)?)
    }

    /// Goes past a value and gives its bytes.
    pub(super) fn raw(&mut self) -> Scanned<&'a [u8]> {
        let span = self.cursor.skip()?;
        Ok(self.bytes.get(span).unwrap_or_default())
    }

    pub(super) fn optional_bool(&mut self) -> Scanned<Option<bool>> {
        match self.cursor.kind()? {
            Kind::Null => self.skip().map(|()| None),
            Kind::Bool => Ok(Some(self.raw()? == b"true")),
            _ => wrong("", "must be true or false"),
        }
    }

    pub(super) fn optional_number(&mut self) -> Scanned<Option<f64>> {
        match self.cursor.kind()? {
            Kind::Null => self.skip().map(|()| None),
            Kind::Number => Ok(self.cursor.number()?.parse().ok()),
            _ => wrong("", "must be a number"),
        }
    }

    pub(super) fn optional_integer(&mut self) -> Scanned<Option<i64>> {
        match self.cursor.kind()? {
            Kind::Null => self.skip().map(|()| None),
            Kind::Number => match self.cursor.number()?.parse() {
                Ok(number) => Ok(Some(number)),
                Err(_) => wrong("", "must be a whole number"),
            },
            _ => wrong("", "must be a whole number"),
        }
    }

    pub(super) fn optional_string(&mut self) -> Scanned<Option<String>> {
        match self.cursor.kind()? {
            Kind::Null => self.skip().map(|()| None),
            Kind::String => {
                let text = self.cursor.string()?;
                Ok(Some(self.cursor.unescape(&text).into_owned()))
            }
            _ => wrong("", "must be a string"),
        }
    }

    /// Walks the object that comes next; its keys come once each.
    pub(super) fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Scanned<()>) -> Scanned<()> {
        self.cursor.enter()?;
        let (mut first, mut keys) = (true, Keys::default());
        while let Some(key) = self.cursor.key(&mut first)? {
            let name = keys.add(self, &key)?;
            each(self, &name).map_err(|stop| stop.under(&pointer_to(&name)))?;
        }
        Ok(())
    }

    /// Walks the array that comes next.
    pub(super) fn array(&mut self, mut each: impl FnMut(&mut Self, usize) -> Scanned<()>) -> Scanned<()> {
        self.cursor.enter()?;
        let (mut first, mut index) = (true, 0);
        while self.cursor.item(&mut first)? {
            each(self, index)?;
            index += 1;
        }
        Ok(())
    }

    /// The string in member `type` of the object that comes next.
    pub(super) fn type_of_object(&mut self) -> Scanned<Option<String>> {
        let mut kind = None;
        self.object(|scanner, key| {
            if key == "type" {
                kind = scanner.optional_string()?;
                return Ok(());
            }
            scanner.skip()
        })?;
        Ok(kind)
    }
}
