//! What the store needs of a database's transaction: statements with arguments in, rows of cells out. A backend's driver
//! fits underneath with a few lines.

use std::sync::Arc;

use router_core::money::Usd;
use router_core::time::Timestamp;
use sqlx::error::BoxDynError;
use sqlx::{SqlSafeStr, SqlStr};

/// One argument of a statement; an absent one is NULL.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg<'a> {
    Int(Option<i64>),
    Flag(bool),
    Text(Option<&'a str>),
    /// A text that a driver may keep without a copy.
    Shared(Option<&'a Arc<str>>),
    Bytes(Option<&'a [u8]>),
}

macro_rules! arg_from {
    ($($from:ty => $arg:expr;)*) => {
        $(impl<'a> From<$from> for Arg<'a> {
            fn from(value: $from) -> Self {
                let arg: fn($from) -> Self = $arg;
                arg(value)
            }
        })*
    };
}

arg_from! {
    i64 => |n| Self::Int(Some(n));
    Option<i64> => Self::Int;
    bool => Self::Flag;
    &'a str => |text| Self::Text(Some(text));
    Option<&'a str> => Self::Text;
    &'a Arc<str> => |text| Self::Shared(Some(text));
    &'a Option<Arc<str>> => |text| Self::Shared(text.as_ref());
    &'a [u8] => |bytes| Self::Bytes(Some(bytes));
    &'a [u8; 16] => |bytes| Self::Bytes(Some(bytes));
    &'a [u8; 32] => |bytes| Self::Bytes(Some(bytes));
}

/// Whether an argument could be taken.
pub(crate) type Bound = Result<(), BoxDynError>;

/// A driver's arguments.
pub(crate) trait Args: Default + Send {
    /// Adds one.
    fn put(&mut self, arg: Arg<'_>) -> Bound;

    /// Makes room for so many more.
    fn room(&mut self, more: usize);
}

/// A driver's row, its cells by their place.
pub(crate) trait Row: Send + Sync {
    fn int(&self, at: usize) -> Result<Option<i64>, sqlx::Error>;
    fn flag(&self, at: usize) -> Result<bool, sqlx::Error>;
    fn text(&self, at: usize) -> Result<Option<&str>, sqlx::Error>;
    fn bytes(&self, at: usize) -> Result<Option<&[u8]>, sqlx::Error>;

    /// The cells, one after the other.
    fn cells(&self) -> Cells<'_, Self>
    where
        Self: Sized,
    {
        Cells { row: self, at: 0 }
    }
}

/// The cells of a row, one after the other.
#[derive(Debug)]
pub(crate) struct Cells<'r, R> {
    row: &'r R,
    at: usize,
}

impl<'r, R: Row> Cells<'r, R> {
    fn next(&mut self) -> usize {
        self.at += 1;
        self.at - 1
    }

    pub(crate) fn maybe_int(&mut self) -> Result<Option<i64>, sqlx::Error> {
        let at = self.next();
        self.row.int(at)
    }

    pub(crate) fn int(&mut self) -> Result<i64, sqlx::Error> {
        self.maybe_int()?.ok_or_else(|| self.strange("no number"))
    }

    /// A number that was unsigned and fits.
    pub(crate) fn small<T: TryFrom<i64>>(&mut self) -> Result<T, sqlx::Error> {
        T::try_from(self.int()?).map_err(|_| self.strange("a number out of its range"))
    }

    pub(crate) fn maybe_small<T: TryFrom<i64>>(&mut self) -> Result<Option<T>, sqlx::Error> {
        let small = self.maybe_int()?.map(T::try_from).transpose();
        small.map_err(|_| self.strange("a number out of its range"))
    }

    pub(crate) fn money(&mut self) -> Result<Usd, sqlx::Error> {
        self.int().map(Usd::from_nano)
    }

    pub(crate) fn time(&mut self) -> Result<Timestamp, sqlx::Error> {
        self.int().map(|micros| Timestamp::from_micros(micros.cast_unsigned()))
    }

    pub(crate) fn maybe_time(&mut self) -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(self.maybe_int()?.map(|micros| Timestamp::from_micros(micros.cast_unsigned())))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, sqlx::Error> {
        let at = self.next();
        self.row.flag(at)
    }

    pub(crate) fn maybe_text(&mut self) -> Result<Option<&'r str>, sqlx::Error> {
        let at = self.next();
        self.row.text(at)
    }

    pub(crate) fn text(&mut self) -> Result<&'r str, sqlx::Error> {
        self.maybe_text()?.ok_or_else(|| self.strange("no text"))
    }

    pub(crate) fn maybe_bytes<const N: usize>(&mut self) -> Result<Option<[u8; N]>, sqlx::Error> {
        let at = self.next();
        let bytes = self.row.bytes(at)?.map(TryInto::try_into).transpose();
        bytes.map_err(|_| self.strange("bytes of another length"))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> Result<[u8; N], sqlx::Error> {
        self.maybe_bytes()?.ok_or_else(|| self.strange("no bytes"))
    }

    /// A value read last that makes no sense.
    pub(crate) fn strange(&self, what: impl Into<BoxDynError>) -> sqlx::Error {
        sqlx::Error::ColumnDecode { index: self.at.saturating_sub(1).to_string(), source: what.into() }
    }
}

/// A transaction; what is not committed does not happen.
pub(crate) trait Tx: Send + Sized {
    type Args: Args;
    type Row: Row;

    /// Whose SQL it takes.
    const FLAVOR: super::sql::Flavor;

    /// Runs a statement; how many rows it changed.
    fn run_with(
        &mut self,
        text: SqlStr,
        args: Self::Args,
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send;

    /// Asks for rows.
    fn rows_with(
        &mut self,
        text: SqlStr,
        args: Self::Args,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Makes it happen.
    fn commit(self) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    fn run(
        &mut self,
        text: &'static str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<u64, sqlx::Error>> + Send {
        let args = put(args);
        async move { self.run_with(text.into_sql_str(), args?).await }
    }

    fn rows(
        &mut self,
        text: &'static str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send {
        let args = put(args);
        async move { self.rows_with(text.into_sql_str(), args?).await }
    }

    /// The first row, if there is one.
    fn maybe(
        &mut self,
        text: &'static str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Option<Self::Row>, sqlx::Error>> + Send {
        let rows = self.rows(text, args);
        async move { Ok(rows.await?.into_iter().next()) }
    }

    /// The row there must be.
    fn one(
        &mut self,
        text: &'static str,
        args: &[Arg<'_>],
    ) -> impl Future<Output = Result<Self::Row, sqlx::Error>> + Send {
        let row = self.maybe(text, args);
        async move { row.await?.ok_or(sqlx::Error::RowNotFound) }
    }
}

fn put<A: Args>(list: &[Arg<'_>]) -> Result<A, sqlx::Error> {
    let mut args = A::default();
    list.iter().try_for_each(|arg| args.put(*arg)).map_err(sqlx::Error::Encode)?;
    Ok(args)
}
