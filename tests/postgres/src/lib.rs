//! A real PostgreSQL for tests: the server that `TEST_POSTGRES_URL` names, or one of the test's own, started from the
//! programs this machine has and gone with the test. It knows nothing of what is tested.

mod server;

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

use server::Server;

/// The variable with the address of a server on which tests may make databases.
pub const VARIABLE: &str = "TEST_POSTGRES_URL";

/// A PostgreSQL server, with the databases made on it. Dropping it ends the server, or drops those databases.
#[derive(Debug)]
pub struct Postgres {
    /// Its address, up to the database's name.
    base: String,
    /// The database to be in while making others, and what else the address says.
    rest: String,
    server: Option<Server>,
    made: Vec<String>,
}

impl Postgres {
    /// The server that [`VARIABLE`] names, or else one of its own.
    ///
    /// # Errors
    /// When there is neither: a test that needs a database must not pass without one.
    pub fn start() -> Result<Self> {
        match std::env::var(VARIABLE) {
            Ok(url) => Self::at(&url).with_context(|| format!("{VARIABLE} cannot be used")),
            Err(_) => Self::own(),
        }
    }

    /// A server of its own, which can be stopped and started.
    ///
    /// # Errors
    /// When the machine has no PostgreSQL, or it does not start.
    pub fn own() -> Result<Self> {
        let server = Server::start().with_context(|| {
            format!(
                "no PostgreSQL for this test: install one (initdb and pg_ctl in PATH, in what `pg_config --bindir` \
                 says, or in /usr/lib/postgresql/*/bin), or set {VARIABLE} to the address of one"
            )
        })?;
        let base = format!("postgres://postgres@127.0.0.1:{}/", server.port());
        Ok(Self { base, rest: "postgres".to_owned(), server: Some(server), made: Vec::new() })
    }

    fn at(url: &str) -> Result<Self> {
        let after_scheme = url.find("://").context("no scheme")? + 3;
        let slash = url.get(after_scheme..).and_then(|rest| rest.find('/')).context("no database")?;
        let (base, rest) = url.split_at(after_scheme + slash + 1);
        Ok(Self { base: base.to_owned(), rest: rest.to_owned(), server: None, made: Vec::new() })
    }

    /// The server's address, in a database that tests leave as it is.
    pub fn url(&self) -> String {
        format!("{}{}", self.base, self.rest)
    }

    /// Makes an empty database; its address.
    ///
    /// # Errors
    /// When the server does not do it.
    pub fn fresh_database(&mut self) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        self.tell(format!("CREATE DATABASE {name}"))?;
        let parameters = self.rest.find('?').and_then(|at| self.rest.get(at..)).unwrap_or_default();
        let url = format!("{}{name}{parameters}", self.base);
        self.made.push(name);
        Ok(url)
    }

    /// Ends the server, as an operator would: its connections break, what was committed stays.
    ///
    /// # Errors
    /// When it is not the test's own.
    pub fn stop(&mut self) -> Result<()> {
        self.own_server()?.stop()
    }

    /// Starts it again, at the same address.
    ///
    /// # Errors
    /// When it is not the test's own, or does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.own_server()?.run()
    }

    fn own_server(&mut self) -> Result<&mut Server> {
        match &mut self.server {
            Some(server) => Ok(server),
            None => bail!("the server that {VARIABLE} names is not a test's to stop"),
        }
    }

    fn tell(&self, statement: String) -> Result<()> {
        let options: PgConnectOptions = self.url().parse()?;
        let told = std::thread::spawn(move || {
            // On a thread of its own: whoever asks may be inside a runtime.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut connection = options.disable_statement_logging().connect().await?;
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
                Ok(connection.close().await?)
            })
        });
        told.join().unwrap_or_else(|_| bail!("the thread that talks to PostgreSQL died"))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        for name in std::mem::take(&mut self.made) {
            // What stays behind is named after this process, and harms nobody.
            let _ = self.tell(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_stopped_and_started_again() {
        let mut postgres = Postgres::own().unwrap();
        let (a, b) = (postgres.fresh_database().unwrap(), postgres.fresh_database().unwrap());
        assert_ne!(a, b);
        postgres.stop().unwrap();
        assert!(postgres.tell("SELECT 1".to_owned()).is_err());
        postgres.start_again().unwrap();
        postgres.tell("SELECT 1".to_owned()).unwrap();
    }

    #[test]
    fn an_address_is_taken_apart() {
        let check = |url: &str, base: &str, rest: &str| {
            let postgres = Postgres::at(url).unwrap();
            assert_eq!((postgres.base.as_str(), postgres.rest.as_str()), (base, rest));
            assert_eq!(postgres.url(), url);
        };
        check("postgres://u:p@h:1/db", "postgres://u:p@h:1/", "db");
        check("postgres://h/db?sslmode=disable", "postgres://h/", "db?sslmode=disable");
        assert!(Postgres::at("postgres://h").is_err());
        assert!(Postgres::at("h/db").is_err());
    }
}
