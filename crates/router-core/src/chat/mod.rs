//! A request as core sees it: its own bytes plus ranges (`envelope`), or the full canonical conversation.

mod conversation;
mod envelope;
mod shown;
mod usage;
mod wishes;

pub use conversation::{
    Answer, Conversation, Delta, FinishReason, Message, Part, ResponseFormat, Role, Tool, ToolChoice,
};
pub use envelope::{DialectId, Envelope, MaxTokens, RequestOptions, Span, TextKind, TextSpan};
pub use shown::Shown;
pub use usage::Usage;
pub use wishes::{FallbackName, Habits, MaxPrice, ProviderWishes, Sort, SortBy};
