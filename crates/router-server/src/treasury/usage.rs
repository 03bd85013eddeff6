//! What a client key has spent and may still spend: `GET /v1/router/usage`.

use std::sync::Arc;
use std::time::Duration;

use router_core::budget::BudgetUse;
use router_core::compiled::{ClientKey, Compiled};
use router_core::time::Timestamp;
use serde_json::{Value, json};

use super::{Account, Treasury};

/// So long the ledger may take; then what is known here is told.
const PATIENCE: Duration = Duration::from_millis(500);

impl Treasury {
    /// Of a key: its budgets, over all models, each with its period, its limit, what is spent, held and left, and when it
    /// begins anew; and its limits.
    pub(crate) async fn usage(&self, compiled: &Compiled, key: Option<&ClientKey>) -> Value {
        let accounts = self.accounts_of_key(compiled, key);
        let now = self.clock.now();
        let uses: Vec<_> = accounts
            .iter()
            .map(|account| BudgetUse {
                budget: Arc::clone(&account.policy.name),
                start: account.policy.period.start(now),
            })
            .collect();
        let figures = async { self.ledger.budget_figures(&uses).await.ok() };
        if let Some(figures) = tokio::time::timeout(PATIENCE, figures).await.ok().flatten() {
            for (account, row) in accounts.iter().zip(figures) {
                account.purse.lock().roll(now);
                account.purse.learn(row.start, (row.allotted, row.settled));
            }
        }
        let budgets: Vec<_> = accounts.iter().map(|account| self.row(account)).collect();
        let limits = key.map(|key| key.limits).unwrap_or_default();
        json!({
            "key": key.map(|key| &*key.name),
            "budgets": budgets,
            "limits": { "rpm": limits.rpm, "tpm": limits.tpm, "concurrency": limits.concurrency },
        })
    }

    /// Every budget that the key's own name, owner and tags, and no model, decide about.
    fn accounts_of_key(&self, compiled: &Compiled, key: Option<&ClientKey>) -> Vec<Account> {
        let mut all = self.accounts(compiled, key, "").into_vec();
        for policy in compiled.budgets.iter().filter(|policy| policy.matches.model.is_some()) {
            let model = policy.matches.model.as_deref().unwrap_or_default();
            if policy.matches.covers(&router_core::budget::Payer { key, model }) {
                all.push(self.account(policy));
            }
        }
        all
    }

    fn row(&self, account: &Account) -> Value {
        let now = self.clock.now();
        let mut inner = account.purse.lock();
        let (limit, period) = (inner.policy.limit, inner.policy.period);
        let money = inner.roll(now);
        let matches = &account.policy.matches;
        json!({
            "name": &*account.purse.name,
            "period": period.name(),
            "limit_usd": limit.to_string(),
            "settled_usd": money.settled().to_string(),
            "held_usd": money.budget.held().to_string(),
            "left_usd": money.rest(limit).to_string(),
            "resets_at": period.end(now).map(Timestamp::rfc3339),
            "model": matches.model, "provider": matches.provider, "deployment": matches.deployment,
        })
    }
}
