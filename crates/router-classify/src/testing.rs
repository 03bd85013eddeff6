//! Builds envelopes for tests by hand: a minimal JSON body and the ranges that a scan would find in it.

use router_core::capability::Capabilities;
use router_core::chat::{DialectId, Envelope, MaxTokens, RequestOptions, TextKind, TextSpan};
use router_core::tokens::TextStats;

/// A request in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    messages: Vec<(TextKind, Vec<String>)>,
    tools: u32,
    max_tokens: Option<u64>,
    needs: Capabilities,
}

impl Request {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn message(mut self, kind: TextKind, parts: &[&str]) -> Self {
        self.messages.push((kind, parts.iter().map(|&part| part.to_owned()).collect()));
        self
    }

    pub(crate) fn system(self, text: &str) -> Self {
        self.message(TextKind::System, &[text])
    }

    pub(crate) fn user(self, text: &str) -> Self {
        self.message(TextKind::User, &[text])
    }

    pub(crate) fn user_parts(self, parts: &[&str]) -> Self {
        self.message(TextKind::User, parts)
    }

    pub(crate) fn assistant(self, text: &str) -> Self {
        self.message(TextKind::Assistant, &[text])
    }

    pub(crate) fn tool_result(self, text: &str) -> Self {
        self.message(TextKind::ToolResult, &[text])
    }

    pub(crate) fn tools(mut self, tools: u32) -> Self {
        self.tools = tools;
        self
    }

    pub(crate) fn max_tokens(mut self, max_tokens: u64) -> Self {
        self.max_tokens = Some(max_tokens);
        self
    }

    pub(crate) fn needs(mut self, needs: Capabilities) -> Self {
        self.needs = needs;
        self
    }

    pub(crate) fn build(&self) -> Envelope {
        let mut body = String::from("{\"messages\":[");
        let mut texts = Vec::new();
        for (index, (kind, parts)) in self.messages.iter().enumerate() {
            body.push_str(if index == 0 { "{\"content\":[" } else { "]},{\"content\":[" });
            for part in parts {
                let json = serde_json::to_string(part).unwrap();
                let start = body.len() + 1;
                body.push_str(&json);
                let span = start..body.len() - 1;
                let escaped = json.contains('\\');
                texts.push(TextSpan { message: u32::try_from(index).unwrap(), kind: *kind, span, escaped });
            }
        }
        Envelope {
            body: body.into(),
            dialect: DialectId::OpenaiChat,
            model: "auto".to_owned(),
            model_span: 0..0,
            stream: false,
            include_usage: false,
            stream_options_span: None,
            max_tokens: self.max_tokens.map(|value| MaxTokens { value, members: Vec::new() }),
            temperature: None,
            n: 1,
            texts,
            turns: u32::try_from(self.messages.len()).unwrap(),
            tools: self.tools,
            tools_span: None,
            images: 0,
            after_tool_result: self.messages.last().is_some_and(|(kind, _)| *kind == TextKind::ToolResult),
            needs: self.needs,
            stats: TextStats::default(),
            options: RequestOptions::default(),
            habits: router_core::chat::Habits::default(),
            own_spans: Vec::new(),
            user: None,
            service_tier: None,
            unmapped: Vec::new(),
            insert_at: 1,
        }
    }
}
