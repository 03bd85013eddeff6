//! The hosts we know: address, dialect, authentication and habits, as data. A new OpenAI-compatible host is a row here.
//!
//! No code asks which provider it talks to; it reads the row's quirks. Addresses and habits were checked against the
//! providers' own documentation.

use router_core::chat::DialectId;
use router_core::config::{Known, KnownHost};

/// How a credential is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer`.
    Bearer,
    /// `x-api-key`.
    XApiKey,
    /// `x-goog-api-key`.
    XGoogApiKey,
    /// `api-key`.
    ApiKey,
}

impl Auth {
    /// How servers of a dialect take a credential when nothing more is known of them.
    pub const fn of(dialect: DialectId) -> Self {
        match dialect {
            DialectId::OpenaiChat | DialectId::OpenaiResponses | DialectId::Bedrock => Self::Bearer,
            DialectId::Anthropic => Self::XApiKey,
            DialectId::Gemini => Self::XGoogApiKey,
        }
    }

    /// The header's name.
    pub const fn header(self) -> &'static str {
        match self {
            Self::Bearer => "authorization",
            Self::XApiKey => "x-api-key",
            Self::XGoogApiKey => "x-goog-api-key",
            Self::ApiKey => "api-key",
        }
    }
}

/// The member a chat completions host takes an output limit in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxTokensName {
    /// Both are understood: it stays as the client wrote it.
    #[default]
    AsGiven,
    /// Only `max_tokens`.
    MaxTokens,
    /// Only `max_completion_tokens`, or that one works with every model.
    MaxCompletionTokens,
}

/// How a chat completions host goes on from a last message by the assistant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefill {
    /// The member of that message that has to be true; empty: none.
    pub mark: &'static str,
    /// Members of the body it takes beside, with their values.
    pub members: &'static [(&'static str, bool)],
    /// What the path begins with, for hosts that do it only there.
    pub path: &'static str,
    /// The answer begins with the text of that message.
    pub echoes: bool,
}

impl Prefill {
    /// It goes on from a last message by the assistant.
    pub const PLAIN: Self = Self { mark: "", members: &[], path: "", echoes: false };

    /// It does where the message says so.
    const fn marked(mark: &'static str) -> Self {
        Self { mark, ..Self::PLAIN }
    }
}

/// Habits in which hosts of one dialect differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// The name of the output limit.
    pub max_tokens: MaxTokensName,
    /// `stream_options` is understood; where it is not, usage comes by itself in the last chunk.
    pub stream_options: bool,
    /// How it goes on from a last message by the assistant, with models that have the capability; `None`: none does.
    pub prefill: Option<Prefill>,
}

impl Quirks {
    /// What a compatible host is taken to be.
    pub const COMPATIBLE: Self =
        Self { max_tokens: MaxTokensName::AsGiven, stream_options: true, prefill: Some(Prefill::PLAIN) };
}

/// One known host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its id in the configuration.
    pub id: &'static str,
    /// Base URL, without a slash at its end; empty: each customer has another.
    pub base_url: &'static str,
    /// What follows a customer's own address, should the base URL given not end with it.
    pub base_path: &'static str,
    /// Wire format.
    pub dialect: DialectId,
    /// How the credential is sent.
    pub auth: Auth,
    /// It cannot be called without a credential.
    pub needs_key: bool,
    /// The environment variable its own documentation and SDK name for the credential.
    pub key_env: Option<&'static str>,
    /// Habits.
    pub quirks: Quirks,
    /// It answers by itself; nothing is sent anywhere.
    pub simulated: bool,
}

/// A row of an OpenAI-compatible cloud: bearer key needed.
const fn cloud(id: &'static str, base_url: &'static str, key_env: &'static str) -> Host {
    Host {
        id,
        base_url,
        base_path: "",
        dialect: DialectId::OpenaiChat,
        auth: Auth::Bearer,
        needs_key: true,
        key_env: Some(key_env),
        quirks: Quirks::COMPATIBLE,
        simulated: false,
    }
}

/// A row of a server of one's own: no key needed, one is sent when given.
const fn local(id: &'static str, base_url: &'static str) -> Host {
    Host { key_env: None, needs_key: false, ..cloud(id, base_url, "") }
}

const COMPLETION_TOKENS: Quirks =
    Quirks { max_tokens: MaxTokensName::MaxCompletionTokens, stream_options: true, prefill: None };

const MAX_TOKENS: Quirks = Quirks { max_tokens: MaxTokensName::MaxTokens, ..Quirks::COMPATIBLE };

/// All rows, ascending by id.
pub const HOSTS: [Host; 14] = [
    Host {
        dialect: DialectId::Anthropic,
        auth: Auth::XApiKey,
        ..cloud("anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY")
    },
    // The v1 API, in which the deployment is named by `model` and no api-version is asked for.
    Host {
        auth: Auth::ApiKey,
        base_path: "/openai/v1",
        quirks: COMPLETION_TOKENS,
        ..cloud("azure", "", "AZURE_OPENAI_API_KEY")
    },
    // Model Studio, Singapore. `max_tokens` is deprecated there since 2026-04-20 (notice of changes to model fields).
    // "Partial mode" goes on from a message that says `"partial": true`.
    Host {
        quirks: Quirks { prefill: Some(Prefill::marked("partial")), ..COMPLETION_TOKENS },
        ..cloud("dashscope", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", "DASHSCOPE_API_KEY")
    },
    // "Chat prefix completion" is a beta with an address of its own.
    Host {
        quirks: Quirks {
            prefill: Some(Prefill { path: "/beta", ..Prefill::marked("prefix") }),
            ..MAX_TOKENS
        },
        ..cloud("deepseek", "https://api.deepseek.com", "DEEPSEEK_API_KEY")
    },
    Host {
        dialect: DialectId::Gemini,
        auth: Auth::XGoogApiKey,
        ..cloud("gemini", "https://generativelanguage.googleapis.com/v1beta", "GEMINI_API_KEY")
    },
    // "Assistant message prefilling" needs no mark.
    Host {
        quirks: Quirks { prefill: Some(Prefill::PLAIN), ..COMPLETION_TOKENS },
        ..cloud("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY")
    },
    local("llamacpp", "http://127.0.0.1:8080/v1"),
    // Refuses members it does not know with 422, `stream_options` and `max_completion_tokens` among them; usage comes
    // with the last chunk. A prefix is where the answer starts, so the answer may hold it again.
    Host {
        quirks: Quirks {
            stream_options: false,
            prefill: Some(Prefill { echoes: true, ..Prefill::marked("prefix") }),
            ..MAX_TOKENS
        },
        ..cloud("mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY")
    },
    Host { quirks: MAX_TOKENS, ..local("ollama", "http://127.0.0.1:11434/v1") },
    // Its reasoning models take only `max_completion_tokens`, all others take it as well (API reference, chat/create).
    Host { quirks: COMPLETION_TOKENS, ..cloud("openai", "https://api.openai.com/v1", "OPENAI_API_KEY") },
    cloud("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    Host { simulated: true, ..local("simulated", "http://simulated.invalid/v1") },
    // The chat template closes the last message unless told not to (OpenAI-compatible server, extra parameters).
    Host {
        quirks: Quirks {
            prefill: Some(Prefill {
                members: &[("continue_final_message", true), ("add_generation_prompt", false)],
                ..Prefill::PLAIN
            }),
            ..Quirks::COMPATIBLE
        },
        ..local("vllm", "http://127.0.0.1:8000/v1")
    },
    Host {
        quirks: Quirks { prefill: None, ..Quirks::COMPATIBLE },
        ..cloud("xai", "https://api.x.ai/v1", "XAI_API_KEY")
    },
];

/// The rows as the configuration's check takes them.
pub fn known() -> Known {
    let hosts = HOSTS.iter().map(|row| KnownHost {
        id: row.id.to_owned(),
        base_url: (!row.base_url.is_empty()).then(|| row.base_url.to_owned()),
        dialect: row.dialect,
        needs_key: row.needs_key,
        simulated: row.simulated,
    });
    Known { hosts: hosts.collect() }
}

/// The row with this id.
pub fn host(id: &str) -> Option<&'static Host> {
    HOSTS.binary_search_by(|row| row.id.cmp(id)).ok().and_then(|at| HOSTS.get(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order_and_well_formed() {
        assert!(HOSTS.is_sorted_by(|a, b| a.id < b.id));
        for row in &HOSTS {
            assert_eq!(host(row.id), Some(row));
            assert_eq!(row.needs_key, row.key_env.is_some(), "{}", row.id);
            if row.base_url.is_empty() {
                continue;
            }
            let url: hyper::Uri = row.base_url.parse().unwrap();
            assert!(!row.base_url.ends_with('/') && url.query().is_none(), "{}", row.id);
            let own = url.host().unwrap() == "127.0.0.1" || row.simulated;
            assert_eq!(url.scheme_str() == Some("https"), !own, "{}: keys only over TLS", row.id);
        }
        assert_eq!(host("nobody"), None);
    }
}
